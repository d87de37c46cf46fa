# SPDX-License-Identifier: Apache-2.0
"""What is known of an image's verification: ``NAME.d/verify.json``.

Verifying writes it, loading reads it.  It speaks of one content of the
image: beside any other it says nothing.
"""

import dataclasses
import json
import pathlib
import typing

from trove_tools import manifest


@dataclasses.dataclass(frozen=True)
class Verified:
    """How an image was verified, and what came of it.

    :param level: ``boot``, ``datastore`` or ``agent``.
    :param tier: ``vm``, or ``namespace``, which boots nothing.
    :param failed: the names of the checks that failed.
    """

    level: str
    tier: str
    ok: bool
    failed: tuple[str, ...] = ()

    def __str__(self) -> str:
        what = f"{self.level} ({self.tier})"
        if self.ok:
            return what
        return f"{what} FAILED: {', '.join(self.failed) or 'not finished'}"


def path(image: pathlib.Path) -> pathlib.Path:
    """Return where the record of an image lies."""
    return manifest.sidecar(image) / "verify.json"


def load(image: pathlib.Path, sha256: str) -> dict[str, typing.Any] | None:
    """Return the record of an image as it is written.

    :param sha256: of the image as it is now.
    :returns: nothing where there is none, or none of this content.
    """
    try:
        found = json.loads(path(image).read_text())
    except (OSError, ValueError):
        return None
    if not isinstance(found, dict) or found.get("sha256") != sha256:
        return None
    return found


def read(image: pathlib.Path, sha256: str) -> Verified | None:
    """Return what the record of an image says.

    :param sha256: of the image as it is now.
    :returns: nothing where there is none, or none of this content.
    """
    found = load(image, sha256)
    if found is None:
        return None
    checks = found.get("checks")
    return Verified(
        level=str(found.get("level", "")),
        tier=str(found.get("tier", "vm")),
        ok=found.get("ok") is True,
        failed=tuple(
            str(check.get("name"))
            for check in (checks if isinstance(checks, list) else [])
            if isinstance(check, dict) and not check.get("ok")
        ),
    )
