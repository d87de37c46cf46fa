# SPDX-License-Identifier: Apache-2.0
"""Tables fit a terminal, and break no word."""

import ddt

from tests import base
from trove_tools import columns

HEADS = ("check", "ok", "found by the command")
CELLS = (
    ("mmdebstrap (to make containers of packages)", "yes", "/usr/bin/x"),
    ("what runs a guest", "no", "TCG: KVM does not run a guest: failed"),
    ("d57390d6-4f69-5453-9e25-b3abeee3bd3e", "-", "names:\n  a, b, c-d-e"),
)


def words(*texts: str) -> list[str]:
    return [word for text in texts for word in text.split()]


@ddt.ddt
class RowsTest(base.TestCase):
    @ddt.data(30, 60, 80, 120, 1000)
    def test_every_word_is_there(self, width: int) -> None:
        lines = list(columns.rows(HEADS, CELLS, width))
        shown = words(*lines)
        for row in (HEADS, *CELLS):
            for word in words(*row):
                self.assertIn(word, shown)

    @ddt.data(66, 80, 120, 1000)
    def test_lines_fit(self, width: int) -> None:
        lines = list(columns.rows(HEADS, CELLS, width))
        self.assertLessEqual(max(map(len, lines)), width)
        self.assertEqual({"─"}, set(lines[1].strip()))

    def test_natural_width(self) -> None:
        self.assertEqual(
            [
                " a   name",
                " ────────",
                " 1   x y",
                "     z",
            ],
            list(columns.rows(("a", "name"), [("1", "x y\nz")], 80)),
        )

    def test_the_widest_column_is_folded(self) -> None:
        lines = list(columns.rows(("a", "b"), [("x y", "1 " * 20)], 20))
        self.assertIn(" x y   1 1", lines[2])

    def test_a_row_that_does_not_fit_is_a_table(self) -> None:
        self.assertEqual(
            [
                " a      " + "x" * 20,
                " long   y",
                "",
                " a      1",
                " long   2",
            ],
            list(
                columns.rows(
                    ("a", "long"), [("x" * 20, "y"), ("1", "2")], 24
                )
            ),
        )

    def test_wide_characters(self) -> None:
        lines = list(columns.rows(("a", "b"), [("数据", "x"), ("1", "y")], 80))
        self.assertEqual([" 数据   x", " 1      y"], lines[2:])


class PairsTest(base.TestCase):
    def test_what_is_indented_stays_so(self) -> None:
        value = "runtime:\n  from: one two three four"
        self.assertEqual(
            [
                " n   runtime:",
                "       from: one two",
                "         three four",
            ],
            list(columns.pairs([("n", value)], 20)),
        )

    def test_a_long_word_sticks_out(self) -> None:
        digest = "0123456789abcdef" * 4
        lines = list(columns.pairs([("sha256", digest)], 40, ("f", "v")))
        self.assertIn(f" sha256   {digest}", lines)
