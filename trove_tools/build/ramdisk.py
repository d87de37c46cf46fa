# SPDX-License-Identifier: Apache-2.0
"""A file system in memory for one build, where there is memory for it.

diskimage-builder would mount several, one for each run's root and one for
its disk.  In a single one, what a run leaves becomes the next one's, and the
disk the converter's, by a rename.
"""

import os
import pathlib

from trove_tools.host import process

#: Memory that must be free, GiB: for a root, and a disk with the same in it.
NEEDED = 4
#: diskimage-builder's own word against it.
SWITCH = "DIB_NO_TMPFS"


def mount(directory: pathlib.Path, available: int | None = None) -> bool:
    """Mount a file system in memory on a directory, unless memory is short.

    It goes with what is below the directory, see :mod:`.leftovers`.

    :param directory: empty, and the user's own.
    :param available: free memory, bytes; as the kernel has it if not given.
    :returns: whether it did.
    :raises CommandError: it cannot be mounted.
    """
    if os.environ.get(SWITCH, "0") not in ("", "0"):
        return False
    free = memory() if available is None else available
    if free < NEEDED * 1024**3:
        return False
    options = f"mode=0755,uid={os.geteuid()},gid={os.getegid()},size={free}"
    process.run(
        process.as_root(
            ["mount", "-t", "tmpfs", "-o", options, "trove-image", directory]
        )
    )
    return True


def memory() -> int:
    """Return how much memory is free without swapping, bytes."""
    with open("/proc/meminfo") as stream:
        for line in stream:
            if line.startswith("MemAvailable:"):
                return int(line.split()[1]) * 1024
    # kernels before 3.14
    return os.sysconf("SC_AVPHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
