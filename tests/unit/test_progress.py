# SPDX-License-Identifier: Apache-2.0

import io
import re
import threading

from tests import base
from trove_tools import progress


class Terminal(io.StringIO):
    """A terminal that knows what stands on its screen."""

    encoding = "utf-8"

    def __init__(self) -> None:
        super().__init__()
        self.lines = [""]
        self.row = self.column = 0

    def write(self, text: str) -> int:
        for part in re.findall(r"\033\[[AJ]|\r|\n|[^\033\r\n]+", text):
            if part == "\r":
                self.column = 0
            elif part == "\n":
                self.row, self.column = self.row + 1, 0
                self.lines += [""] * (self.row == len(self.lines))
            elif part == "\033[A":
                self.row -= 1
            elif part == "\033[J":
                del self.lines[self.row + 1 :]
                self.lines[self.row] = self.lines[self.row][: self.column]
            else:
                line = self.lines[self.row]
                end = self.column + len(part)
                self.lines[self.row] = line[: self.column] + part + line[end:]
                self.column = end
        return len(text)


class BarsTest(base.TestCase):
    def setUp(self) -> None:
        super().setUp()
        self.set_env(COLUMNS="60")
        # drawn when something is said, not when time goes by
        self.patch_object(progress, "_FRAME", threading.TIMEOUT_MAX)
        self.terminal = Terminal()
        self.bars = progress.Bars(self.terminal, str.strip)

    def bar(self, title: str, total: int | None = None) -> progress.Bar:
        return self.bars.add(
            progress.Bar(self.bars.above, title, total, "", True)
        )

    def test_bars_stand_below_what_is_said(self) -> None:
        with self.bars.drawn():
            one, two = self.bar("one", 4), self.bar("two")
            one.state("begin")
            two.state("wait")
            self.bars.above("first")
            one.advance(2)
            one.state("go on")
            self.bars.above("second")
            self.assertEqual(
                ["first", "one: [   0 s] begin", "second"],
                self.terminal.lines[:3],
            )
            self.assertRegex(
                self.terminal.lines[3], r"^\[   0 s\] go on ━{6} +one$"
            )
            self.assertRegex(
                self.terminal.lines[4], r"^\[   0 s\] wait ━+ +two$"
            )
        self.assertEqual(
            ["one: [   0 s] go on", "two: [   0 s] wait", ""],
            self.terminal.lines[3:],
        )

    def test_a_long_line_is_cut(self) -> None:
        with self.bars.drawn():
            self.bar("x" * 50).state("状" * 40)
            self.bars.above("")
            self.assertIn("…", self.terminal.lines[1])
            # those are two columns wide
            wide = self.terminal.lines[1].count("状")
            self.assertLess(len(self.terminal.lines[1]) + wide, 60)

    def test_a_terminal_without_such_characters(self) -> None:
        self.terminal.encoding = "ascii"
        bars = progress.Bars(self.terminal, str)
        with bars.drawn():
            bars.add(progress.Bar(bars.above, "x", 2, "", False)).advance()
            bars.above("")
            self.assertIn("======", self.terminal.lines[1])
