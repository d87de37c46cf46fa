# SPDX-License-Identifier: Apache-2.0
"""Computes digests of files, and remembers them while a file is unchanged.

The name of a file does not prove its content, but reading a gigabyte at every
use takes seconds.  So a digest is stored together with the file's inode
number, size and times.  Writing to a file or replacing it changes its ctime,
which no program can set; the content is the same while all of these are the
same.  This does not detect damage by a failing disk.  For that, each archive
of a layer contains a checksum, which zstd compares when it unpacks the
archive, and ``cache verify`` reads all archives.
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

# seconds; the kernel's clock for the ctime advances in ticks, so a change
# right after the digest was computed may get the same ctime
_TICK = 1.0
_MOST = 500
_BLOCK = 1024 * 1024
_LARGEST = 1024 * 1024


def compute(
    file: pathlib.Path,
    names: collections.abc.Iterable[str] = ("sha256", "sha512"),
) -> dict[str, str]:
    """Return digests of a file, which is read once in constant memory.

    :param names: the names of the algorithms, for hashlib.
    :raises OSError: the file cannot be read.
    """
    with open(file, "rb") as stream:
        return compute_blocks(iter(lambda: stream.read(_BLOCK), b""), names)


def compute_blocks(
    blocks: collections.abc.Iterable[bytes],
    names: collections.abc.Iterable[str],
) -> dict[str, str]:
    """Return digests of a content that comes in blocks.

    :param names: the names of the algorithms, for hashlib.
    """
    sums = {name: hashlib.new(name) for name in names}
    for block in blocks:
        for total in sums.values():
            total.update(block)
    return {name: total.hexdigest() for name, total in sums.items()}


def sha256(file: pathlib.Path) -> str:
    """Return the sha256 of a file; read it only if it may have changed.

    :raises OSError: the file cannot be read.
    """
    before = _identity(file.stat())
    known = _read()
    if before in known:
        return known[before]
    begin = time.time()
    digest = compute(file, ["sha256"])["sha256"]
    status = file.stat()
    if _identity(status) == before and begin - status.st_ctime > _TICK:
        # the newest digest is the last one; see _write
        _write({**known, before: digest})
    return digest


def is_same(file: pathlib.Path, wanted: str) -> bool:
    """Return whether a file exists and has the given sha256."""
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
    """Raise an error if an object has another digest than the expected one.

    :param what: the object and its location, for the message.
    :param found: the object's digest.
    :param wanted: the expected digest; any digest is accepted if empty.
    :param hint: what the user can do if they differ.
    :param said: the source of the expected digest, for the message.
    :param kind: the class of the error.
    :raises TroveToolsError: the digests differ.
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
    """Return the stored digests, by the files' identities."""
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
    """Store digests; ignore errors, as a lost digest only costs time."""
    newest = dict(list(known.items())[-_MOST:])
    file = _file()
    with contextlib.suppress(OSError):
        file.parent.mkdir(parents=True, exist_ok=True)
        files.write_file(file, json.dumps(newest), 0o600)
