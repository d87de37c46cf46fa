# SPDX-License-Identifier: Apache-2.0
"""Says of every file of a root, in a word, what it is."""

import collections.abc
import hashlib
import os
import pathlib
import stat
import typing

_BLOCK = 1024 * 1024


class File(typing.NamedTuple):
    """What a file is.

    :param what: mode, owner and content, in a word.
    :param time: when it was changed, seconds since 1970.
    """

    what: str
    time: int


def read(root: pathlib.Path) -> dict[str, File]:
    """Return what each file and directory of a root is, by its path."""
    found = {}
    for place, below, names in os.walk(root):
        for name in (*below, *names):
            file = pathlib.Path(place, name)
            found["/" + os.path.relpath(file, root)] = File(
                word(file), int(file.lstat().st_mtime)
            )
    return found


def word(file: pathlib.Path, digits: int = 64) -> str:
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
        return f"{who} sha256:{_sha256(file)[:digits]}"
    if stat.S_ISDIR(status.st_mode):
        return f"{who} directory"
    return f"{who} {stat.filemode(status.st_mode)[0]} {status.st_rdev}"


def _sha256(file: pathlib.Path) -> str:
    total = hashlib.sha256()
    with open(file, "rb") as stream:
        while block := stream.read(_BLOCK):
            total.update(block)
    return total.hexdigest()


def changes(
    old: collections.abc.Mapping[str, File],
    new: collections.abc.Mapping[str, File],
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
