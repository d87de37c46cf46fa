# SPDX-License-Identifier: Apache-2.0
"""``trove-image-builder verify``: verifies an image."""

import collections.abc
import dataclasses
import hashlib
import pathlib
import typing

from trove_tools import console
from trove_tools import errors
from trove_tools import results
from trove_tools.artifact import manifest
from trove_tools.artifact import report
from trove_tools.artifact import signature
from trove_tools.artifact import verification
from trove_tools.catalog import model
from trove_tools.cli import common
from trove_tools.config import options
from trove_tools.host import bounds
from trove_tools.host import digests
from trove_tools.verify import disks
from trove_tools.verify import guest_configuration
from trove_tools.verify import ladder
from trove_tools.verify import levels
from trove_tools.verify import machine
from trove_tools.verify import outcome
from trove_tools.verify import workspace
from trove_tools.verify.life import checks as life_checks

Questions = collections.abc.Mapping[str, typing.Any]


def verify(call: common.Call) -> int:
    """Verify an image, unless a valid record of it exists.

    :returns: the exit status.
    """
    settings = call.settings
    record, result = examine(
        call.flags.image,
        settings,
        call.screen,
        call.catalog,
        settings.datastore,
        key=signature.open_signing_key(settings.sign_key),
        trusted=signature.read_trusted_keys(settings.trusted_key),
    )
    _print(record, settings.format)
    if result is not None:
        result.raise_for_failure()
    return errors.EXIT_OK


def examine(
    image: pathlib.Path,
    settings: options.Settings,
    screen: console.Console,
    catalog: model.Catalog,
    datastore: str | None = None,
    key: signature.SigningKey | None = None,
    trusted: signature.TrustedKeys | None = None,
) -> tuple[dict[str, typing.Any], outcome.Report | None]:
    """Verify an image, unless a valid record of it exists.

    :param datastore: verify only this datastore; without a manifest, the
        datastore in the image.
    :param key: the key that signs the record.
    :param trusted: the keys that must have signed the manifest and, without
        ``key``, an existing record; None accepts any file.
    :returns: the new or existing record; and the result of a new verification.
    :raises UsageError: the datastore to check is unknown, or a record that is
        to be signed cannot be written.
    :raises ImageError: the file is not an image, or its manifest is not signed
        by a trusted key, or belongs to another image.
    :raises MissingToolError: this host cannot boot the image.
    """
    known = manifest.read(image, trusted)
    disks.require_file(image, known)
    if key is not None:
        verification.require_writable(image)
    level = levels.choose_level(known, settings.level)
    if known is None and datastore is None and level != levels.BOOT:
        # an error about the file precedes one about a missing datastore
        disks.inspect_image(image)
    questions: Questions = {}
    if level in levels.WITH_TROVE:
        questions = {
            each.name: each
            for each in levels.list_instances(catalog, known, datastore)
        }
    elif level == levels.DATASTORE:
        questions = levels.list_probes(catalog, known, datastore)
    asked = verification.Asked(
        level, settings.machine, questions, _deployment(settings, level)
    )
    sha256 = digests.sha256(image)
    if known is not None and trusted is not None:
        manifest.require_digests(known, image, {"sha256": sha256})
    record = None
    if not settings.force:
        # accept only a record with the signature that a new one would have
        believed = key.trusted if key else trusted
        record = verification.recall(image, sha256, asked, believed)
    if record is not None:
        screen.say(
            f"{image} has not changed since it was verified; see"
            f" {verification.path(image)}, or verify again with --force"
        )
        return record, None
    result = _look(image, sha256, known, asked, settings, screen)
    written = verification.write(result.as_dict(), image, sha256, asked, key)
    report.write(image)
    return written, result


def _deployment(settings: options.Settings, level: str) -> dict[str, str]:
    """Return the options for a cloud's settings of its guests.

    :raises UsageError: the level does not support an option, or a file cannot
        be read.
    """
    deployment: dict[str, str] = {}
    for name in ("guest_config", "user_data"):
        file = getattr(settings, name)
        if file is None:
            continue
        flag = f"--{name.replace('_', '-')}"
        if level not in levels.WITH_TROVE:
            raise errors.UsageError(
                f"{flag}: only the level agent and above give it to the guest",
                hint="use --level agent, or leave it out",
            )
        if not file.is_file():
            raise errors.UsageError(f"{flag} {file}: there is no such file")
        deployment[name] = hashlib.sha256(file.read_bytes()).hexdigest()
    if settings.disk_bus != machine.VIRTIO:
        deployment["disk_bus"] = settings.disk_bus
    deployment.update(_life(settings, level))
    return deployment


def _life(settings: options.Settings, level: str) -> dict[str, str]:
    """Return the options of the level life.

    :raises UsageError: another level was chosen, or a check or the image does
        not exist.
    """
    former: pathlib.Path | None = getattr(settings, "from")
    known = [check.name for check in life_checks.CHECKS]
    given = {"--only": settings.only, "--from": former}
    for flag, value in given.items():
        if value and level != levels.LIFE:
            raise errors.UsageError(
                f"{flag}: only the level life has such checks",
                hint="use --level life, or leave it out",
            )
    for name in settings.only or ():
        if name not in known:
            raise errors.UsageError(
                f"--only {name}: the level life has no such check",
                hint=f"its checks: {', '.join(known)}",
            )
    chosen = {}
    if settings.only:
        chosen["only"] = ", ".join(sorted(settings.only))
    if former is not None:
        disks.require_file(former, manifest.read(former))
        chosen["from"] = digests.sha256(former)
    return chosen


def _former(settings: options.Settings) -> life_checks.Former | None:
    """Return the image of ``--from``, with which instances were created.

    :raises UsageError: this image has no manifest.
    """
    image: pathlib.Path | None = getattr(settings, "from")
    if image is None:
        return None
    known = manifest.read(image)
    if known is None:
        raise errors.UsageError(
            f"--from {image}: no manifest beside it tells what is in it",
            hint="copy its directory NAME.d, too",
        )
    return life_checks.Former(
        disks.inspect_image(image, known),
        {each.name: each.version for each in known.datastores},
        known.starts_isolated,
    )


def _injected(
    settings: options.Settings, screen: console.Console
) -> guest_configuration.Deployment:
    """Read a cloud's settings of its guests; print those verify replaces."""
    configuration = None
    if settings.guest_config is not None:
        configuration = guest_configuration.read(settings.guest_config)
        names = guest_configuration.replaced(configuration)
        screen.say(
            f"the guest gets {settings.guest_config}, except for"
            f" {', '.join(names) or 'nothing'}"
        )
    return guest_configuration.Deployment(
        configuration,
        _user_data(settings.user_data) if settings.user_data else "",
        ""
        if settings.disk_bus == machine.VIRTIO
        else machine.DEVICES[settings.disk_bus],
    )


def _user_data(file: pathlib.Path) -> str:
    """Read user data that Trove can merge with its own user data.

    :raises UsageError: Trove would leave out this user data.
    """
    import yaml

    try:
        text = bounds.read_bytes(file).decode()
        mapping = isinstance(yaml.safe_load(text), dict)
    except (OSError, ValueError, RecursionError, yaml.YAMLError):
        mapping = False
    if not mapping:
        raise errors.UsageError(
            f"--user-data {file}: not a cloud-config, so Trove would"
            " ignore it",
            hint="write it as a mapping in YAML, with runcmd for commands",
        )
    return text


def _look(
    image: pathlib.Path,
    sha256: str,
    known: manifest.Manifest | None,
    asked: verification.Asked,
    settings: options.Settings,
    screen: console.Console,
) -> outcome.Report:
    request = ladder.Request(
        level=asked.level,
        machine=settings.machine,
        settings=machine.Settings(
            accelerator=settings.accelerator,
            timeout=settings.timeout,
            memory=settings.memory,
            cpus=settings.cpus,
            arch=known.guest["arch"] if known else settings.arch,
            disk_bus=settings.disk_bus,
        ),
        broker_port=settings.broker_port,
    )
    if asked.level not in levels.WITH_TROVE:
        request = dataclasses.replace(request, healths=asked.questions)
    else:
        from trove_tools.verify import venv

        request = dataclasses.replace(
            request,
            datastores=tuple(asked.questions.values()),
            venv=venv.default_path(),
            deployment=_injected(settings, screen),
            only=tuple(settings.only or ()),
            former=_former(settings),
        )
    # report missing requirements before slow work begins
    ladder.require(request)
    workspace.remove_abandoned(screen.warn)
    if request.venv is not None:
        with screen.progress("verify") as progress:
            venv.ensure(request.venv, progress.state)
    return ladder.verify(
        image, request, screen=screen, known=known, sha256=sha256
    )


def _print(record: dict[str, typing.Any], form: str) -> None:
    if form != "table":
        console.emit(record, form, result=results.VERIFY)
        return
    rows = [
        {**check, "result": "ok" if check["ok"] else "FAILED"}
        for check in record["checks"]
    ]
    rows += [
        {
            "name": name, "machine": "", "result": result, "seconds": "",
            "detail": why,
        }
        for kind, result in (
            ("unsupported", "unsupported"), ("missing", "not checked"),
        )
        for name, why in record.get(kind, {}).items()
    ]  # fmt: skip
    columns = ("name", "machine", "result", "seconds", "detail")
    console.emit(rows, form, columns)
