# SPDX-License-Identifier: Apache-2.0
"""Roots that nobody has thought of, read as ``inspect`` reads an image's.

Besides files of any content there are devices, FIFOs, links out of the root,
huge files of holes, deep directories and odd names.
"""

import json
import os
import pathlib
import shutil
import stat
import typing

import hypothesis
from hypothesis import strategies

from tests import base
from tests.unit import test_fuzz
from trove_tools import errors
from trove_tools.inspection import inspect

#: What is outside, and must not be told.
MARK = "outside-of-the-root"

NAMES = (
    *test_fuzz.PARSED, "etc/a\nb", "etc/\x1b[2J", "etc/" + "n" * 255,
    "opt/\udcff\udcfe", "opt/" + "d/" * 300 + "x", "root/.ssh/id_rsa",
    "etc/shadow-", "usr/lib/python3/dist-packages/x.py", "dev/x",
)  # fmt: skip
KINDS = (
    "file", "fifo", "zero", "disk", "out", "up", "proc", "loop", "holes",
    "directory", "hard", "socket",
)  # fmt: skip


class HostileRootTest(base.TestCase):
    timeout = 240

    def setUp(self) -> None:
        super().setUp()
        if os.geteuid() != 0:
            self.skipTest("making devices, and changing the root, needs root")
        self.outside = self.temp_dir() / "outside"
        self.outside.write_text(f"ID={MARK}\nroot:{MARK}:0:0::/:/bin/sh\n")
        # far less than an image may take
        self.patch_object(inspect, "MEMORY", 1024**3)
        self.patch_object(inspect, "SECONDS", 20)

    def make(self, path: pathlib.Path, kind: str, content: bytes) -> None:
        if kind == "file":
            path.write_bytes(content)
        elif kind == "fifo":
            os.mkfifo(path)
        elif kind == "zero":
            os.mknod(path, stat.S_IFCHR | 0o666, os.makedev(1, 5))
        elif kind == "disk":
            os.mknod(path, stat.S_IFBLK | 0o666, os.makedev(7, 0))
        elif kind == "socket":
            os.mknod(path, stat.S_IFSOCK | 0o666)
        elif kind == "holes":
            path.touch()
            os.truncate(path, 64 * 1024**2)
        elif kind == "directory":
            path.mkdir()
        elif kind == "hard":
            path.write_bytes(content)
            os.link(path, path.with_name("hard"))
        else:
            target = {
                "out": str(self.outside),
                "up": "../" * 40 + str(self.outside)[1:],
                "proc": "/proc/self/mem",
                "loop": path.name,
            }[kind]
            path.symlink_to(target)

    @hypothesis.settings(test_fuzz.few, max_examples=40)
    @hypothesis.given(
        strategies.dictionaries(
            strategies.sampled_from(NAMES),
            strategies.tuples(
                strategies.sampled_from(KINDS),
                strategies.lists(
                    strategies.sampled_from(test_fuzz.PIECES), max_size=6
                ),
            ),
            min_size=5,
        )
    )
    def test_any_root(
        self, files: dict[str, tuple[str, list[str]]]
    ) -> None:
        root = self.temp_dir() / "root"
        root.mkdir()
        self.addCleanup(shutil.rmtree, root, ignore_errors=True)
        for name, (kind, pieces) in files.items():
            path = root / name
            try:
                path.parent.mkdir(parents=True, exist_ok=True)
                self.make(path, kind, "".join(pieces).encode())
            except OSError:
                # another entry is in the place of its directory
                continue
        found: typing.Any = None
        try:
            found = inspect.call(root, inspect.read_root)
        except errors.ImageError as exc:
            self.assertNotIn("takes", exc.message)
            self.assertNotIn("Error: ", exc.message)
            found = exc.message
        self.assertNotIn(MARK, json.dumps(found))
