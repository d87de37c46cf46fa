# SPDX-License-Identifier: Apache-2.0

import threading

from tests import base
from trove_tools.host import locks


class LocksTest(base.TestCase):
    def test_one_at_a_time(self) -> None:
        path = self.temp_dir() / "lock"
        steps: list[str] = []
        waits = threading.Event()

        def second() -> None:
            with locks.locked(path, waits.set):
                steps.append("second")

        thread = threading.Thread(target=second)
        with locks.locked(path):
            thread.start()
            self.assertTrue(waits.wait(10))
            steps.append("first")
        thread.join()
        self.assertEqual(["first", "second"], steps)

    def test_no_link_is_followed(self) -> None:
        place = self.temp_dir()
        (place / "link").symlink_to(place / "elsewhere")

        def lock() -> None:
            with locks.locked(place / "link"):
                pass

        self.assertRaises(OSError, lock)
        self.assertFalse((place / "elsewhere").exists())
