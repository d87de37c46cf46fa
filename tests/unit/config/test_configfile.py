# SPDX-License-Identifier: Apache-2.0
"""Configuration files: what is meant is read, anything else is named."""

import os
import pathlib

import ddt

from tests import base
from trove_tools import errors
from trove_tools.config import configfile
from trove_tools.config import kinds
from trove_tools.config.options import Option

KNOWN = (
    Option("mirror", "x", "a mirror"),
    Option("output_dir", "x", "a directory", kinds.path),
    Option("os_password", "x", "a password"),
    Option("jobs", "x", "a number", int, 3),
    Option("element", "x", "names", many=True),
)


class FileCase(base.TestCase):
    def file(self, text: str | bytes) -> pathlib.Path:
        place = self.temp_dir() / "x.conf"
        content = text.encode() if isinstance(text, str) else text
        place.write_bytes(content)
        return place

    def read(self, *texts: str | bytes) -> dict[str, str]:
        files = [self.file(text) for text in texts]
        found = configfile.read(files, KNOWN)
        return {name: text for name, (text, _) in found.items()}

    def refused(self, text: str | bytes) -> str:
        """Read a file that is wrong; return what was said about it."""
        error = self.assertRaises(errors.UsageError, self.read, text)
        self.assertTrue(error.hint)
        return error.message


@ddt.ddt
class WrongTest(FileCase):
    @ddt.data(
        ("[DEFAULT]\nmiror = x\n", "x.conf, line 2: ", "mean mirror?"),
        ("[DEFAULT]\noutput-dir = x\n", "line 2: ", "mean output_dir?"),
        ("[DEFAULT]\nzzz = x\n", "no option zzz", ""),
        ("[default]\nmirror = x\n", "line 1: ", "the only one is [DEFAULT]"),
        ("[build]\nmirror = x\n", "no section [build]", ""),
        ("jobs = 1\n\njobs = 2\n", "line 3: jobs stands", "x.conf, line 1"),
        ("output_dir = /x\n  mirror = y\n", "line 1: ", "one value"),
        ("mirror\n", "x.conf, line 1 is neither", "NAME = VALUE"),
        ("= x\n", "line 1 is neither", ""),
        ("  mirror = x\n", "line 1 is neither", ""),
        ("[DEFAULT\n", "line 1 is neither", ""),
        ("[]\n", "line 1 is neither", ""),
        ("os_password = pa$word\n", "line 1: the name after", ""),
        ("os_password = pa$\n", "line 1: the name after", ""),
        (b"mirror = \xff\n", "not a text file", ""),
        (b"mirror = \0\n", "not a text file", ""),
        ("mirror = x\n".encode("utf-16"), "not a text file", ""),
    )
    def test_wrong(self, case: tuple[str | bytes, str, str]) -> None:
        text, *parts = case
        said = self.refused(text)
        for part in parts:
            self.assertIn(part, said)

    def test_everything_that_is_wrong_is_named_at_once(self) -> None:
        said = self.refused("[DEFAULT]\nmiror = x\nmirror = y\njob = 1\n")
        self.assertIn("line 2: there is no option miror", said)
        self.assertIn("line 4: there is no option job; did you mean jobs?",
                      said)  # fmt: skip

    def test_value_stays_secret(self) -> None:
        self.assertNotIn("pa$word", self.refused("os_password = pa$word\n"))

    def test_not_a_file(self) -> None:
        fifo = self.temp_dir() / "fifo"
        os.mkfifo(fifo)
        device = pathlib.Path("/dev/zero")
        absent = self.temp_dir() / "absent"
        for place in (self.temp_dir(), absent, fifo, device):
            error = self.assertRaises(
                errors.UsageError, configfile.read, [place], KNOWN
            )
            self.assertIn(f"{place} cannot be read", error.message)


class RightTest(FileCase):
    def test_without_a_section(self) -> None:
        self.assertEqual({"mirror": "x"}, self.read("mirror = x\n"))

    def test_empty(self) -> None:
        self.assertEqual({}, self.read("", "[DEFAULT]\n# nothing\n\n"))

    def test_as_editors_write_it(self) -> None:
        text = "\ufeff[DEFAULT]\r\n; why\r\nmirror: 'a b'\r\n"
        self.assertEqual({"mirror": "a b"}, self.read(text))

    def test_several_values(self) -> None:
        text = "element = a\n  b\nelement = c\n"
        self.assertEqual(["a", "b", "c"], self.read(text)["element"].split())

    def test_the_later_file_is_stronger(self) -> None:
        self.assertEqual(
            {"mirror": "y", "jobs": "1"},
            self.read("mirror = x\njobs = 1\n", "mirror = y\n"),
        )

    def test_dollar_signs(self) -> None:
        found = self.read("mirror = /m/${jobs}\nos_password = pa$$word\n")
        self.assertEqual(
            {"mirror": "/m/3", "os_password": "pa$word"}, found
        )
