# SPDX-License-Identifier: Apache-2.0
"""``trove-image-builder doctor``: checks the requirements of this host."""

import collections.abc
import dataclasses

from trove_tools import console
from trove_tools import errors
from trove_tools import results
from trove_tools.artifact import signature
from trove_tools.cli import cache
from trove_tools.cli import common
from trove_tools.config import options
from trove_tools.host import paths
from trove_tools.host import requirements
from trove_tools.sources.network import proxies
from trove_tools.verify import levels
from trove_tools.verify import machine
from trove_tools.verify import machines


def run(call: common.Call) -> int:
    """Print the results of all checks of this host.

    :returns: the exit status.
    """
    settings = call.settings
    if settings.clean:
        cache.clean(settings, call.screen)
    findings = [
        *requirements.check_tools(),
        *_signing(settings),
        *requirements.check_privileges(),
        *proxies.findings(),
        *requirements.check_space(
            settings.output_dir,
            settings.work_dir,
            settings.cache_dir or paths.user_cache(),
        ),
        _machines(),
    ]
    rows = [dataclasses.asdict(finding) for finding in findings]
    for row in rows:
        if row["ok"]:
            row["remedy"] = ""
    columns = ["check", "ok", "found"]
    if any(row["remedy"] for row in rows):
        columns.append("remedy")
    console.emit(rows, settings.format, columns, result=results.DOCTOR)
    return (
        errors.EXIT_OK
        if all(finding.ok for finding in findings)
        else errors.EXIT_MISSING
    )


def _signing(
    settings: options.Settings,
) -> collections.abc.Iterator[requirements.Finding]:
    """Check the configured keys and their requirements."""
    if settings.sign_key is None and not settings.trusted_key:
        return
    (tool,) = requirements.check_tools_for(
        "sign", "to sign and to check signatures"
    )
    yield tool
    try:
        if settings.sign_key and tool.ok:
            key = signature.open_signing_key(settings.sign_key)
            assert key is not None
            yield requirements.Finding(
                "--sign-key", True, key.public.fingerprint
            )
        trusted = signature.read_trusted_keys(settings.trusted_key)
    except errors.UsageError as exc:
        yield requirements.Finding("keys", False, exc.message, exc.hint or "")
        return
    for public in trusted.keys if trusted else ():
        yield requirements.Finding("--trusted-key", True, public.fingerprint)


def _machines() -> requirements.Finding:
    """Check which machines can run guests; having none is an error."""
    try:
        chosen = machines.choose_machines(
            machines.AUTO, machine.Settings(), levels.AGENT
        )
    except errors.MissingToolError as exc:
        return requirements.Finding(
            "what runs a guest", False, exc.message, exc.hint or ""
        )
    words = [" and ".join(chosen.kinds)]
    if chosen.accelerator:
        words.append(f"QEMU with {chosen.accelerator.upper()}")
    return requirements.Finding(
        "what runs a guest", True, "; ".join([*words, *chosen.notes])
    )
