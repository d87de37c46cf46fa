# SPDX-License-Identifier: Apache-2.0
"""Checks whether a qcow2 file is complete.

The format (QEMU, docs/interop/qcow2) consists of a header, tables of
references, and the clusters that they refer to, anywhere in the file. In a
truncated copy, the tables refer to clusters beyond the end of the file. This
module walks through the tables, one at a time, and compares the highest offset
with the length of the file. It does not read the data.
"""

import array
import collections.abc
import dataclasses
import pathlib
import struct
import sys
import typing

from trove_tools import errors

MAGIC = b"QFI\xfb"

_HEADER = struct.Struct(">4sIQIIQIIQQIIQ")
_FEATURES = struct.Struct(">Q")
_WORD = 8
_SECTOR = 512

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


def truncated(path: pathlib.Path, size: int, end: int) -> errors.ImageError:
    """Return the error for an image file that is too short.

    :param size: its size in bytes.
    :param end: its minimum size in bytes.
    """
    return errors.ImageError(
        f"{path} is truncated: it has {size} bytes, but its tables refer to"
        f" byte {end}",
        hint="copy or build the image again",
    )


def read(stream: typing.BinaryIO, path: pathlib.Path, size: int) -> int:
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
        raise truncated(path, size, end)
    return header.disk


def _header(stream: typing.BinaryIO, path: pathlib.Path, size: int) -> _Header:
    stream.seek(0)
    raw = stream.read(_HEADER.size + _FEATURES.size)
    if len(raw) < _HEADER.size + _FEATURES.size:
        raise truncated(path, size, _HEADER.size + _FEATURES.size)
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
