# SPDX-License-Identifier: Apache-2.0
"""The manual pages say all that the parsers know, in clean roff."""

import shutil
import subprocess

from manual import command
from manual import commands
from manual import page
from tests import base
from trove_tools.cli import common
from trove_tools.config import table


class PageTest(base.TestCase):
    def setUp(self) -> None:
        super().setUp()
        self.share = self.temp_dir()
        for path, text in command.texts().items():
            file = self.share / path
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(text)
        self.pages = sorted((self.share / command.MAN).iterdir())

    def shown(self, name: str) -> str:
        """Return a page as a reader sees it."""
        if shutil.which("mandoc") is None:
            self.skipTest("mandoc is not installed")
        done = subprocess.run(
            ["mandoc", "-Tutf8", "-O", "width=200",
             self.share / command.MAN / f"{name}.1"],
            capture_output=True, text=True, check=True,
        )  # fmt: skip
        # a letter, a backspace and the letter again is how bold is printed
        text = done.stdout
        while "\b" in text:
            at = text.index("\b")
            text = text[: at - 1] + text[at + 1 :]
        return text

    def test_mandoc_finds_nothing(self) -> None:
        if shutil.which("mandoc") is None:
            self.skipTest("mandoc is not installed")
        self.assertEqual(3, len(self.pages))
        done = subprocess.run(
            ["mandoc", "-Tlint", "-Wstyle", *self.pages],
            capture_output=True, text=True,
        )  # fmt: skip
        found = [
            line
            for line in (done.stdout + done.stderr).splitlines()
            # a page that is committed is not of the day on which it is made
            if "missing date" not in line
        ]
        self.assertEqual([], found)

    def test_man_finds_nothing(self) -> None:
        if shutil.which("man") is None:
            self.skipTest("man is not installed")
        for each in self.pages:
            done = subprocess.run(
                ["man", "--warnings", "--local-file", each],
                capture_output=True, text=True, check=True,
                env={"LC_ALL": "C.UTF-8", "PATH": "/usr/bin:/bin"},
            )  # fmt: skip
            self.assertEqual("", done.stderr)

    def test_every_option_is_explained(self) -> None:
        for parser in commands.parsers():
            text = " ".join(self.shown(parser.prog).split())
            for each in (parser, *commands.subcommands(parser).values()):
                for action in commands.option_actions(each):
                    self.assertIn(action.option_strings[-1], text)
                    said = commands.explained(each, action)
                    self.assertIn(f"{said[0].upper()}{said[1:]}.", text)

    def test_variables_and_statuses(self) -> None:
        text = " ".join(self.shown("trove-image-builder").split())
        for option in table.group(
            "plan", "container", "guest", "system", "arch"
        ):
            for variable in option.variables:
                self.assertIn(variable, text)
        self.assertIn("3 something is missing on this host", text)
        self.assertIn("130 interrupted", text)
        self.assertIn("trove-image-builder diff [OPTION]... IMAGE IMAGE", text)

    def test_text_that_roff_would_obey(self) -> None:
        parser = common.Parser(
            prog="x", description=r"It's \fBnot .so. --a `b`",
            notes=".nf\n\n'br", statuses={0: "done"},
        )  # fmt: skip
        (self.share / command.MAN / "x.1").write_text(page.page(parser, ()))
        text = self.shown("x")
        self.assertIn(r"It's \fBnot .so. --a `b`", text)
        self.assertIn(".nf", text)
        self.assertIn("'br", text)
