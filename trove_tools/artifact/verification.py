# SPDX-License-Identifier: Apache-2.0
"""What is known of an image's verification: ``NAME.d/verify.json``.

Verifying writes it, loading reads it.  It speaks of one content of the
image: beside any other it says nothing.
"""

import collections.abc
import dataclasses
import pathlib
import typing

from trove_tools.artifact import manifest
from trove_tools.artifact import signature
from trove_tools.host import bounds

# bytes: a failed one holds the last lines of logs
_LARGEST = 16 * 1024 * 1024
# seconds that a check may have taken
_LONGEST = 10_000_000
_NUMBER = int | float
_TEXT = str | None
# the types of what is in a record, and in each of its checks
_RECORD = {
    "sha256": str, "ok": bool, "level": str, "tier": str, "checks": list,
    "seconds": _NUMBER, "accelerator": _TEXT, "unchecked": _TEXT,
    "build_id": _TEXT, "logs": _TEXT, "image": _TEXT, "facts": dict,
    "machines": list, "missing": dict, "unsupported": dict,
    "report_version": _NUMBER,
}  # fmt: skip
_CHECK = {
    "name": str, "ok": bool, "seconds": _NUMBER, "detail": _TEXT,
    "hint": _TEXT, "machine": _TEXT, "proves": _TEXT,
}  # fmt: skip
_REQUIRED = {"sha256", "name", "ok"}


@dataclasses.dataclass(frozen=True)
class Verified:
    """How an image was verified, and what came of it.

    :param level: ``boot``, ``datastore``, ``agent`` or ``life``.
    :param machines: what ran its guests: ``qemu``, ``container``, or both.
    :param failed: the names of the checks that failed.
    :param missing: the names of those that no machine made.
    """

    level: str
    machines: tuple[str, ...]
    ok: bool
    failed: tuple[str, ...] = ()
    missing: tuple[str, ...] = ()

    def __str__(self) -> str:
        what = f"{self.level} ({', '.join(self.machines)})"
        if self.missing:
            what += f" without {', '.join(self.missing)}"
        if self.ok:
            return what
        return f"{what} FAILED: {', '.join(self.failed) or 'not finished'}"


def path(image: pathlib.Path) -> pathlib.Path:
    """Return where the record of an image lies."""
    return manifest.sidecar(image) / "verify.json"


def load(
    image: pathlib.Path,
    sha256: str,
    trusted: signature.TrustedKeys | None = None,
) -> dict[str, typing.Any] | None:
    """Return the record of an image as it is written.

    :param sha256: of the image as it is now.
    :param trusted: who must have signed it; anybody if not given.
    :returns: nothing where there is none, or none of this content, or where
        it does not have the shape that verify writes.
    :raises ImageError: it is not signed by a key that is trusted.
    """
    try:
        text = bounds.read_bytes(path(image), _LARGEST)
        if trusted is not None:
            trusted.require(path(image), text, signature.RECORD)
        record = bounds.decode_json(text)
    except (OSError, ValueError):
        return None
    if not _is_record(record) or record["sha256"] != sha256:
        return None
    return _of_today(record)


def _of_today(record: dict[str, typing.Any]) -> dict[str, typing.Any]:
    """Return a record as it is written today, whenever it was written."""
    if "machines" in record:
        return record
    emulated = record.get("tier", "vm") == "vm"
    without = record.get("unchecked") or "the guest's kernel and its boot"
    return {
        **record,
        "machines": ["qemu" if emulated else "namespaces"],
        "missing": {} if emulated else {without: "it was not booted"},
    }


def _is_record(data: typing.Any) -> typing.TypeGuard[dict[str, typing.Any]]:
    """Tell whether data has the shape that verify writes.

    A damaged record says nothing about the image.
    """
    if not _has_types(data, _RECORD):
        return False
    checks = data.get("checks", [])
    lists = [(data, "console"), (data, "machines")]
    return (
        all(_has_types(check, _CHECK) for check in checks)
        and all(
            bounds.is_list_of(part.get(name) or [], str)
            for part, name in [*lists, *((each, "log") for each in checks)]
        )
        and all(
            bounds.is_list_of(list(data.get(name, {}).values()), str)
            for name in ("missing", "unsupported")
        )
    )


def _has_types(
    data: typing.Any, types: collections.abc.Mapping[str, typing.Any]
) -> bool:
    """Tell whether the values in a mapping are of some types.

    :param types: by name; the value of a name in ``_REQUIRED`` must be there.
    """
    return isinstance(data, dict) and all(
        isinstance(data[name], kind) and _is_small(data[name])
        if name in data
        else name not in _REQUIRED
        for name, kind in types.items()
    )


def _is_small(value: typing.Any) -> bool:
    """Tell whether a value, if it is a number, can be one of seconds."""
    return not isinstance(value, int | float) or 0 <= value <= _LONGEST


def read(
    image: pathlib.Path,
    sha256: str,
    trusted: signature.TrustedKeys | None = None,
) -> Verified | None:
    """Return what the record of an image says.

    :param sha256: of the image as it is now.
    :param trusted: as for :func:`load`.
    :returns: nothing where there is none, or none of this content.
    :raises ImageError: it is not signed by a key that is trusted.
    """
    record = load(image, sha256, trusted)
    if record is None:
        return None
    return Verified(
        level=record.get("level", ""),
        machines=tuple(record["machines"]),
        ok=record.get("ok") is True,
        failed=tuple(
            check["name"]
            for check in record.get("checks", [])
            if not check["ok"]
        ),
        missing=tuple(record["missing"]),
    )
