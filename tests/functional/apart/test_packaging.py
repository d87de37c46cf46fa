# SPDX-License-Identifier: Apache-2.0
"""What is released from the tree holds what the commands need.

``tools/check-release`` looks at all of it.
"""

import os
import re
import subprocess
import sys
import typing

from manual import command as manual
from tests import base


class PackagingTest(base.TestCase):
    timeout = 600

    def run_program(self, *argv: str | os.PathLike[str]) -> tuple[str, str]:
        """Run a program that must succeed, and return what it printed."""
        done = subprocess.run(
            argv, cwd=self.temp_dir(), stdin=subprocess.DEVNULL, text=True,
            capture_output=True,
        )  # fmt: skip
        self.assertEqual(0, done.returncode, done.stdout + done.stderr)
        return done.stdout, done.stderr

    def test_release(self) -> None:
        if not (base.ROOT / ".git").exists():
            self.skipTest("no repository to release from")
        # what is committed, with no tag
        clone, kept = self.temp_dir() / "clone", self.temp_dir() / "kept"
        self.run_program(
            "git", "-c", "safe.directory=*", "clone", "--quiet",
            "--no-tags", "--no-hardlinks", base.ROOT, clone,
        )  # fmt: skip
        out, err = self.run_program(
            sys.executable, clone / "tools/lib/check_release.py", "1.2.0",
            "--keep", kept,
        )  # fmt: skip
        self.assertRegex(
            out, r'^git tag -s -m "trove-tools 1.2.0" 1.2.0 [0-9a-f]{40}\n$'
        )
        steps = re.findall(r"^ok  ([a-z ,]+): ", err, re.MULTILINE)
        self.assertEqual(
            ["version", "series", "checkout", "release notes",
             "source distribution", "wheel", "installation", "files",
             "elements", "manual, completion, samples", "commands"],
            steps,
        )  # fmt: skip
        tags, _ = self.run_program("git", "-C", clone, "tag")
        self.assertEqual("", tags)
        notes = (kept / "release-notes.rst").read_text()
        self.assertIn("1.2.0", notes)
        for command in ("trove-image-builder", "load-trove-image"):
            wrapper = (kept / "venv/bin" / command).read_text()
            # it takes a second to import
            self.assertNotIn("pkg_resources", wrapper)
        # the manual and the completions are those of these parsers
        for name, text in manual.texts().items():
            installed = kept / "venv/share" / name
            self.assertEqual(text, installed.read_text())
        # and nothing is there that only a checkout can use
        (top,) = (kept / "venv/lib").glob("python3*/site-packages/trove_tools")
        for name in ("gate", "manual", "minicloud"):
            self.assertFalse((top / name).exists())
            self.assertFalse(top.with_name(name).exists())

    def test_the_plugin_is_found_by_diskimage_builder(self) -> None:
        found: typing.Any = self.run_program(
            sys.executable, "-c",
            "from diskimage_builder.block_device import config;"
            " print(config._extensions['partx_partitioning'].plugin)",
        )  # fmt: skip
        self.assertIn("trove_tools.block_device.partx", found[0])
