# SPDX-License-Identifier: Apache-2.0
"""Detects the format of an image file and checks that the file is complete.

Every command calls this before it opens an image. A cloud accepts any file as
an image, and guests that start from a bad one hang; a hostile image can make a
program open other files. oslo.utils detects the format by content, as it does
for Glance and Nova. This module also checks that the file is complete. It
needs only Python, because a host that loads images need not have QEMU.

A qcow2 file (QEMU, docs/interop/qcow2) consists of a header, tables of
references, and the clusters that they refer to, anywhere in the file. In a
truncated copy, the tables refer to clusters beyond the end of the file. So the
tables are read, one at a time, and the highest offset in them is compared with
the length of the file. The data is not read.
"""

import array
import collections.abc
import dataclasses
import logging
import pathlib
import struct
import sys
import types
import typing

from trove_tools import errors
from trove_tools.host import blocks
from trove_tools.host import paths

_MAGIC = b"QFI\xfb"
_HEADER = struct.Struct(">4sIQIIQIIQQIIQ")
_FEATURES = struct.Struct(">Q")
_WORD = 8
_SECTOR = 512
# bytes that oslo.utils inspects at a time
_CHUNK = 4096

_OFFSET = 0x00FFFFFFFFFFFE00
_COMPRESSED = 1 << 62

_DIRTY, _CORRUPT = 1, 2

#: The same limits as in QEMU.
_CLUSTER_BITS = range(9, 22)
_L1_LIMIT = 32 * 1024 * 1024


@dataclasses.dataclass(frozen=True)
class _Header:
    cluster_bits: int
    disk: int
    encryption: int
    l1_entries: int
    l1_offset: int
    refcount_offset: int
    refcount_clusters: int
    snapshots: int
    features: int

    @property
    def cluster(self) -> int:
        return 1 << self.cluster_bits


def _truncated(path: pathlib.Path, size: int, end: int) -> errors.ImageError:
    """Return the error for an image file that is too short.

    :param size: its size in bytes.
    :param end: its minimum size in bytes.
    """
    return errors.ImageError(
        f"{path} is truncated: it has {size} bytes, but its tables refer to"
        f" byte {end}",
        hint="copy or build the image again",
    )


def _check_qcow2(
    stream: typing.BinaryIO, path: pathlib.Path, size: int
) -> int:
    """Check a qcow2 file.

    :param stream: the open file.
    :param path: its name, for the error.
    :param size: its length in bytes.
    :returns: bytes of the disk in it.
    :raises ImageError: it is incomplete, or no guest can start from it.
    """
    header = _header(stream, path, size)
    _check_features(header, path)
    end = max(
        _HEADER.size,
        _refcounts_end(stream, header, size),
        _clusters_end(stream, header, size),
    )
    if size < end:
        raise _truncated(path, size, end)
    return header.disk


def _header(stream: typing.BinaryIO, path: pathlib.Path, size: int) -> _Header:
    stream.seek(0)
    raw = stream.read(_HEADER.size + _FEATURES.size)
    if len(raw) < _HEADER.size + _FEATURES.size:
        raise _truncated(path, size, _HEADER.size + _FEATURES.size)
    (
        _, version, _, _, cluster_bits, disk, encryption, l1_entries,
        l1_offset, refcount_offset, refcount_clusters, snapshots, _,
    ) = _HEADER.unpack_from(raw)  # fmt: skip
    if (
        version not in (2, 3)
        or cluster_bits not in _CLUSTER_BITS
        or l1_entries * _WORD > _L1_LIMIT
    ):
        raise errors.ImageError(
            f"{path} is not a usable qcow2 image: its header is invalid",
            hint="copy or build the image again",
        )
    features = _FEATURES.unpack_from(raw, _HEADER.size)[0]
    return _Header(
        cluster_bits, disk, encryption, l1_entries, l1_offset,
        refcount_offset, refcount_clusters, snapshots,
        features if version > 2 else 0,
    )  # fmt: skip


def _check_features(header: _Header, path: pathlib.Path) -> None:
    alone = f"make it whole: qemu-img convert -O qcow2 {path} NEW.qcow2"
    again = "build the image again"
    repair = f"check it: qemu-img check {path}"
    for broken, what, hint in (
        (header.encryption, "is encrypted", alone),
        (not header.disk, "has a disk of no size", again),
        (
            header.snapshots,
            "holds snapshots, which the guest would not show",
            alone,
        ),
        (header.features & _CORRUPT, "is marked as corrupt", repair),
        (
            header.features & _DIRTY,
            "was not closed properly, or is in use",
            repair,
        ),
    ):
        if broken:
            raise errors.ImageError(f"{path} {what}", hint=hint)


def _words(
    stream: typing.BinaryIO, offset: int, length: int
) -> collections.abc.Sequence[int]:
    """Return the part of a table of 64-bit numbers that is in the file."""
    stream.seek(offset)
    raw = stream.read(length)
    words = array.array("Q", raw[: len(raw) // _WORD * _WORD])
    if sys.byteorder == "little":
        words.byteswap()
    return words


def _refcounts_end(stream: typing.BinaryIO, header: _Header, size: int) -> int:
    length = header.refcount_clusters * header.cluster
    end = header.refcount_offset + length
    if end > size:
        return end
    blocks = _words(stream, header.refcount_offset, length)
    return max([end, *(word + header.cluster for word in blocks if word)])


def _clusters_end(stream: typing.BinaryIO, header: _Header, size: int) -> int:
    """Return the minimum end of the last cluster that a guest can read.

    Only the first byte of the last cluster is required: QEMU writes the
    cluster only as far as it was filled, and reads missing bytes as zeros.
    """
    end = header.l1_offset + header.l1_entries * _WORD
    if end > size:
        return end
    split = 62 - (header.cluster_bits - 8)
    sectors = (1 << (62 - split)) - 1
    words = _words(stream, header.l1_offset, header.l1_entries * _WORD)
    # a hostile file may refer to one table a thousand times
    for table in sorted({word & _OFFSET for word in words} - {0}):
        end = max(end, table + header.cluster)
        if end > size:
            return end
        for entry in _words(stream, table, header.cluster):
            if entry & _COMPRESSED:
                first = (entry & ((1 << split) - 1)) // _SECTOR
                last = first + (entry >> split & sectors)
                end = max(end, last * _SECTOR + 1)
            elif entry & _OFFSET:
                end = max(end, (entry & _OFFSET) + 1)
    return end


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

    :param path: its path; there is no file if it is in a registry.
    :param format: ``qcow2`` or ``raw``, as Glance names them.
    :param size: bytes of the file.
    :param virtual_size: bytes of the disk in it.
    :param remote: yields the file in blocks if it is in a registry.
    """

    path: pathlib.Path
    format: str
    size: int
    virtual_size: int
    remote: blocks.Reader | None = None

    def read_blocks(self) -> collections.abc.Iterator[bytes]:
        """Yield at most :attr:`size` bytes of the file in blocks."""
        if self.remote is not None:
            return self.remote()
        return blocks.read_file(self.path, self.size)


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
        return inspect_stream(stream, path)


def inspect_stream(
    stream: typing.BinaryIO,
    path: pathlib.Path,
    remote: blocks.Reader | None = None,
) -> ImageFile:
    """Check an image that is open; see :func:`inspect`.

    :param stream: the image, at any offset.
    :param path: its path.
    :param remote: yields its blocks if it is in a registry.
    """
    size = stream.seek(0, 2)
    stream.seek(0)
    if stream.read(len(_MAGIC)) == _MAGIC:
        disk = _check_qcow2(stream, path, size)
        _require_format(stream, path, "qcow2")
        return ImageFile(path, "qcow2", size, disk, remote)
    _check_raw(stream, path, size)
    return ImageFile(path, "raw", size, size, remote)


def _require_format(
    stream: typing.BinaryIO, path: pathlib.Path, *names: str
) -> None:
    """Check that a file has one of the given formats and is safe to open.

    :param stream: the open file.
    :param path: its name, for the error.
    :param names: the accepted formats, as oslo.utils names them.
    :raises ImageError: the file has another format or is unsafe.
    """
    # importing it takes as long as the rest of a command
    from oslo_utils.imageutils import format_inspector

    # its warnings about all other formats are not useful to users
    logging.getLogger(format_inspector.__name__).disabled = True
    try:
        stream.seek(0)
        # oslo.utils must not close the stream
        reader: typing.Any = types.SimpleNamespace(read=stream.read)
        wrapper = format_inspector.InspectWrapper(reader)
        while wrapper.format is None and wrapper.read(_CHUNK):
            pass
        wrapper.close()
        detected = wrapper.format
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
    name = str(detected)
    if detected is None or name not in names:
        hint = _CONVERT if name != "iso" else _INSTALLED
        raise errors.ImageError(
            f"{path} is an image of the format {name.upper()}, not a qcow2 or"
            " raw disk image",
            hint=hint.format(file=path, stem=path.stem),
        )
    if name != "qcow2":
        return
    try:
        detected.safety_check()
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
    _require_format(stream, path, *_RAW)
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
        raise _truncated(path, size, end)


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
