# SPDX-License-Identifier: Apache-2.0
"""The verification record of an image:

``NAME.d/verify.json``. verify writes it, and loading reads it. A record is
valid only for the image file with the digest in the record.
"""

import collections.abc
import dataclasses
import pathlib
import typing

from trove_tools.artifact import manifest
from trove_tools.artifact import signature
from trove_tools.host import bounds

# bytes; the record of a failed verification contains log lines
_LARGEST = 16 * 1024 * 1024
# the longest plausible duration of a check, in seconds
_LONGEST = 10_000_000
_NUMBER = int | float
_TEXT = str | None
# the types of the values in a record and in its checks
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
    """The result of a verification.

    :param level: ``boot``, ``datastore``, ``agent`` or ``life``.
    :param machines: the machines that ran its guests: ``qemu``, ``container``,
        or both.
    :param failed: the names of the checks that failed.
    :param missing: the names of the checks that were not run.
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
    """Return the path of an image's verification record."""
    return manifest.sidecar(image) / "verify.json"


def load(
    image: pathlib.Path,
    sha256: str,
    trusted: signature.TrustedKeys | None = None,
) -> dict[str, typing.Any] | None:
    """Return the verification record of an image as plain data.

    :param sha256: the digest of the current image file.
    :param trusted: the keys that must have signed it; None accepts any file.
    :returns: None if there is no record, if it is for another image file, or
        if it is invalid.
    :raises ImageError: it is not signed by a trusted key.
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
    """Convert a record of an earlier format to the current one."""
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
    """Return whether data is a valid verification record.

    A damaged record is ignored.
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
    """Return whether the values of a mapping have the given types.

    :param types: the types by name; names in ``_REQUIRED`` must exist.
    """
    return isinstance(data, dict) and all(
        isinstance(data[name], kind) and _is_small(data[name])
        if name in data
        else name not in _REQUIRED
        for name, kind in types.items()
    )


def _is_small(value: typing.Any) -> bool:
    """Return whether a value is a plausible number of seconds, if it is a
    number."""
    return not isinstance(value, int | float) or 0 <= value <= _LONGEST


def read(
    image: pathlib.Path,
    sha256: str,
    trusted: signature.TrustedKeys | None = None,
) -> Verified | None:
    """Return the verification result of an image.

    :param sha256: the digest of the current image file.
    :param trusted: as for :func:`load`.
    :returns: None if there is no record, or if it is for another image file.
    :raises ImageError: it is not signed by a trusted key.
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
