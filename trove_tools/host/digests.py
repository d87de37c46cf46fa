# SPDX-License-Identifier: Apache-2.0
"""Checks whether a file still has its digest, at every use.

A name in a cache or a directory says nothing about the content. But reading a
gigabyte each time, only to find that nothing has changed, takes seconds. So a
digest is stored together with the file's inode number, size and times. Writing
to a file or replacing it changes its ctime, which no program can set: while
all of these are the same, the content is. What a failing disk changes is not
noticed so. Each archive of layers has a checksum of its own, which zstd
compares when it is unpacked, and ``cache verify`` reads all of them.
"""

import collections.abc
import contextlib
import hashlib
import json
import os
import pathlib
import time

from trove_tools import errors
from trove_tools.host import bounds
from trove_tools.host import files
from trove_tools.host import paths
from trove_tools.host import trust

# seconds: a change right after the digest was computed may have the same
# ctime, as the kernel's clock for it has ticks
_TICK = 1.0
_MOST = 500
_BLOCK = 1024 * 1024
_LARGEST = 1024 * 1024


def compute(
    file: pathlib.Path,
    names: collections.abc.Iterable[str] = ("sha256", "sha512"),
) -> dict[str, str]:
    """Return digests of a file, reading it once in constant memory.

    :param names: the algorithms.
    :raises OSError: it cannot be read.
    """
    sums = {name: hashlib.new(name) for name in names}
    with open(file, "rb") as stream:
        while block := stream.read(_BLOCK):
            for total in sums.values():
                total.update(block)
    return {name: total.hexdigest() for name, total in sums.items()}


def sha256(file: pathlib.Path) -> str:
    """Return the sha256 of a file, read only if it may have changed.

    :raises OSError: it cannot be read.
    """
    before = _identity(file.stat())
    known = _read()
    if before in known:
        return known[before]
    begin = time.time()
    digest = compute(file, ["sha256"])["sha256"]
    status = file.stat()
    if _identity(status) == before and begin - status.st_ctime > _TICK:
        # the newest last
        _write({**known, before: digest})
    return digest


def is_same(file: pathlib.Path, wanted: str) -> bool:
    """Tell whether a file is there and has a sha256."""
    try:
        return sha256(file) == wanted
    except OSError:
        return False


def require(
    what: str,
    found: str,
    wanted: str,
    hint: str,
    *,
    said: str,
    kind: type[errors.TroveToolsError] = errors.BuildError,
) -> None:
    """Make sure that something is what it was meant to be.

    :param what: what it is, and where.
    :param found: its digest.
    :param wanted: the digest that it must have; any will do when empty.
    :param hint: what to do otherwise.
    :param said: who says what it must be.
    :param kind: the error's.
    :raises TroveToolsError: it is something else.
    """
    if wanted and found != wanted:
        raise kind(
            f"{what} is not what was meant: its digest is {found}, and"
            f" {said} says {wanted}",
            hint=hint,
        )


def _identity(status: os.stat_result) -> str:
    return " ".join(
        str(number)
        for number in (
            status.st_dev, status.st_ino, status.st_size,
            status.st_mtime_ns, status.st_ctime_ns,
        )
    )  # fmt: skip


def _file() -> pathlib.Path:
    return paths.user_cache() / "digests.json"


def _read() -> dict[str, str]:
    """Return the digests that are remembered, by the files' identities."""
    file = _file()
    if not trust.is_own(file):
        return {}
    try:
        known = bounds.read_json(file, _LARGEST)
    except (OSError, ValueError):
        return {}
    if not isinstance(known, dict) or not bounds.is_list_of(
        list(known.values()), str
    ):
        return {}
    return known


def _write(known: dict[str, str]) -> None:
    """Remember digests; one that is lost costs time and nothing else."""
    newest = dict(list(known.items())[-_MOST:])
    file = _file()
    with contextlib.suppress(OSError):
        file.parent.mkdir(parents=True, exist_ok=True)
        files.write_file(file, json.dumps(newest), 0o600)
