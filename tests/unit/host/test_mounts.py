# SPDX-License-Identifier: Apache-2.0
"""Mounts, and who holds copies of them."""

import os
import pathlib

from tests import base
from trove_tools.host import mounts


class MountsTest(base.TestCase):
    def setUp(self) -> None:
        super().setUp()
        self.proc = self.temp_dir()
        self.patch_object(mounts, "PROC", self.proc)

    def process(
        self, name: str, namespace: int, command: str, *lines: str
    ) -> None:
        """Lay out what /proc has of a process."""
        place = self.proc / name
        (place / "ns").mkdir(parents=True)
        (place / "ns" / "mnt").symlink_to(f"mnt:[{namespace}]")
        (place / "comm").write_text(f"{command}\n")
        (place / "mountinfo").write_bytes(
            b"".join(os.fsencode(f"{line}\n") for line in lines)
        )

    def test_names_with_any_character(self) -> None:
        self.process(
            "self", 1, "python",
            "22 27 0:21 / / rw - ext4 /dev/x rw",
            r"23 22 0:22 / /a\040b\011\012\134"
            "\u00e9\r rw shared:1 - tmpfs x rw",
        )  # fmt: skip
        self.assertEqual(
            [
                mounts.Mount("0:21", pathlib.Path("/")),
                mounts.Mount("0:22", pathlib.Path("/a b\t\n\\\u00e9\r")),
            ],
            mounts.read_mounts(),
        )

    def test_below_a_directory_the_innermost_first(self) -> None:
        self.process(
            "self", 1, "python",
            "1 0 0:1 / / rw - x x rw", "2 1 0:2 / /a rw - x x rw",
            "3 1 0:3 / /ab rw - x x rw", "4 2 0:4 / /a/b rw - x x rw",
        )  # fmt: skip
        found = mounts.list_below(pathlib.Path("/a"))
        self.assertEqual(["0:4", "0:2"], [mount.device for mount in found])

    def test_the_first_process_of_each_other_namespace(self) -> None:
        ours = "5 1 259:1 / /mnt rw - ext4 /dev/loop0p1 rw"
        self.process("self", 1, "python")
        self.process("7", 1, "python", ours)
        self.process("20", 2, "sleep", ours)
        self.process("100", 2, "child", ours)
        self.process("30", 3, "other", "5 1 259:9 / /mnt rw - ext4 x rw")
        self.process("40", 4, "engine", ours)
        (self.proc / "50").mkdir()
        (self.proc / "meminfo").touch()
        found = mounts.find_holders({"259:1", "7:0"})
        self.assertEqual(
            ["process 20 (sleep)", "process 40 (engine)"],
            list(map(str, found)),
        )
