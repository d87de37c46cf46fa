# SPDX-License-Identifier: Apache-2.0
"""Lists mounts, and the processes in other mount namespaces that hold copies
of them.

A process that starts in a new mount namespace, such as a container engine or
``unshare --mount``, gets a copy of every mount that exists at that moment.
The copy stays after the original is unmounted, and keeps the file system and
its loop device in use.
"""

import collections.abc
import dataclasses
import os
import pathlib
import re

PROC = pathlib.Path("/proc")

# proc(5): blanks and some other characters are written as \ooo
_ESCAPED = re.compile(rb"\\([0-7]{3})")


@dataclasses.dataclass(frozen=True)
class Mount:
    """One line of ``/proc/PID/mountinfo``.

    :param device: "major:minor" of the file system's device.
    :param point: the mount point.
    """

    device: str
    point: pathlib.Path


@dataclasses.dataclass(frozen=True)
class Holder:
    """A process whose mount namespace holds a copy of a mount.

    :param command: the name of its program.
    """

    pid: int
    command: str

    def __str__(self) -> str:
        return f"process {self.pid} ({self.command})"


def read_mounts(process: str | int = "self") -> list[Mount]:
    """Return the mounts of a process, in the order of mounting.

    :raises OSError: the process has ended, or this user may not inspect it.
    """
    mounts = []
    text = (PROC / str(process) / "mountinfo").read_bytes()
    for line in filter(None, text.split(b"\n")):
        fields = line.split(b" ")
        point = _ESCAPED.sub(lambda code: bytes([int(code[1], 8)]), fields[4])
        mounts.append(
            Mount(fields[2].decode(), pathlib.Path(os.fsdecode(point)))
        )
    return mounts


def list_below(directory: pathlib.Path) -> list[Mount]:
    """Return the mounts on and below a directory, the latest mount first."""
    mounts = [
        mount
        for mount in read_mounts()
        if mount.point.is_relative_to(directory)
    ]
    # later mounts lie on top of earlier ones
    return mounts[::-1]


def find_holders(devices: collections.abc.Collection[str]) -> list[Holder]:
    """Return processes that hold file systems in other mount namespaces.

    :param devices: "major:minor" of each file system's device.
    :returns: the process with the lowest id in each namespace.
    """
    holders = []
    seen = {_namespace("self")}
    for pid in sorted(
        int(entry.name) for entry in PROC.iterdir() if entry.name.isdigit()
    ):
        namespace = _namespace(pid)
        if namespace is None or namespace in seen:
            continue
        seen.add(namespace)
        try:
            mounted = {mount.device for mount in read_mounts(pid)}
            command = (PROC / str(pid) / "comm").read_text().strip()
        except OSError:
            # the process has ended
            continue
        if mounted.intersection(devices):
            holders.append(Holder(pid, command))
    return holders


def _namespace(process: str | int) -> str | None:
    try:
        return os.readlink(PROC / str(process) / "ns" / "mnt")
    except OSError:
        return None
