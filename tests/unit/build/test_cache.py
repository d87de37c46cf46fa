# SPDX-License-Identifier: Apache-2.0
"""Layers in the cache: found, locked, noticed when damaged, evicted."""

import concurrent.futures
import os
import threading
import time

from tests import base
from trove_tools import errors
from trove_tools.artifact import signature
from trove_tools.build import cache
from trove_tools.build import cache_maintenance

DAY = 24 * 60 * 60


class CacheCase(base.TestCase):
    def setUp(self) -> None:
        super().setUp()
        self.cache = cache.Cache(self.temp_dir() / "c")

    def put(self, digest: str, content: bytes = b"x") -> cache.Entry:
        with self.cache.locked(digest):
            return self.put_unlocked(digest, content)

    def put_unlocked(
        self, digest: str, content: bytes = b"x"
    ) -> cache.Entry:
        with self.cache.partial() as place:
            (place / cache.ARCHIVE).write_bytes(content)
            return self.cache.put(
                place,
                name="base",
                digest=digest,
                inputs={"elements": ["x"]},
                facts={},
                timeline={"kind": "layer", "name": "base"},
            )

    def find(self, digest: str) -> cache.Entry | None:
        with self.cache.locked(digest, shared=True):
            return self.cache.find(digest)

    def used(self, entry: cache.Entry, when: float) -> None:
        os.utime(entry.directory / "record.json", (when, when))

    def names(self) -> list[str]:
        return sorted(each.name for each in self.cache.layers.iterdir())


class FindTest(CacheCase):
    def test_what_was_put_is_found(self) -> None:
        self.assertIsNone(self.find("1"))
        made = self.put("1", b"content")
        found = self.find("1")
        assert found is not None
        self.assertEqual(made.record, found.record)
        self.assertEqual(b"content", found.archive.read_bytes())
        self.assertEqual(["1"], self.names())

    def test_another_process_finds_it(self) -> None:
        self.put("1")
        again = cache.Cache(self.cache.directory)
        self.assertIsNotNone(again.find("1"))

    def test_put_replaces(self) -> None:
        self.put("1", b"old")
        self.assertEqual(b"new", self.put("1", b"new").archive.read_bytes())
        self.assertEqual(["1"], self.names())

    def test_damaged(self) -> None:
        for damage in (b"y", b"", b"xx"):
            entry = self.put("1")
            entry.archive.write_bytes(damage)
            self.assertIsNone(self.find("1"), damage)
        self.put("1").archive.unlink()
        self.assertIsNone(self.find("1"))
        (self.put("1").directory / "record.json").write_text("{")
        self.assertIsNone(self.find("1"))

    def test_use_is_noted(self) -> None:
        entry = self.put("1")
        self.used(entry, 1000)
        before = time.time()
        self.find("1")
        found = self.cache.read("1")
        assert found is not None
        self.assertGreaterEqual(found.used, int(before))

    def test_too_old(self) -> None:
        self.put("1")
        now = time.time()
        for not_before, found in ((now - DAY, True), (now + DAY, False)):
            later = cache.Cache(self.cache.directory, not_before)
            self.assertEqual(found, later.find("1") is not None)

    def test_built_on_a_layer_whose_key_was_removed(self) -> None:
        key = signature.PublicKey("ssh-ed25519", b"one")
        other = signature.PublicKey("ssh-ed25519", b"other")
        with self.cache.locked("1"), self.cache.partial() as place:
            (place / cache.ARCHIVE).write_bytes(b"x")
            self.cache.put(
                place, name="runtime", digest="1", inputs={}, facts={},
                timeline={}, keys=[key.fingerprint],
            )  # fmt: skip
        for trusted, allowed, found in (
            ((key, other), False, True), ((other,), False, False),
            ((), False, False), ((), True, True),
        ):  # fmt: skip
            later = cache.Cache(
                self.cache.directory,
                allow_unsigned=allowed,
                trusted=signature.TrustedKeys(trusted),
            )
            self.assertEqual(found, later.find("1") is not None, trusted)

    def test_nothing_half_made_is_found(self) -> None:
        class Broken(Exception):
            pass

        def fail() -> None:
            with self.cache.partial() as place:
                (place / cache.ARCHIVE).touch()
                raise Broken

        self.assertRaises(Broken, fail)
        self.assertEqual([], self.names())

    def test_directory_that_cannot_be_used(self) -> None:
        file = self.temp_dir() / "file"
        file.touch()
        error = self.assertRaises(errors.UsageError, cache.Cache, file / "x")
        self.assertIn("--cache-dir", error.hint or "")


class LockTest(CacheCase):
    def test_readers_share(self) -> None:
        with (
            self.cache.locked("1", shared=True),
            self.cache.locked("1", shared=True, wait=False) as free,
        ):
            self.assertTrue(free)

    def test_who_waits_for_an_entry_shares_it(self) -> None:
        making = threading.Event()
        may_end = threading.Event()

        def make() -> None:
            making.set()
            may_end.wait(10)
            self.put_unlocked("1")

        def hold() -> str:
            with self.cache.hold("1", self.fail, waiting.set) as (entry, _):
                return entry.record.digest

        waiting = threading.Event()
        with concurrent.futures.ThreadPoolExecutor(2) as pool:

            def hold_long() -> str:
                with self.cache.hold("1", make):
                    # the other gets it while it is held here
                    return other.result(10)

            def begin() -> str:
                making.wait(10)
                return hold()

            other = pool.submit(begin)
            first = pool.submit(hold_long)
            self.assertTrue(waiting.wait(10))
            may_end.set()
            self.assertEqual("1", first.result(20))

    def test_a_writer_is_alone(self) -> None:
        with self.cache.locked("1"):
            for shared in (True, False):
                lock = self.cache.locked("1", shared=shared, wait=False)
                with lock as free:
                    self.assertFalse(free)
            with self.cache.locked("2", wait=False) as free:
                self.assertTrue(free)


class UpkeepTest(CacheCase):
    def prune(
        self, where: cache.Cache, limit: int, *, stale: bool = False
    ) -> list[str]:
        """Prune, and return the digests of what was removed."""
        removed = cache_maintenance.prune(where, limit, self.fail, stale=stale)
        return [entry.record.digest for entry in removed]

    def test_least_recently_used_goes_first(self) -> None:
        for number, digest in enumerate("abcd"):
            self.used(self.put(digest, b"x" * 10), 1000 + number)
        self.find("a")
        gone = self.prune(self.cache, 25)
        self.assertEqual(["b", "c"], gone)
        self.assertEqual(["a", "d"], self.names())

    def test_what_is_used_stays(self) -> None:
        self.put("a")
        with self.cache.locked("a", shared=True):
            self.assertEqual([], self.prune(self.cache, 0))
        self.assertEqual(["a"], self.prune(self.cache, 0))

    def test_stale(self) -> None:
        self.put("a")
        later = cache.Cache(self.cache.directory, time.time() + DAY)
        self.assertEqual([], self.prune(later, 10**9))
        self.assertEqual(["a"], self.prune(later, 10**9, stale=True))

    def test_damaged_are_told_and_removed(self) -> None:
        self.put("good")
        self.put("bad").archive.write_bytes(b"y")
        (self.cache.layers / "odd").mkdir()
        self.assertEqual(
            ["bad", "odd"], list(cache_maintenance.remove_damaged(self.cache))
        )
        self.assertEqual(["good"], self.names())

    def test_half_made(self) -> None:
        dead = self.cache.layers / f"{cache.PARTIAL}x"
        (dead / "deep").mkdir(parents=True)
        with self.cache.partial() as alive:
            self.assertEqual(
                [dead], cache_maintenance.abandoned(self.cache, self.fail)
            )
            self.assertTrue(alive.is_dir())

    def test_size_counts_a_file_once(self) -> None:
        place = self.temp_dir()
        (place / "one").write_bytes(b"x" * 100_000)
        (place / "deep").mkdir()
        os.link(place / "one", place / "deep" / "other")
        found = cache_maintenance.size(place)
        self.assertGreaterEqual(found, 100_000)
        self.assertLess(found, 200_000)

    def test_listed_by_use(self) -> None:
        self.used(self.put("a"), 2000)
        self.used(self.put("b"), 1000)
        found = [
            each.record.digest
            for each in cache_maintenance.entries(self.cache)
        ]
        self.assertEqual(["a", "b"], found)


class TrustTest(CacheCase):
    """What another user may have written is never used."""

    def test_a_directory_that_others_may_write(self) -> None:
        for name in ("", "layers", "locks", "downloads", "workspaces"):
            place = self.cache.directory / name
            place.chmod(0o777)
            error = self.assertRaises(
                errors.UsageError, cache.Cache, self.cache.directory
            )
            self.assertIn(str(place), error.message)
            self.assertIn("chmod", error.hint or "")
            place.chmod(0o755)
        cache.Cache(self.cache.directory)

    def test_links_in_place_of_directories(self) -> None:
        self.cache.workspaces.rmdir()
        self.cache.workspaces.symlink_to(self.temp_dir())
        error = self.assertRaises(
            errors.UsageError, cache.Cache, self.cache.directory
        )
        self.assertIn("it is a link", error.message)

    def test_a_lock_that_is_a_link(self) -> None:
        target = self.temp_dir() / "made"
        (self.cache.directory / "locks/1").symlink_to(target)
        self.assertRaises(errors.UsageError, self.find, "1")
        self.assertFalse(target.exists())

    def test_entries_of_others_are_not_found(self) -> None:
        for name in ("", "record.json", cache.ARCHIVE):
            path = self.put("1").directory / name
            path.chmod(0o777)
            self.assertIsNone(self.find("1"))
            self.assertEqual(
                ["1"], list(cache_maintenance.remove_damaged(self.cache))
            )
            self.assertEqual([], self.names())

    def test_one_bad_lock_does_not_stop_prune(self) -> None:
        for digest in ("1", "2"):
            self.put(digest)
        lock = self.cache.directory / "locks/1"
        lock.unlink()
        lock.symlink_to(self.temp_dir() / "made")
        removed = list(
            cache_maintenance.prune(self.cache, 0, lambda text: None)
        )
        self.assertEqual(2, len(removed))
        self.assertEqual([], self.names())

    def test_the_users_own_link_to_a_cache(self) -> None:
        link = self.temp_dir() / "link"
        link.symlink_to(self.cache.directory)
        self.put("1")
        self.assertIsNotNone(cache.Cache(link).read("1"))
