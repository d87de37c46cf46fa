# SPDX-License-Identifier: Apache-2.0
"""Attaches, lists and detaches loop devices.

Attaching and detaching need root.  When this module is run as a program, it
detaches the device in its argument.
"""

import contextlib
import errno
import fcntl
import os
import pathlib
import struct
import sys
import tempfile
import time

from trove_tools import errors
from trove_tools.host import process

_SECTOR = 512
SYS_BLOCK = pathlib.Path("/sys/class/block")

# linux/loop.h: struct loop_info64; only its flags are used
_GET_STATUS, _SET_STATUS = 0x4C05, 0x4C04
_INFO_SIZE, _FLAGS_AT = 232, 52
_PARTSCAN, _AUTOCLEAR = 8, 4
_CONTROL = "/dev/loop-control"
_GET_FREE, _CONFIGURE, _SET_CAPACITY = 0x4C82, 0x4C0A, 0x4C07
# struct loop_config: descriptor, block size, struct loop_info64, reserved
_CONFIG = "=II QQQQQIIII64s64s32sQQ 64s"
_MAJOR = 7

# seconds that the kernel and udev may take to release a device
_PATIENCE = 2.0


def attach(file: int, offset: int = 0, size: int = 0) -> tuple[int, str]:
    """Attach a loop device that the kernel detaches after its last use.

    :param file: descriptor of the file, open for reading and writing; may be
        closed afterwards.
    :param offset: where the device begins in the file, in bytes.
    :param size: size of the device in bytes; 0 for the rest of the file.
    :returns: a descriptor, which keeps the device attached, and its path.
    :raises OSError: no loop device can be attached.
    """
    with open(_CONTROL, "rb") as control:
        while True:
            number = fcntl.ioctl(control, _GET_FREE)
            device = f"/dev/loop{number}"
            # without udev, the device node does not exist
            with contextlib.suppress(FileExistsError):
                os.mknod(device, 0o60660, os.makedev(_MAJOR, number))
            opened = os.open(device, os.O_RDWR | os.O_CLOEXEC)
            config = struct.pack(
                _CONFIG, file, 0, 0, 0, 0, offset, size, 0, 0, 0,
                _AUTOCLEAR, b"", b"", b"", 0, 0, b"",
            )  # fmt: skip
            try:
                fcntl.ioctl(opened, _CONFIGURE, config)
                return opened, device
            except OSError as exc:
                os.close(opened)
                # EBUSY: another process attached this device first
                if exc.errno != errno.EBUSY:
                    raise


def grow(device: int) -> None:
    """Update the size of a loop device after its file has grown.

    :param device: the device's descriptor.
    """
    fcntl.ioctl(device, _SET_CAPACITY)


def find_below(directory: pathlib.Path) -> list[str]:
    """Return the loop devices whose file lies below a directory."""
    return [
        f"/dev/{device.name}"
        for device in sorted(SYS_BLOCK.glob("loop*"))
        if (file := _file(device)) and file.is_relative_to(directory)
    ]


def _file(device: pathlib.Path) -> pathlib.Path | None:
    """Return the file of a loop device; None if it is not attached."""
    try:
        name = (device / "loop/backing_file").read_bytes()
    except OSError:
        return None
    name = name.removesuffix(b"\n").removesuffix(b" (deleted)")
    return pathlib.Path(os.fsdecode(name))


def list_devices(device: str) -> set[str]:
    """Return "major:minor" of a loop device and of its partitions."""
    found = set()
    for entry in [_entry(device), *list_partitions(device)]:
        with contextlib.suppress(OSError):
            found.add((entry / "dev").read_text().strip())
    return found


def list_partitions(device: str) -> list[pathlib.Path]:
    """Return the sysfs directories of a device's partitions."""
    entry = _entry(device)
    return sorted(entry.glob(f"{entry.name}p*"))


def _entry(device: str) -> pathlib.Path:
    return SYS_BLOCK / os.path.basename(device)


def detach(device: str) -> bool:
    """Detach a loop device now, or when its last user has closed it.

    If another process holds a copy of a mount, the file system is first made
    clean and read-only, so that the file is complete and stays unchanged.

    :returns: whether the device was detached now.
    :raises CommandError: a file system in use cannot be made read-only.
    """
    if list_partitions(device):
        process.run(["partx", "--delete", device], check=False)
    try:
        for partition in list_partitions(device):
            _settle(f"/dev/{partition.name}")
    finally:
        if list_partitions(device):
            # otherwise the partitions stay after the device is detached
            _set_flag(device, _PARTSCAN)
        process.run(["losetup", "--detach", device], check=False)
    end = time.monotonic() + _PATIENCE
    while _file(_entry(device)) is not None:
        if time.monotonic() > end:
            return False
        time.sleep(0.05)
    return True


def _settle(partition: str) -> None:
    """Make a mounted file system clean and read-only in all its mounts.

    The file system is mounted once more for a moment, which is possible
    while it is mounted elsewhere, and remounted read-only.
    """
    with tempfile.TemporaryDirectory(prefix="trove-settle-") as place:
        done = process.run(["mount", partition, place], check=False)
        if done.status != 0:
            # the partition holds no file system
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


def find_largest_partition(
    raw: pathlib.Path, image: pathlib.Path | None = None
) -> tuple[int, int]:
    """Return the offset and size of the largest partition, in bytes.

    In the disk layouts of this project's elements, that is the root.

    :param raw: a raw disk image.
    :param image: the image that the disk is a copy of, for the error.
    :raises ImageError: there is no partition.
    """
    argv: list[process.Argument] = [
        "partx", "--noheadings", "--raw", "--output", "START,SECTORS", raw,
    ]  # fmt: skip
    if not os.access(raw, os.R_OK):
        argv = process.as_root(argv)
    listed = process.run(argv, check=False)
    found = [
        (int(words[1]) * _SECTOR, int(words[0]) * _SECTOR)
        for words in map(str.split, listed.stdout.splitlines())
        if len(words) == 2
    ]
    if not found:
        raise errors.ImageError(
            f"{image or raw} has no partition table",
            hint="give a disk image that `trove-image-builder build` made",
        )
    size, offset = max(found)
    return offset, size


if __name__ == "__main__":
    detach(sys.argv[1])
