# SPDX-License-Identifier: Apache-2.0
import os
import stat

from minicloud import layout as layouts
from tests import base
from trove_tools import errors


class LayoutTest(base.TestCase):
    def test_a_new_directory_is_made_and_private(self) -> None:
        path = self.temp_dir() / "a" / "cloud"
        layout = layouts.new_or_existing(path)
        layout.make()
        layout.make()
        for directory in (layout.root, layout.etc, layout.data, layout.run):
            mode = stat.S_IMODE(directory.stat().st_mode)
            self.assertEqual(0o700, mode)

    def test_what_a_killed_start_leaves_is_ours(self) -> None:
        path = self.temp_dir()
        (path / ".lock").touch()
        (path / ".minicloud.json.x2f").touch()
        self.assertEqual(path.resolve(), layouts.new_or_existing(path).root)

    def test_somebody_elses_directory(self) -> None:
        path = self.temp_dir()
        (path / "thesis.txt").touch()
        self.assertRaisesRegex(
            errors.UsageError, "not empty", layouts.new_or_existing, path
        )
        layouts.Layout(path).state.touch()
        layouts.new_or_existing(path)

    def test_a_path_that_cannot_be_a_directory(self) -> None:
        file = self.temp_dir() / "file"
        file.touch()
        for path in (file, file / "below"):
            self.assertRaises(errors.UsageError, layouts.new_or_existing, path)

    def test_paths_that_the_services_misread(self) -> None:
        for char in "?#$%\n":
            path = self.temp_dir() / f"a{char}b"
            self.assertRaises(errors.UsageError, layouts.new_or_existing, path)
            self.assertFalse(path.exists())
        layouts.new_or_existing(self.temp_dir() / "ça va; it's «fine»")

    def test_existing(self) -> None:
        path = self.temp_dir()
        error = self.assertRaises(errors.UsageError, layouts.existing, path)
        self.assertIn("tools/minicloud start", error.hint or "")
        layouts.Layout(path).state.touch()
        self.assertEqual(path.resolve(), layouts.existing(path).root)


class WritePrivateTest(base.TestCase):
    def test_only_the_owner_reads_it(self) -> None:
        path = self.temp_dir() / "secret"
        path.touch(0o644)
        layouts.write_private(path, "x")
        self.assertEqual("x", path.read_text())
        self.assertEqual(0o600, stat.S_IMODE(path.stat().st_mode))

    def test_a_failure_leaves_the_old_content(self) -> None:
        path = self.temp_dir() / "secret"
        path.write_text("old")

        def fail(*args: object, **more: object) -> None:
            raise OSError("full")

        self.patch_object(os, "replace", fail)
        self.assertRaises(OSError, layouts.write_private, path, "new")
        self.assertEqual("old", path.read_text())
        self.assertEqual([path], list(path.parent.iterdir()))
