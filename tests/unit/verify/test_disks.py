# SPDX-License-Identifier: Apache-2.0
"""Images that are none, or not whole, and what is said of them."""

import fcntl
import os
import pathlib
import shutil
import struct
import typing

from tests import base
from tests.unit.cloud import images
from tests.unit.verify import samples
from trove_tools import errors
from trove_tools.host import process
from trove_tools.verify import disks


class DisksTest(base.TestCase):
    def setUp(self) -> None:
        super().setUp()
        if shutil.which(disks.TOOL) is None:
            self.skipTest(f"{disks.TOOL} is not installed")
        self.place = self.temp_dir()

    def image(self, name: str = "image.qcow2") -> pathlib.Path:
        """Make a small whole qcow2 with something in it."""
        raw = self.place / "content.raw"
        raw.write_bytes(os.urandom(1 << 20))
        image = self.place / name
        process.run([disks.TOOL, "convert", "-O", "qcow2", raw, image])
        return image

    def refused(
        self, image: pathlib.Path, known: typing.Any = None
    ) -> errors.ImageError:
        error: errors.ImageError = self.assertRaises(
            errors.ImageError, disks.inspect_image, image, known
        )
        self.assertTrue(error.hint)
        self.assertNotIn("\n", error.message)
        return error

    def test_a_whole_qcow2(self) -> None:
        image = self.image()
        found = disks.inspect_image(image)
        self.assertEqual(disks.Disk(image, "qcow2", 1 << 20), found)

    def test_a_raw_disk(self) -> None:
        image = self.place / "image.raw"
        image.write_bytes(images.raw())
        size = image.stat().st_size
        self.assertEqual(
            disks.Disk(image, "raw", size), disks.inspect_image(image)
        )

    def test_a_link_is_followed(self) -> None:
        image = self.image()
        link = self.place / "link"
        link.symlink_to(image.name)
        self.assertEqual(image, disks.inspect_image(link).path)

    def test_no_file(self) -> None:
        for path in (self.place / "absent.qcow2", self.place):
            self.assertRaises(errors.UsageError, disks.inspect_image, path)

    def test_an_empty_file(self) -> None:
        image = self.place / "empty.qcow2"
        image.touch()
        self.assertIn("is empty", self.refused(image).message)

    def test_a_text(self) -> None:
        image = self.place / "text.qcow2"
        image.write_text("hello\n" * 200)
        self.assertIn("is not a disk image", self.refused(image).message)

    def test_only_the_magic_number(self) -> None:
        image = self.place / "magic.qcow2"
        image.write_bytes(b"QFI\xfb\x00\x00\x00\x03" + bytes(600))
        self.assertIn("header is invalid", self.refused(image).message)

    def test_another_format(self) -> None:
        image = self.place / "image.vmdk"
        process.run([disks.TOOL, "create", "-q", "-f", "vmdk", image, "1M"])
        self.assertIn("format VMDK", self.refused(image).message)

    def test_a_truncated_qcow2(self) -> None:
        image = self.image()
        os.truncate(image, 300_000)
        self.assertIn("is truncated", self.refused(image).message)

    def test_a_truncated_raw_disk_is_told_by_its_manifest(self) -> None:
        image = self.place / "image.raw"
        image.write_bytes(bytes(510) + b"\x55\xaa")
        known = samples.manifest(size=1024)
        self.assertIn(
            "512 bytes, its manifest says 1024",
            self.refused(image, known).message,
        )

    def test_an_overlay(self) -> None:
        disk = disks.inspect_image(self.image())
        overlay = disks.make_overlay(disk, self.place / "overlay.qcow2")
        self.assertIn("needs a backing file", self.refused(overlay).message)

    def test_an_image_that_is_being_written(self) -> None:
        image = self.image()
        # the byte that QEMU's writers lock, whichever process they are
        lock = struct.pack("hhqqi", fcntl.F_RDLCK, os.SEEK_SET, 101, 1, 0)
        with open(image, "rb") as stream:
            fcntl.fcntl(stream, fcntl.F_OFD_SETLK, lock)
            error = self.refused(image)
        self.assertIn("is being written", error.message)

    def test_an_image_that_is_being_read(self) -> None:
        image = self.image()
        lock = struct.pack("hhqqi", fcntl.F_RDLCK, os.SEEK_SET, 100, 1, 0)
        with open(image, "rb") as stream:
            fcntl.fcntl(stream, fcntl.F_OFD_SETLK, lock)
            self.assertEqual("qcow2", disks.inspect_image(image).format)

    def test_an_overlay_reads_the_image_and_leaves_it_alone(self) -> None:
        image = self.image("name, with: oddities.qcow2")
        before = image.read_bytes()
        image.chmod(0o444)
        disk = disks.inspect_image(image)
        overlay = disks.make_overlay(disk, self.place / "overlay.qcow2")
        process.run([disks.TOOL, "compare", overlay, image])
        self.assertEqual(before, image.read_bytes())

    def test_a_volume(self) -> None:
        volume = disks.make_volume(self.place / "volume.raw", 2)
        self.assertEqual(2 << 30, volume.stat().st_size)
        self.assertEqual(0, volume.stat().st_blocks)
