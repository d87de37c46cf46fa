# SPDX-License-Identifier: Apache-2.0
"""Every file of a root in a word, and which of them differ."""

import os
import re

from tests import base
from tests.unit.inspection import samples
from trove_tools.inspection import diff
from trove_tools.inspection import rootfile

EMPTY = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"


class FilesTest(base.TestCase):
    def test_read(self) -> None:
        root = self.temp_dir()
        file = samples.write(root, "a/file", "")
        file.chmod(0o4755)
        os.utime(file, (5, 7))
        os.symlink("/nowhere", root / "link")
        os.mkfifo(root / "pipe", 0o600)
        (root / "a").chmod(0o750)
        owner = f"{os.geteuid()}:{os.getegid()}"
        found = rootfile.read_states(root)
        self.assertEqual(
            {
                "/a": f"0750 {owner} directory",
                "/a/file": f"4755 {owner} sha256:{EMPTY}",
                "/link": "-> /nowhere",
                "/pipe": f"0600 {owner} p 0",
            },
            {path: each.what for path, each in found.items()},
        )
        self.assertEqual(7, found["/a/file"].time)

    def test_changes(self) -> None:
        state = rootfile.FileState
        old = {"/gone": state("a", 1), "/x": state("a", 1),
               "/same": state("a", 1), "/t": state("a", 1)}
        new = {"/new": state("b", 1), "/x": state("b", 2),
               "/same": state("a", 1), "/t": state("a", 2)}
        self.assertEqual(
            ({"/gone": "a", "/x": "a", "/t": "@1"},
             {"/new": "b", "/x": "b", "/t": "@2"}),
            rootfile.compare_states(old, new),
        )  # fmt: skip


class ReasonTest(base.TestCase):
    def test_reasons(self) -> None:
        self.assertIsNotNone(diff.explain_file("/var/lib/docker/image/x"))
        self.assertIsNone(diff.explain_file("/var/lib/dockers"))
        self.assertIsNone(diff.explain_file("/etc/passwd"))

    def test_times(self) -> None:
        self.assertIsNotNone(diff.explain_file("/var/log/x", True))
        self.assertIsNone(diff.explain_file("/var/log/x"))

    def test_the_documentation_has_them_all(self) -> None:
        page = base.ROOT / "doc" / "source" / "howto" / "reproduce.rst"
        text = " ".join(page.read_text().split())
        for each in diff.EXPECTED:
            for pattern in each.pattern.split("|"):
                place = re.match(r"[\w/.-]*\w", pattern)
                assert place is not None
                self.assertIn(f"``{place[0]}``", text)
