# SPDX-License-Identifier: Apache-2.0
"""What a compressed image is made of."""

import os

from tests import base
from trove_tools.build import disk
from trove_tools.host import process


class ConvertTest(base.TestCase):
    def test_a_compressed_image(self) -> None:
        if process.find("qemu-img") is None:
            self.skipTest("qemu-img is not installed")
        raw = self.temp_dir() / "raw"
        content = os.urandom(4096) * 512
        raw.write_bytes(content)
        image = raw.with_name("image.qcow2")
        disk.to_qcow2(raw, image, "zstd")
        found = disk.info(image)
        self.assertEqual(256 * 1024, found["cluster-size"])
        data = found["format-specific"]["data"]
        self.assertEqual("zstd", data["compression-type"])
        self.assertLess(image.stat().st_size, 2 * 1024 * 1024)
        back = raw.with_name("back")
        process.run(["qemu-img", "convert", "-O", "raw", image, back])
        self.assertEqual(content, back.read_bytes())
