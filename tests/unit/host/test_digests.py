# SPDX-License-Identifier: Apache-2.0
import hashlib
import os
import pathlib

from tests import base
from trove_tools import errors
from trove_tools.host import digests
from trove_tools.host import paths


def _sha256(content: str) -> str:
    return hashlib.sha256(content.encode()).hexdigest()


class RememberedTest(base.TestCase):
    def setUp(self) -> None:
        super().setUp()
        self.set_env(XDG_CACHE_HOME=str(self.temp_dir()))
        # as if each file had been written long ago
        self.patch_object(digests, "_TICK", -1.0)
        self.read: list[pathlib.Path] = []
        known = digests.compute

        def count(file: pathlib.Path, names: list[str]) -> dict[str, str]:
            self.read.append(file)
            return known(file, names)

        self.patch_object(digests, "compute", count)
        self.file = self.temp_dir() / "file"
        self.file.write_text("one")

    def test_read_once(self) -> None:
        for _ in range(2):
            self.assertEqual(_sha256("one"), digests.sha256(self.file))
        self.assertEqual([self.file], self.read)

    def test_written_with_the_same_size_and_time(self) -> None:
        digests.sha256(self.file)
        status = self.file.stat()
        self.file.write_text("two")
        os.utime(self.file, ns=(status.st_atime_ns, status.st_mtime_ns))
        self.assertFalse(digests.is_same(self.file, _sha256("one")))
        self.assertTrue(digests.is_same(self.file, _sha256("two")))

    def test_another_in_its_place(self) -> None:
        digests.sha256(self.file)
        other = self.file.with_name("other")
        other.write_text("two")
        other.rename(self.file)
        self.assertFalse(digests.is_same(self.file, _sha256("one")))

    def test_just_written(self) -> None:
        self.patch_object(digests, "_TICK", 60.0)
        for _ in range(2):
            digests.sha256(self.file)
        self.assertEqual(2, len(self.read))

    def test_what_others_can_write_is_not_believed(self) -> None:
        digests.sha256(self.file)
        kept = paths.user_cache() / "digests.json"
        kept.write_text(kept.read_text().replace(_sha256("one"), "x"))
        self.assertEqual("x", digests.sha256(self.file))
        kept.chmod(0o666)
        self.assertEqual(_sha256("one"), digests.sha256(self.file))

    def test_odd_memory(self) -> None:
        kept = paths.user_cache() / "digests.json"
        kept.parent.mkdir()
        for text in ("", "[]", '{"a": 1}', "{" * 100):
            kept.write_text(text)
            self.assertEqual(_sha256("one"), digests.sha256(self.file))

    def test_no_more_than_so_many(self) -> None:
        self.patch_object(digests, "_MOST", 1)
        other = self.file.with_name("other")
        other.write_text("two")
        for file in (self.file, other, self.file):
            digests.sha256(file)
        self.assertEqual([self.file, other, self.file], self.read)

    def test_none(self) -> None:
        self.assertFalse(digests.is_same(self.file / "no", ""))


class RequireTest(base.TestCase):
    def test_another(self) -> None:
        error = self.assertRaises(
            errors.BuildError, digests.require, "a file", "12", "34",
            "get it again", said="the plan",
        )  # fmt: skip
        for word in ("a file", "12", "the plan", "34"):
            self.assertIn(word, error.message)
        self.assertEqual("get it again", error.hint)

    def test_the_same_or_any(self) -> None:
        for wanted in ("12", ""):
            digests.require("a file", "12", wanted, "", said="")
