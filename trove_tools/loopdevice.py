# SPDX-License-Identifier: Apache-2.0
"""Loop devices: which are there, and how they are given back.

Giving one back needs root; run as a program, this module detaches the device
that is named.
"""

import contextlib
import fcntl
import os
import pathlib
import struct
import sys
import tempfile
import time

from trove_tools import process

SYS_BLOCK = pathlib.Path("/sys/class/block")

# linux/loop.h: struct loop_info64, of which the flags count here
_GET_STATUS, _SET_STATUS = 0x4C05, 0x4C04
_INFO_SIZE, _FLAGS_AT = 232, 52
_PARTSCAN = 8

# seconds that the kernel and udev may take to let a device go
_PATIENCE = 2.0


def below(directory: pathlib.Path) -> list[str]:
    """Return the loop devices whose file lies below a directory."""
    return [
        f"/dev/{device.name}"
        for device in sorted(SYS_BLOCK.glob("loop*"))
        if (file := _file(device)) and file.is_relative_to(directory)
    ]


def _file(device: pathlib.Path) -> pathlib.Path | None:
    """Return the file that is attached to a device, if there is one."""
    try:
        name = (device / "loop/backing_file").read_bytes()
    except OSError:
        return None
    name = name.removesuffix(b"\n").removesuffix(b" (deleted)")
    return pathlib.Path(os.fsdecode(name))


def devices(device: str) -> set[str]:
    """Return "major:minor" of a loop device and of its partitions."""
    found = set()
    for entry in [_entry(device), *partitions(device)]:
        with contextlib.suppress(OSError):
            found.add((entry / "dev").read_text().strip())
    return found


def partitions(device: str) -> list[pathlib.Path]:
    """Return what sysfs shows of a device's partitions."""
    entry = _entry(device)
    return sorted(entry.glob(f"{entry.name}p*"))


def _entry(device: str) -> pathlib.Path:
    return SYS_BLOCK / os.path.basename(device)


def detach(device: str) -> bool:
    """Detach a loop device, now or as soon as nobody uses it any more.

    Where a process holds a copy of a mount, the file system becomes clean
    and read-only first: the file is complete then, whatever happens later.

    :returns: whether it is detached.
    :raises CommandError: a file system that is in use cannot be made clean.
    """
    if partitions(device):
        process.run(["partx", "--delete", device], check=False)
    try:
        for partition in partitions(device):
            _settle(f"/dev/{partition.name}")
    finally:
        if partitions(device):
            # or the partitions would stay when the device has gone
            _set_flag(device, _PARTSCAN)
        process.run(["losetup", "--detach", device], check=False)
    end = time.monotonic() + _PATIENCE
    while _file(_entry(device)) is not None:
        if time.monotonic() > end:
            return False
        time.sleep(0.05)
    return True


def _settle(partition: str) -> None:
    """Make a mounted file system clean and read-only, for all who see it.

    It is mounted for a moment, which any file system allows that is mounted
    somewhere else.
    """
    with tempfile.TemporaryDirectory(prefix="trove-settle-") as place:
        done = process.run(["mount", partition, place], check=False)
        if done.status != 0:
            # it holds no file system
            return
        try:
            process.run(["mount", "-o", "remount,ro", place])
        finally:
            process.run(["umount", place])


def _set_flag(device: str, flag: int) -> None:
    with contextlib.suppress(OSError):
        descriptor = os.open(device, os.O_RDWR)
        try:
            info = bytearray(_INFO_SIZE)
            fcntl.ioctl(descriptor, _GET_STATUS, info)
            (flags,) = struct.unpack_from("I", info, _FLAGS_AT)
            struct.pack_into("I", info, _FLAGS_AT, flags | flag)
            fcntl.ioctl(descriptor, _SET_STATUS, bytes(info))
        finally:
            os.close(descriptor)


if __name__ == "__main__":
    detach(sys.argv[1])
