# SPDX-License-Identifier: Apache-2.0
"""Reads the files of a foreign root: regular ones only, in bounded memory.

No other file is opened: a device or a FIFO may block, or act.  That no link
leads out of the root is the work of :mod:`trove_tools.inspection.sandbox`.
"""

import collections.abc
import dataclasses
import hashlib
import os
import pathlib
import stat
import typing

#: Bytes; hardly any file of configuration is larger.
SMALL = 256 * 1024

_CHUNK = 4 * 1024 * 1024
#: Bytes by which chunks overlap; no key that is looked for is longer.
OVERLAP = 16 * 1024


@dataclasses.dataclass(frozen=True)
class File:
    """A file of a root.

    :param path: where it is.
    :param name: its path in its own root, without a leading slash: the file
        of a container's layer belongs to the container's root.
    """

    path: pathlib.Path
    name: str
    status: os.stat_result

    def beside(self, path: pathlib.Path) -> "File | None":
        """Return a regular file near this one; nothing if there is none.

        :param path: where it is: in the same root.
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
    """Yield all files below a directory, links among them, in order."""
    beginning = len(os.path.join(root, ""))
    for directory, below, names in os.walk(root):
        below.sort()
        for name in sorted(names):
            path = os.path.join(directory, name)
            try:
                status = os.lstat(path)
                yield File(pathlib.Path(path), path[beginning:], status)
            except OSError:
                # a damaged file system: what has no status has no content
                continue


def read_content(path: pathlib.Path, largest: int = SMALL) -> bytes | None:
    """Return a regular file's content; nothing for anything else.

    A link is followed, as the guest follows it.

    :param largest: bytes; a larger file counts as anything else.
    """
    try:
        status = path.stat()
        if not stat.S_ISREG(status.st_mode) or status.st_size > largest:
            return None
        return path.read_bytes()
    except (OSError, ValueError):
        # no path has a null character
        return None


def read_text(path: pathlib.Path, largest: int = SMALL) -> str:
    """Return a regular file's text; None if there is no manifest.

    :param largest: bytes; as with :func:`read_content`.
    """
    return (read_content(path, largest) or b"").decode(errors="replace")


def compute_digest(path: pathlib.Path, algorithm: str) -> bytes:
    """Return the digest of a regular file."""
    with open(path, "rb", buffering=0) as stream:
        made = hashlib.file_digest(
            stream, lambda: hashlib.new(algorithm, usedforsecurity=False)
        )
    return made.digest()


def read_chunks(path: pathlib.Path) -> collections.abc.Iterator[bytes]:
    """Yield a regular file's content piece by piece, without its holes.

    Each piece begins with the last :data:`OVERLAP` bytes of the one before,
    so that what is looked for is whole in one of them.
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
    """What a file is.

    :param what: mode, owner and content, in a word.
    :param time: when it was changed, seconds since 1970.
    """

    what: str
    time: int


def read_states(root: pathlib.Path) -> dict[str, FileState]:
    """Return what each file and directory of a root is, by its path."""
    found = {}
    for place, below, names in os.walk(root):
        for name in (*below, *names):
            file = pathlib.Path(place, name)
            found["/" + os.path.relpath(file, root)] = FileState(
                describe(file), int(file.lstat().st_mtime)
            )
    return found


def describe(file: pathlib.Path, digits: int = 64) -> str:
    """Return in a word what a file is.

    :param digits: of the digest that are told.
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
    """Return what differs in each of two roots, by path.

    Of files that are the same but for their time, the time is told.
    """
    left: dict[str, str] = {}
    right: dict[str, str] = {}
    for path in old.keys() | new.keys():
        one, other = old.get(path), new.get(path)
        if one == other:
            continue
        timed = one and other and one.what == other.what
        for found, side in ((one, left), (other, right)):
            if found is not None:
                side[path] = f"@{found.time}" if timed else found.what
    return left, right
