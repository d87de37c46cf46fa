# SPDX-License-Identifier: Apache-2.0
"""Detects the format of an image file and checks that the file is complete.

Every command calls this before it opens an image. A cloud accepts any file as
an image, and guests that start from a bad one hang; a hostile image can make a
program open other files. oslo.utils detects the format by content, as it does
for Glance and Nova. This module also checks that the file is complete. It
needs only Python, because a host that loads images need not have QEMU.
"""

import dataclasses
import logging
import pathlib
import typing

from trove_tools import errors
from trove_tools.artifact import qcow2
from trove_tools.host import paths

_SECTOR = 512
#: The format names of oslo.utils for an unknown file and for a disk with
#: partitions.
_RAW = ("raw", "gpt")

_NAMED = (
    "was the right file named? an image comes from:"
    " trove-image-builder build DATASTORE"
)
_AGAIN = "build the image again"
_INSTALLED = "load an image of an installed system"
_CONVERT = "convert it: qemu-img convert -O qcow2 {file} {stem}.qcow2"
#: Containers of images that users try to load: the offset of the magic number,
#: the number, the name, and what to do.
_OTHERS = (
    (0, b"\x1f\x8b", "compressed by gzip", "unpack it: gunzip {file}"),
    (0, b"\xfd7zXZ\0", "compressed by xz", "unpack it: unxz {file}"),
    (0, b"\x28\xb5\x2f\xfd", "compressed by zstd",
     "unpack it: unzstd {file}"),
    (0, b"BZh", "compressed by bzip2", "unpack it: bunzip2 {file}"),
    (0x101, b"ustar", "a tar archive", "load the qcow2 or raw image instead"),
)  # fmt: skip


#: The unsafe features of a qcow2 image that oslo.utils reports, and what to do
#: about them.
_ALONE = "make it whole: qemu-img convert -O qcow2 {file} NEW.qcow2"
_UNSAFE = {
    "backing_file": ("needs a backing file", _ALONE),
    "data_file": ("keeps its data in another file", _ALONE),
    # this includes extended L2 entries
    "unknown_features": (
        "has features of qcow2 that Glance and Nova refuse", _ALONE,
    ),
}  # fmt: skip


@dataclasses.dataclass(frozen=True)
class ImageFile:
    """A complete image file.

    :param format: ``qcow2`` or ``raw``, as Glance names them.
    :param size: bytes of the file.
    :param virtual_size: bytes of the disk in it.
    """

    path: pathlib.Path
    format: str
    size: int
    virtual_size: int


def inspect(path: pathlib.Path) -> ImageFile:
    """Check an image file.

    :param path: the file.
    :returns: its format and sizes.
    :raises UsageError: the file does not exist or cannot be read.
    :raises ImageError: it is not an image that can be loaded, or it is
        incomplete.
    """
    paths.require_file(
        path,
        "image",
        "correct the path, or build the image first: trove-image-builder"
        " build DATASTORE",
    )
    with open(path, "rb") as stream:
        size = stream.seek(0, 2)
        stream.seek(0)
        if stream.read(len(qcow2.MAGIC)) == qcow2.MAGIC:
            disk = qcow2.read(stream, path, size)
            _require_format(path, "qcow2")
            return ImageFile(path, "qcow2", size, disk)
        _check_raw(stream, path, size)
        return ImageFile(path, "raw", size, size)


def _require_format(path: pathlib.Path, *names: str) -> None:
    """Check that a file has one of the given formats and is safe to open.

    :param names: the accepted formats, as oslo.utils names them.
    :raises ImageError: the file has another format or is unsafe.
    """
    # importing it takes as long as the rest of a command
    from oslo_utils.imageutils import format_inspector

    # its warnings about all other formats are not useful to users
    logging.getLogger(format_inspector.__name__).disabled = True
    try:
        found = format_inspector.detect_file_format(str(path))
    except format_inspector.ImageFormatError as exc:
        raise errors.ImageError(
            f"{path} is not a usable image: {exc}", hint=_AGAIN
        ) from exc
    except Exception as exc:
        # it raises various exceptions for files that are not images, such as
        # text
        raise errors.ImageError(
            f"{path} is not a disk image: its format is unknown",
            hint=_NAMED,
        ) from exc
    name = str(found)
    if found is None or name not in names:
        hint = _CONVERT if name != "iso" else _INSTALLED
        raise errors.ImageError(
            f"{path} is an image of the format {name.upper()}, not a qcow2 or"
            " raw disk image",
            hint=hint.format(file=path, stem=path.stem),
        )
    if name != "qcow2":
        return
    try:
        found.safety_check()
    except format_inspector.SafetyCheckFailed as exc:
        failure = min(exc.failures)
        what, hint = _UNSAFE.get(failure, (f"is not safe: {failure}", _AGAIN))
        raise errors.ImageError(
            f"{path} {what}", hint=hint.format(file=path)
        ) from exc


def _check_raw(stream: typing.BinaryIO, path: pathlib.Path, size: int) -> None:
    """Check that a file without a magic number is a complete raw disk.

    :raises ImageError: it is not a disk, or its partitions extend beyond its
        end.
    """
    for offset, magic, name, hint in _OTHERS:
        stream.seek(offset)
        if stream.read(len(magic)) == magic:
            raise errors.ImageError(
                f"{path} is {name}, not a qcow2 or raw disk image",
                hint=hint.format(file=path, stem=path.stem),
            )
    _require_format(path, *_RAW)
    stream.seek(0)
    head = stream.read(2 * _SECTOR)
    if head[510:512] != b"\x55\xaa":
        raise errors.ImageError(
            f"{path} is not a disk image: it is not qcow2, and its first"
            " sector has no boot signature",
            hint=_NAMED,
        )
    end = _SECTOR * max(_mbr_end(head), _gpt_end(head))
    if not end:
        raise errors.ImageError(
            f"{path} is not a bootable disk: it has no partition",
            hint="was the right file named?",
        )
    if size < end:
        raise qcow2.truncated(path, size, end)


def _mbr_end(head: bytes) -> int:
    """Return the sector after the last partition of an MBR."""
    ends = [0]
    for start in range(446, 510, 16):
        entry = head[start : start + 16]
        # 0xee covers a GPT disk and may claim more than there is
        if entry[4] not in (0, 0xEE):
            first = int.from_bytes(entry[8:12], "little")
            ends.append(first + int.from_bytes(entry[12:16], "little"))
    return max(ends)


def _gpt_end(head: bytes) -> int:
    """Return the sector after a GPT's second copy; 0 without a GPT."""
    header = head[_SECTOR:]
    if not header.startswith(b"EFI PART"):
        return 0
    return int.from_bytes(header[32:40], "little") + 1
