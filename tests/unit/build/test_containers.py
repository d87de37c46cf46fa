# SPDX-License-Identifier: Apache-2.0
import pathlib

from tests import base
from trove_tools import errors
from trove_tools.build import cache as _cache
from trove_tools.build import cache_maintenance
from trove_tools.build import containers


class KeepTest(base.TestCase):
    def setUp(self) -> None:
        super().setUp()
        self.cache = _cache.Cache(self.temp_dir())
        self.made = 0

    def make(self, file: pathlib.Path) -> None:
        self.made += 1
        file.write_text(f"archive {self.made}")

    def keep(self, state: str) -> str:
        inputs = {"states": [state]}
        archives = containers.Archives(self.cache)
        with archives.keep("a", inputs, self.make) as file:
            (digest,) = archives.used
            self.assertEqual(digest, file.parent.name)
            return file.read_text()

    def test_made_once_for_the_same_inputs(self) -> None:
        self.assertEqual("archive 1", self.keep("x"))
        self.assertEqual("archive 1", self.keep("x"))
        self.assertEqual("archive 2", self.keep("y"))

    def test_a_damaged_one_is_made_again(self) -> None:
        self.keep("x")
        (entry,) = cache_maintenance.entries(self.cache)
        entry.archive.write_text("damaged!!")
        self.assertEqual("archive 2", self.keep("x"))

    def test_not_removed_while_it_is_read(self) -> None:
        archives = containers.Archives(self.cache)
        with archives.keep("a", {}, self.make) as file:
            pruned = cache_maintenance.prune(self.cache, 0, self.fail)
            self.assertEqual([], list(pruned))
            self.assertTrue(file.exists())

    def test_nothing_is_kept_of_a_failure(self) -> None:
        def fail(file: pathlib.Path) -> None:
            file.touch()
            raise errors.BuildError("no")

        def keep() -> None:
            with containers.Archives(self.cache).keep("a", {}, fail):
                self.fail("there is an archive that was not made")

        self.assertRaises(errors.BuildError, keep)
        self.assertEqual([], list(self.cache.layers.iterdir()))
