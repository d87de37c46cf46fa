# SPDX-License-Identifier: Apache-2.0
"""A root is read by a process that it locks in."""

import os
import pathlib
import typing

from tests import base
from tests.unit.inspection import samples
from trove_tools import errors
from trove_tools.inspection import inspect


class ConfinedTest(base.TestCase):
    def setUp(self) -> None:
        super().setUp()
        if os.geteuid() != 0:
            self.skipTest("changing the root directory needs root")
        self.outside = self.temp_dir()
        self.root = self.temp_dir()
        (self.root / "etc").mkdir()

    def test_links_stay_inside(self) -> None:
        samples.write(self.outside, "os-release", "ID=host\n")
        samples.write(self.outside, "status", samples.STATUS)
        samples.write(self.root, "opt/shadow", "root:$6$abc$" + "x" * 80)
        (self.root / "etc/os-release").symlink_to(self.outside / "os-release")
        up = "../" * 20 + str(self.outside).lstrip("/")
        (self.root / "var/lib").mkdir(parents=True)
        (self.root / "var/lib/dpkg").symlink_to(up)
        # inside, an absolute link leads where it does in the guest
        (self.root / "etc/shadow").symlink_to("/opt/shadow")
        found = inspect.call(self.root, inspect.read_root)
        self.assertEqual("", found["contents"]["system"]["id"])
        self.assertEqual([], found["contents"]["packages"])
        self.assertIn(
            ["password", "/etc/shadow", "root has a password"],
            found["findings"],
        )

    def test_no_module_of_the_root_is_loaded(self) -> None:
        samples.write(
            self.root, "planted.py", "open('/trace', 'w').write('ran')\n"
        )

        def load(root: pathlib.Path) -> typing.Any:
            import sys

            sys.path[:] = ["/"]
            __import__("planted")

        self.assertRaises(errors.ImageError, inspect.call, self.root, load)
        self.assertFalse((self.root / "trace").exists())

    def test_limits(self) -> None:
        self.patch_object(inspect, "MEMORY", 512 * 1024 * 1024)
        error = self.assertRaises(
            errors.ImageError, inspect.call, self.root,
            lambda root: len(bytes(2 * inspect.MEMORY)),
        )  # fmt: skip
        self.assertIn("memory", error.message)
        self.patch_object(inspect, "SECONDS", 1)

        def forever(root: pathlib.Path) -> typing.Any:
            while True:
                pass

        error = self.assertRaises(
            errors.ImageError, inspect.call, self.root, forever
        )
        self.assertIn("longer than 1 s", error.message)

    def test_a_defect_is_named(self) -> None:
        error = self.assertRaises(
            errors.ImageError, inspect.call, self.root, lambda root: 1 / 0
        )
        self.assertIn("ZeroDivisionError", error.message)
