# SPDX-License-Identifier: Apache-2.0
"""Root trusts no file that another user can have written."""

import os
import pathlib

from tests import base
from trove_tools import errors
from trove_tools import trust


class TrustTest(base.TestCase):
    def setUp(self) -> None:
        super().setUp()
        self.place = self.temp_dir()
        self.file = self.place / "file"
        self.file.write_text("x")
        self.file.chmod(0o644)

    def refused(self, path: pathlib.Path) -> errors.UsageError:
        self.assertFalse(trust.is_own(path))
        error = self.assertRaises(
            errors.UsageError, trust.require_own, path, "the cache"
        )
        self.assertIn(f"the cache {path} is not used", error.message)
        self.assertTrue(error.hint)
        return error

    def open(self, path: pathlib.Path, flags: int = os.O_RDONLY) -> str:
        descriptor = trust.open_own(path, flags, "the lock")
        with open(descriptor) as stream:
            return stream.read()

    def test_own(self) -> None:
        for path in (self.place, self.file):
            trust.require_own(path, "the cache")
            self.assertTrue(trust.is_own(path))
        self.assertEqual("x", self.open(self.file))

    def test_what_others_may_write(self) -> None:
        for path in (self.place, self.file):
            for mode in (0o775, 0o757, 0o777):
                path.chmod(mode)
                error = self.refused(path)
                self.assertIn(f"mode is {mode:o}", error.message)
                self.assertIn(f"chmod -R go-w {path}", error.hint or "")
            path.chmod(0o700)
            trust.require_own(path, "the cache")

    def test_what_belongs_to_another_user(self) -> None:
        if os.geteuid() != 0:
            self.skipTest("giving a file to another user needs root")
        os.chown(self.file, 65534, 65534)
        self.assertIn("belongs to", self.refused(self.file).message)
        self.assertRaises(errors.UsageError, self.open, self.file)
        os.chown(self.file, 54321, 0)
        self.assertIn("id 54321", self.refused(self.file).message)

    def test_links_are_not_followed(self) -> None:
        link = self.place / "link"
        link.symlink_to(self.file)
        self.assertIn("link", self.refused(link).message)
        # nor is the file made that one leads to
        link.unlink()
        link.symlink_to(self.place / "elsewhere")
        error = self.assertRaises(
            errors.UsageError, self.open, link, os.O_RDWR | os.O_CREAT
        )
        self.assertIn("it is a link", error.message)
        self.assertFalse((self.place / "elsewhere").exists())

    def test_a_fifo_is_not_waited_for(self) -> None:
        fifo = self.place / "fifo"
        os.mkfifo(fifo, 0o600)
        self.assertRaises(errors.UsageError, self.open, fifo)

    def test_no_file(self) -> None:
        path = self.place / "nothing"
        self.assertFalse(trust.is_own(path))
        self.assertRaises(FileNotFoundError, trust.require_own, path, "x")
        self.assertRaises(FileNotFoundError, self.open, path)
