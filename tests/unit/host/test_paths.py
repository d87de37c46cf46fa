# SPDX-License-Identifier: Apache-2.0
"""Files and directories that a user names are refused in one way."""

import os
import pathlib

from tests import base
from trove_tools import errors
from trove_tools.host import paths


class FileTest(base.TestCase):
    def refused(self, path: pathlib.Path, **how: bool) -> errors.UsageError:
        return self.assertRaises(
            errors.UsageError,
            paths.require_file, path, "image", "build one", **how,
        )  # fmt: skip

    def test_a_file(self) -> None:
        file = self.temp_dir() / "x"
        file.touch()
        paths.require_file(file, "image", "build one")

    def test_none(self) -> None:
        file = self.temp_dir() / "x.qcow2"
        error = self.refused(file)
        self.assertEqual(
            f"image {file} cannot be read: there is no such file",
            error.message,
        )
        self.assertEqual("build one", error.hint)

    def test_a_similar_name(self) -> None:
        place = self.temp_dir()
        (place / "trove-mariadb-11.8-debian-13-amd64.qcow2").touch()
        error = self.refused(place / "trove-mariadb-11.8-debian-13.qcow2")
        self.assertEqual(
            f"did you mean {place}/trove-mariadb-11.8-debian-13-amd64.qcow2?"
            " build one",
            error.hint,
        )

    def test_below_a_file(self) -> None:
        file = self.temp_dir() / "x"
        file.touch()
        self.assertIn("Not a directory", self.refused(file / "y").message)

    def test_other_kinds(self) -> None:
        place = self.temp_dir()
        self.assertIn("it is a directory", self.refused(place).message)
        os.mkfifo(place / "fifo")
        error = self.refused(place / "fifo")
        self.assertIn("it is not a regular file", error.message)

    def test_one_that_may_not_be_read(self) -> None:
        file = self.temp_dir() / "x"
        file.touch()

        def refuse(self: pathlib.Path) -> None:
            raise PermissionError(13, "Permission denied")

        self.patch_object(pathlib.Path, "stat", refuse)
        error = self.refused(file)
        self.assertIn("Permission denied", error.message)
        self.assertIn("let this user read it", error.hint)
        paths.require_file(file, "image", "build one", by_root=True)


class DirectoryTest(base.TestCase):
    def test_reading(self) -> None:
        place = self.temp_dir()
        (place / "x").touch()
        paths.require_directory(place, "--catalog", "correct it")
        for name, why in (
            ("x", "it is not a directory"),
            ("y", "there is no such directory"),
        ):
            error = self.assertRaises(
                errors.UsageError,
                paths.require_directory, place / name, "--catalog", "fix it",
            )  # fmt: skip
            self.assertIn(why, error.message)
            self.assertIn("fix it", error.hint)

    def test_writing(self) -> None:
        place = self.temp_dir()
        (place / "x").touch()
        paths.require_writable(place / "a" / "b", "--output-dir")
        self.assertFalse((place / "a").exists())
        made = paths.make_directory(place / "a" / "b", "--output-dir")
        self.assertTrue(made.is_dir())
        for directory, why in (
            (place / "x", f"{place}/x is not a directory"),
            (place / "x" / "y", f"{place}/x is not a directory"),
            (pathlib.Path("/proc/y"), "no file can be made in /proc"),
        ):
            for function in (paths.require_writable, paths.make_directory):
                error = self.assertRaises(
                    errors.UsageError, function, directory, "--output-dir"
                )
                self.assertEqual(
                    f"cannot write to {directory}: {why}", error.message
                )
                self.assertIn("--output-dir", error.hint)
