# SPDX-License-Identifier: Apache-2.0
"""Reads and writes an image's verification record: ``NAME.d/verify.json``.

verify writes it, and loading reads it. A record is valid only for the image
file with the digest in the record.
"""

import collections.abc
import dataclasses
import json
import os
import pathlib
import typing

from trove_tools import errors
from trove_tools.artifact import manifest
from trove_tools.artifact import signature
from trove_tools.host import bounds
from trove_tools.host import credentials
from trove_tools.host import trust

#: The version of the format that this release writes.
VERSION = 2

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


@dataclasses.dataclass
class Check:
    """The result of one check.

    :param machine: the machine that ran it; empty for a check without one.
    :param proves: the statement that a passed check proves.
    :param seconds: the duration of the check.
    :param detail: the result, in one line.
    :param log: lines that explain a failure.
    """

    name: str
    machine: str = ""
    proves: str = ""
    ok: bool = False
    seconds: float = 0.0
    detail: str = ""
    log: list[str] = dataclasses.field(default_factory=list)
    hint: str | None = None


@dataclasses.dataclass(frozen=True)
class Record:
    """The result of a verification, as read from its record.

    :param level: ``boot``, ``datastore``, ``agent`` or ``life``.
    :param machines: the machines that ran its guests: ``qemu``, ``container``,
        or both.
    :param missing: the checks that were not run, each with the reason.
    :param unsupported: the checks of features that Trove lacks, each with
        Trove's message.
    :param accelerator: QEMU's; empty without QEMU.
    :param seconds: the duration of the verification.
    """

    level: str
    machines: tuple[str, ...]
    ok: bool
    checks: tuple[Check, ...] = ()
    missing: dict[str, str] = dataclasses.field(default_factory=dict)
    unsupported: dict[str, str] = dataclasses.field(default_factory=dict)
    accelerator: str = ""
    seconds: float = 0.0

    @property
    def how(self) -> str:
        """The level and the machines, for a message."""
        return f"{self.level} ({', '.join(self.machines)})"

    def __str__(self) -> str:
        what = self.how
        if self.missing:
            what += f" without {', '.join(self.missing)}"
        if self.ok:
            return what
        failed = ", ".join(check.name for check in self.checks if not check.ok)
        return f"{what} FAILED: {failed or 'not finished'}"


def path(image: pathlib.Path) -> pathlib.Path:
    """Return the path of an image's verification record."""
    return manifest.sidecar(image) / "verify.json"


def _load(
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
            for part, name in [*lists, *((check, "log") for check in checks)]
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
    """Return whether a value, if it is a number, is plausible as seconds."""
    return not isinstance(value, int | float) or 0 <= value <= _LONGEST


def read(
    image: pathlib.Path,
    sha256: str,
    trusted: signature.TrustedKeys | None = None,
) -> Record | None:
    """Return the verification result of an image.

    :param sha256: the digest of the current image file.
    :param trusted: the keys that must have signed it; None accepts any file.
    :returns: None if there is no record, or if it is for another image file.
    :raises ImageError: it is not signed by a trusted key.
    """
    record = _load(image, sha256, trusted)
    if record is None:
        return None
    return Record(
        level=record.get("level", ""),
        machines=tuple(record["machines"]),
        ok=record.get("ok") is True,
        checks=tuple(_check(check) for check in record.get("checks", [])),
        missing=record.get("missing", {}),
        unsupported=record.get("unsupported", {}),
        accelerator=record.get("accelerator") or "",
        seconds=record.get("seconds", 0.0),
    )


def _check(data: dict[str, typing.Any]) -> Check:
    """Return a check from a record; older records lack some of its values."""
    names = [field.name for field in dataclasses.fields(Check)]
    known = {name: data[name] for name in names if data.get(name) is not None}
    return Check(**known)


@dataclasses.dataclass(frozen=True)
class Asked:
    """The parameters of a verification.

    :param level: the level of the checks.
    :param machine: ``auto``, ``qemu`` or ``container``.
    :param questions: the parameters of each datastore's checks, a dataclass by
        the datastore's name.
    :param deployment: other parameters of the guest, by option: the digest of
        a file, or a word.
    """

    level: str
    machine: str
    questions: collections.abc.Mapping[str, typing.Any]
    deployment: collections.abc.Mapping[str, str] = dataclasses.field(
        default_factory=dict
    )

    def as_dict(self) -> dict[str, typing.Any]:
        """Return the parameters as plain data for the record."""
        plain: dict[str, typing.Any] = json.loads(
            json.dumps(dataclasses.asdict(self))
        )
        return plain


def recall(
    image: pathlib.Path,
    sha256: str,
    asked: Asked,
    trusted: signature.TrustedKeys | None = None,
) -> dict[str, typing.Any] | None:
    """Return the record of an earlier, identical verification.

    :param sha256: the digest of the current image file.
    :param asked: the parameters of the current verification.
    :param trusted: the keys that must have signed it; None accepts any file.
    :returns: None unless the same image passed a verification with the same
        parameters.
    """
    try:
        record = _load(image, sha256, trusted)
    except errors.ImageError:
        return None
    same = (
        record is not None
        and record.get("ok") is True
        and record.get("report_version") == VERSION
        and record.get("asked") == asked.as_dict()
    )
    return record if same else None


def write(
    result: dict[str, typing.Any],
    image: pathlib.Path,
    sha256: str,
    asked: Asked,
    key: signature.SigningKey | None = None,
) -> dict[str, typing.Any]:
    """Write the record of a verification.

    If the image has no sidecar, or this user may not write to it, the image
    can still be verified, but the record is not written.

    :param key: the key that signs the record; see :func:`require_writable`.
    :returns: the record.
    :raises UsageError: the key cannot sign.
    """
    data: dict[str, typing.Any] = credentials.hide_all(
        {
            **result,
            "sha256": sha256,
            "asked": asked.as_dict(),
        }
    )
    if _is_writable(image):
        text = json.dumps(data, indent=2) + "\n"
        signature.write(path(image), text, signature.RECORD, key)
    return data


def require_writable(image: pathlib.Path) -> None:
    """Check that a record that is to be signed can be written.

    :raises UsageError: it cannot be written.
    """
    if not _is_writable(image):
        raise errors.UsageError(
            "there is nothing to sign: the record of the verification cannot"
            f" be written into {path(image).parent}",
            hint="make that directory, or let this user write to it; or leave"
            " out --sign-key",
        )


def _is_writable(image: pathlib.Path) -> bool:
    directory = path(image).parent
    return trust.is_own(directory) and os.access(directory, os.W_OK)


def require_whole(path: pathlib.Path, record: Record | None) -> None:
    """Check that an image passed every check of its level.

    :raises ImageError: it was not verified, or a check failed.
    """
    if record is None:
        problem = "was not verified as it is now"
    elif not record.ok:
        problem = f"failed its verification: {record}"
    elif record.missing:
        problem = (
            "was not verified as a whole; no machine has looked at"
            f" {', '.join(record.missing)}"
        )
    else:
        return
    raise errors.ImageError(
        f"{path} {problem}",
        hint=f"verify it: trove-image-builder verify {path}; or leave out"
        " --require-verified",
    )
