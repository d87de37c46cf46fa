# SPDX-License-Identifier: Apache-2.0
"""The root file system in an image, as a disk that may be written to."""

import dataclasses
import pathlib

from trove_tools import errors
from trove_tools import process
from trove_tools.verify import disks

TOOLS = (disks.TOOL, "partx")

_SECTOR = 512


@dataclasses.dataclass(frozen=True)
class Root:
    """Where the root file system is.

    :param file: a raw disk, all of it verify's own.
    :param offset: of the partition in it, bytes.
    """

    file: pathlib.Path
    offset: int
    size: int


def copy(disk: disks.Disk, file: pathlib.Path) -> Root:
    """Make a sparse copy of an image, and find its root.

    :param file: the copy.
    :raises ImageError: there is no partition in it.
    """
    process.run(
        [
            disks.TOOL, "convert", "-f", disk.format, "-O", "raw",
            "-t", "unsafe", disk.path, file,
        ]
    )  # fmt: skip
    offset, size = largest(file)
    return Root(file, offset, size)


def largest(file: pathlib.Path) -> tuple[int, int]:
    """Return offset and size of the largest partition.

    :raises ImageError: there is none.
    """
    listed = process.run(
        ["partx", "--noheadings", "--raw", "--output", "START,SECTORS", file],
        check=False,
    )
    found = [
        (int(words[1]) * _SECTOR, int(words[0]) * _SECTOR)
        for words in (line.split() for line in listed.stdout.splitlines())
        if len(words) == 2
    ]
    if not found:
        raise errors.ImageError(
            f"no partition is found in {file.name}",
            hint="the namespace tier needs an image with a partition table:"
            " use --tier vm",
        )
    size, offset = max(found)
    return offset, size
