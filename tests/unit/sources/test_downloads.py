# SPDX-License-Identifier: Apache-2.0
"""What builds download, and share without waiting for each other."""

import collections.abc
import contextlib
import fcntl
import pathlib

from tests import base
from trove_tools.sources import downloads


class DownloadsTest(base.TestCase):
    def setUp(self) -> None:
        super().setUp()
        self.shared = self.temp_dir()
        self.archives = self.shared / "apt" / "debian"
        self.archives.mkdir(parents=True)
        (self.archives / "old.deb").write_text("old")
        (self.shared / "pip").mkdir()

    @contextlib.contextmanager
    def installing(
        self, place: pathlib.Path
    ) -> collections.abc.Iterator[None]:
        """Do with the archives what apt does while it installs."""
        with open(place / "apt" / "debian" / "lock", "w") as stream:
            fcntl.lockf(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
            yield

    def test_two_installations_at_a_time(self) -> None:
        with (
            downloads.own(self.shared, "debian") as one,
            downloads.own(self.shared, "debian") as other,
            self.installing(one),
            self.installing(other),
        ):
            for place in (one, other):
                found = place / "apt" / "debian" / "old.deb"
                self.assertTrue(found.samefile(self.archives / "old.deb"))
                self.assertTrue((place / "pip").samefile(self.shared / "pip"))
                (place / "apt" / "debian" / "new.deb").write_text("new")
            (one / "apt" / "debian" / "half.part").write_text("n")
            (other / "more").mkdir()
        names = {each.name for each in self.archives.glob("[!.]*")}
        self.assertEqual({"old.deb", "new.deb"}, names)
        names = {each.name for each in self.shared.iterdir()}
        self.assertEqual({"apt", "pip", "more"}, names)

    def test_what_was_fetched_before_a_failure_is_kept(self) -> None:
        with (
            contextlib.suppress(ValueError),
            downloads.own(self.shared, "debian") as place,
        ):
            (place / "apt" / "debian" / "new.deb").write_text("new")
            raise ValueError
        self.assertTrue((self.archives / "new.deb").exists())

    def test_a_package_that_was_changed_in_the_cache(self) -> None:
        with downloads.own(self.shared, "debian") as place:
            (place / "apt" / "debian" / "new.deb").write_text("new")
        for name in ("old.deb", "new.deb"):
            (self.archives / name).write_text("bad")
            with downloads.own(self.shared, "debian") as place:
                # apt would take it by its name and its size
                self.assertFalse((place / "apt" / "debian" / name).exists())
            self.assertFalse((self.archives / name).exists())

    def test_odd_notes(self) -> None:
        for text in ("", "[1]", '{"old.deb": 1}'):
            (self.archives / ".sha256.json").write_text(text)
            with downloads.own(self.shared, "debian"):
                pass

    def test_what_killed_builds_have_left(self) -> None:
        dead = self.shared / ".run-dead"
        (dead / "apt").mkdir(parents=True)
        with downloads.own(self.shared, "debian") as alive:
            self.assertEqual(
                [dead], downloads.abandoned(self.shared, self.fail)
            )
            self.assertTrue(alive.exists())
        self.assertFalse(dead.exists())
