# SPDX-License-Identifier: Apache-2.0
"""Mounts a tmpfs for a build, if there is enough memory.

diskimage-builder alone would mount several: one for the root file system of
each run, and one for the disk.

With a single tmpfs, a rename passes the root file system to the next run, and
the disk to the conversion.
"""

import os
import pathlib

from trove_tools.host import process

#: The memory that must be free, in GiB: for a root file system and a disk with
#: the same content.
NEEDED = 4
#: The variable that keeps diskimage-builder from mounting a tmpfs.
SWITCH = "DIB_NO_TMPFS"


def mount(directory: pathlib.Path, available: int | None = None) -> bool:
    """Mount a tmpfs on a directory if there is enough memory.

    :func:`trove_tools.host.cleanup.remove` unmounts it with the directory.

    :param directory: an empty directory of the user.
    :param available: free memory in bytes; by default the kernel's value.
    :returns: whether a tmpfs was mounted.
    :raises CommandError: a tmpfs cannot be mounted.
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
    """Return the memory that is available without swapping, in bytes."""
    with open("/proc/meminfo") as stream:
        for line in stream:
            if line.startswith("MemAvailable:"):
                return int(line.split()[1]) * 1024
    # kernels before 3.14 have no MemAvailable
    return os.sysconf("SC_AVPHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
