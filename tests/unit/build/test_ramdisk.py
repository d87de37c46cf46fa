# SPDX-License-Identifier: Apache-2.0
"""A build takes memory for its files where there is enough of it."""

import os
import pathlib

from tests import base
from trove_tools.build import ramdisk
from trove_tools.host import process

GIB = 1024**3


class MountTest(base.TestCase):
    def setUp(self) -> None:
        super().setUp()
        self.set_env(DIB_NO_TMPFS=None)
        self.ran: list[str] = []
        self.patch_object(
            process, "run", lambda argv: self.ran.extend(map(str, argv))
        )

    def test_enough(self) -> None:
        self.assertTrue(ramdisk.mount(pathlib.Path("/x/work"), 6 * GIB))
        self.assertEqual("/x/work", self.ran[-1])
        options = self.ran[self.ran.index("-o") + 1].split(",")
        self.assertIn(f"size={6 * GIB}", options)
        self.assertIn(f"uid={os.geteuid()}", options)

    def test_too_little(self) -> None:
        self.assertFalse(ramdisk.mount(pathlib.Path("/x/work"), 3 * GIB))
        self.assertEqual([], self.ran)

    def test_not_wanted(self) -> None:
        self.set_env(DIB_NO_TMPFS="1")
        self.assertFalse(ramdisk.mount(pathlib.Path("/x/work"), 6 * GIB))
        self.set_env(DIB_NO_TMPFS="0")
        self.assertTrue(ramdisk.mount(pathlib.Path("/x/work"), 6 * GIB))

    def test_what_is_free(self) -> None:
        physical = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
        self.assertTrue(0 < ramdisk.memory() <= physical)
