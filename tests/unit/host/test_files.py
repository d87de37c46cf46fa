# SPDX-License-Identifier: Apache-2.0

import os
import stat
import threading

from tests import base
from trove_tools.host import files


class FilesTest(base.TestCase):
    def setUp(self) -> None:
        super().setUp()
        self.path = self.temp_dir() / "file"
        self.addCleanup(os.umask, os.umask(0o022))

    def mode(self) -> int:
        return stat.S_IMODE(self.path.stat().st_mode)

    def test_mode(self) -> None:
        files.write_file(self.path, "é\n")
        self.assertEqual(("é\n", 0o644), (self.path.read_text(), self.mode()))
        files.write_file(self.path, "b", mode=0o600)
        self.assertEqual(("b", 0o600), (self.path.read_text(), self.mode()))

    def test_nothing_of_a_failure_is_left(self) -> None:
        files.write_file(self.path, "old")

        def fail() -> None:
            with files.replace_file(self.path) as stream:
                stream.write(b"half of")
                raise KeyboardInterrupt

        self.assertRaises(KeyboardInterrupt, fail)
        self.assertEqual("old", self.path.read_text())
        self.assertEqual([self.path], list(self.path.parent.iterdir()))

    def test_no_directory(self) -> None:
        self.assertRaises(
            FileNotFoundError, files.write_file, self.path / "x", ""
        )


class LocksTest(base.TestCase):
    def test_one_at_a_time(self) -> None:
        path = self.temp_dir() / "lock"
        steps: list[str] = []
        waits = threading.Event()

        def second() -> None:
            with files.hold_lock(path, waits.set):
                steps.append("second")

        thread = threading.Thread(target=second)
        with files.hold_lock(path):
            thread.start()
            self.assertTrue(waits.wait(10))
            steps.append("first")
        thread.join()
        self.assertEqual(["first", "second"], steps)

    def test_no_link_is_followed(self) -> None:
        place = self.temp_dir()
        (place / "link").symlink_to(place / "elsewhere")

        def lock() -> None:
            with files.hold_lock(place / "link"):
                pass

        self.assertRaises(OSError, lock)
        self.assertFalse((place / "elsewhere").exists())
