# SPDX-License-Identifier: Apache-2.0
"""Files that are images, are none, or are not whole."""

import os
import pathlib

from tests import base
from tests.unit.cloud import images
from trove_tools import errors
from trove_tools.artifact import imagefile

CLUSTER = images.CLUSTER


class ImageFileTest(base.TestCase):
    def setUp(self) -> None:
        super().setUp()
        self.path = self.temp_dir() / "x.img"

    def inspect(self, data: bytes) -> imagefile.ImageFile:
        self.path.write_bytes(data)
        return imagefile.inspect(self.path)

    def refused(self, data: bytes) -> errors.ImageError:
        error = self.assertRaises(errors.ImageError, self.inspect, data)
        self.assertIn(str(self.path), error.message)
        self.assertTrue(error.hint)
        return error

    def test_qcow2_whatever_its_name(self) -> None:
        for version in (2, 3):
            data = images.qcow2(version=version)
            self.assertEqual(
                imagefile.ImageFile(
                    self.path, "qcow2", len(data), 3 * images.GIB
                ),
                self.inspect(data),
            )

    def test_qcow2_cut_off_anywhere(self) -> None:
        whole = images.qcow2()
        for size in (4, 20, 111, 112, CLUSTER, 3 * CLUSTER, 5 * CLUSTER):
            error = self.refused(whole[:size])
            self.assertIn("truncated", error.message, f"at {size}")
            self.assertIn(f"{size} bytes", error.message)

    def test_compressed_cluster_may_end_inside_its_last_sector(self) -> None:
        # 54 bits of offset for clusters of 64 KiB; two sectors after it
        entry = 1 << 62 | 2 << 54 | 5 * CLUSTER
        for size in (1025, 1536):
            self.inspect(images.qcow2(entry=entry, data=bytes(size)))
        error = self.refused(images.qcow2(entry=entry, data=bytes(1024)))
        self.assertIn("truncated", error.message)

    def test_qcow2_that_is_not_on_its_own(self) -> None:
        for data, word in (
            (images.qcow2(backing=200), "backing file"),
            (images.qcow2(features=4), "another file"),
            (images.qcow2(encryption=1), "encrypted"),
            (images.qcow2(features=16), "refuse"),
            (images.qcow2(features=1 << 40), "refuse"),
            (images.qcow2(disk=0), "no size"),
            (images.qcow2(snapshots=1), "snapshots"),
            (images.qcow2(features=2), "corrupt"),
            (images.qcow2(features=1), "not closed"),
        ):
            self.assertIn(word, self.refused(data).message)

    def test_qcow2_with_a_senseless_header(self) -> None:
        for data in (
            images.qcow2(version=7),
            images.qcow2(cluster_bits=60),
        ):
            self.assertIn("header is invalid", self.refused(data).message)

    def test_raw(self) -> None:
        found = self.inspect(images.raw())
        self.assertEqual(("raw", 64 * 512), (found.format, found.size))
        self.assertEqual(found.size, found.virtual_size)

    def test_raw_shorter_than_its_partitions(self) -> None:
        error = self.refused(images.raw(sectors=63))
        self.assertIn(f"byte {64 * 512}", error.message)

    def test_raw_with_gpt(self) -> None:
        disk = bytearray(images.raw(kind=0xEE, end=2**31))
        disk[512:520] = b"EFI PART"
        disk[544:552] = (63).to_bytes(8, "little")
        self.assertEqual("raw", self.inspect(bytes(disk)).format)
        self.assertIn("truncated", self.refused(bytes(disk[:-512])).message)

    def test_raw_without_a_partition(self) -> None:
        self.assertIn("partition", self.refused(images.raw(kind=0)).message)

    def test_no_image(self) -> None:
        text = (base.ROOT / "README.rst").read_bytes()
        bad = b"# Disk DescriptorFile\n\xff" + bytes(4096)
        for data in (
            b"", b"hello", bytes(4096), os.urandom(100), text, bad,
        ):  # fmt: skip
            self.assertIn("not a disk image", self.refused(data).message)

    def test_image_of_another_kind(self) -> None:
        for offset, magic, word, todo in (
            (0, b"KDMV", "VMDK", "qemu-img convert"),
            (0, b"vhdxfile", "VHDX", "qemu-img convert"),
            (0, b"\x1f\x8b", "gzip", "gunzip"),
            (0, b"\x28\xb5\x2f\xfd", "zstd", "unzstd"),
            (0x101, b"ustar", "tar", "qcow2"),
            (0x8001, b"CD001", "ISO", "installed"),
        ):
            error = self.refused(bytes(offset) + magic + bytes(4096))
            self.assertIn(word, error.message)
            self.assertIn(todo, error.hint or "")

    def test_no_file(self) -> None:
        for path in (self.path, self.path.parent):
            self.assertRaises(errors.UsageError, imagefile.inspect, path)

    def test_directory_that_cannot_be_entered(self) -> None:
        path = pathlib.Path("/proc/self/mem/x")
        self.assertRaises(errors.UsageError, imagefile.inspect, path)
