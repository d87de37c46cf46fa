# SPDX-License-Identifier: Apache-2.0
"""Where the partitions of a raw disk are."""

import pathlib

from trove_tools import errors
from trove_tools.host import process

_SECTOR = 512


def largest(raw: pathlib.Path) -> tuple[int, int]:
    """Return offset and size of the largest partition, in bytes.

    In the layouts of our elements that is the root.

    :raises ImageError: there is none.
    """
    listed = process.run(
        ["partx", "--noheadings", "--raw", "--output", "START,SECTORS", raw],
        check=False,
    )
    found = [
        (int(words[1]) * _SECTOR, int(words[0]) * _SECTOR)
        for words in map(str.split, listed.stdout.splitlines())
        if len(words) == 2
    ]
    if not found:
        raise errors.ImageError(
            f"{raw.name} has no partition table",
            hint="give a disk image that `trove-image-builder build` made",
        )
    size, offset = max(found)
    return offset, size
