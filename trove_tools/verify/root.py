# SPDX-License-Identifier: Apache-2.0
"""The root file system in an image, as a disk that may be written to."""

import dataclasses
import pathlib

from trove_tools import partitions
from trove_tools import process
from trove_tools.verify import disks

TOOLS = (disks.TOOL, "partx")


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
    offset, size = partitions.largest(file)
    return Root(file, offset, size)
