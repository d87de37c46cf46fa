# SPDX-License-Identifier: Apache-2.0
"""Reads the regular files of a foreign root, in bounded memory.

Other files are not opened, because a device or a FIFO may block, or act.
:mod:`trove_tools.inspection.inspect` ensures that no link leads out of the
root.
"""

import collections.abc
import dataclasses
import hashlib
import os
import pathlib
import stat
import typing

#: Bytes; hardly any configuration file is larger.
SMALL = 256 * 1024

_CHUNK = 4 * 1024 * 1024
#: Bytes by which chunks overlap; no key to find is longer.
OVERLAP = 16 * 1024


@dataclasses.dataclass(frozen=True)
class File:
    """A file of a root.

    :param path: its path.
    :param name: its path relative to its root; the root of a file in a
        container's layer is the container's root.
    """

    path: pathlib.Path
    name: str
    status: os.stat_result

    def beside(self, path: pathlib.Path) -> "File | None":
        """Return another regular file; None if there is none.

        :param path: its path, in the same root.
        """
        root = pathlib.Path(str(self.path).removesuffix(self.name))
        try:
            status = path.lstat()
        except OSError:
            return None
        if not stat.S_ISREG(status.st_mode):
            return None
        return File(path, str(path.relative_to(root)), status)

    @property
    def is_regular(self) -> bool:
        """Whether it is neither a link, a device, a FIFO nor a socket."""
        return stat.S_ISREG(self.status.st_mode)


def walk(root: pathlib.Path) -> collections.abc.Iterator[File]:
    """Yield all files below a directory, including links, in order."""
    beginning = len(os.path.join(root, ""))
    for directory, below, names in os.walk(root):
        below.sort()
        for name in sorted(names):
            path = os.path.join(directory, name)
            try:
                status = os.lstat(path)
                yield File(pathlib.Path(path), path[beginning:], status)
            except OSError:
                # in a damaged file system, a file may have no status
                continue


def read_content(path: pathlib.Path, largest: int = SMALL) -> bytes | None:
    """Return a regular file's content; None for anything else.

    A link is followed, as in the guest.

    :param largest: the size limit in bytes; None is returned for larger files.
    """
    try:
        status = path.stat()
        if not stat.S_ISREG(status.st_mode) or status.st_size > largest:
            return None
        return path.read_bytes()
    except (OSError, ValueError):
        # there is no such file, or the path contains a null character
        return None


def read_text(path: pathlib.Path, largest: int = SMALL) -> str:
    """Return a regular file's text; an empty one for anything else.

    :param largest: the size limit in bytes; larger files count as empty.
    """
    return (read_content(path, largest) or b"").decode(errors="replace")


def compute_digest(path: pathlib.Path, algorithm: str) -> bytes:
    """Return the digest of a regular file."""
    with open(path, "rb", buffering=0) as stream:
        digest = hashlib.file_digest(
            stream, lambda: hashlib.new(algorithm, usedforsecurity=False)
        )
    return digest.digest()


def read_chunks(path: pathlib.Path) -> collections.abc.Iterator[bytes]:
    """Yield a regular file's content in chunks, without its holes.

    Each chunk begins with the last :data:`OVERLAP` bytes of the previous one,
    so that one of the chunks contains a whole key.
    """
    with open(path, "rb", buffering=0) as stream:
        end = 0
        kept = b""
        while True:
            try:
                begin = os.lseek(stream.fileno(), end, os.SEEK_DATA)
            except OSError:
                return
            if begin > end:
                kept = b""
            end = begin
            piece = os.pread(stream.fileno(), _CHUNK, begin)
            if not piece:
                return
            end += len(piece)
            yield kept + piece
            kept = piece[-OVERLAP:]


class FileState(typing.NamedTuple):
    """The state of a file.

    :param what: mode, owner and content, as one text.
    :param time: the modification time in seconds since 1970.
    """

    what: str
    time: int


def read_states(root: pathlib.Path) -> dict[str, FileState]:
    """Return the state of each file and directory of a root, by its path."""
    states = {}
    for directory, below, names in os.walk(root):
        for name in (*below, *names):
            file = pathlib.Path(directory, name)
            states["/" + os.path.relpath(file, root)] = FileState(
                describe(file), int(file.lstat().st_mtime)
            )
    return states


def describe(file: pathlib.Path, digits: int = 64) -> str:
    """Return the mode, owner and content of a file as one text.

    :param digits: the number of digits of the digest.
    :returns: mode, owner and sha256, such as ``0644 0:0 sha256:01ab``;
        ``-> TARGET`` for a link.
    """
    status = file.lstat()
    if stat.S_ISLNK(status.st_mode):
        return f"-> {os.readlink(file)}"
    mode = stat.S_IMODE(status.st_mode)
    who = f"{mode:04o} {status.st_uid}:{status.st_gid}"
    if stat.S_ISREG(status.st_mode):
        return f"{who} sha256:{compute_digest(file, 'sha256').hex()[:digits]}"
    if stat.S_ISDIR(status.st_mode):
        return f"{who} directory"
    return f"{who} {stat.filemode(status.st_mode)[0]} {status.st_rdev}"


def compare_states(
    old: collections.abc.Mapping[str, FileState],
    new: collections.abc.Mapping[str, FileState],
) -> tuple[dict[str, str], dict[str, str]]:
    """Return the states of the files that differ, in two roots, by path.

    If only the modification times differ, the times are returned.
    """
    left: dict[str, str] = {}
    right: dict[str, str] = {}
    for path in old.keys() | new.keys():
        one, other = old.get(path), new.get(path)
        if one == other:
            continue
        timed = one and other and one.what == other.what
        for state, side in ((one, left), (other, right)):
            if state is not None:
                side[path] = f"@{state.time}" if timed else state.what
    return left, right
