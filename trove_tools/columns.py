# SPDX-License-Identifier: Apache-2.0
"""Lays out tables that fit a terminal without breaking words.

A broken word cannot be searched or copied. So cells are folded only between
words; if a table is still too wide, every row is printed as a separate table.
"""

import collections.abc
import itertools
import textwrap
import unicodedata

#: The number of blanks before the first column, and between two columns.
_MARGIN, _GAP = 1, 3

Cells = collections.abc.Sequence[str]


def rows(
    heads: Cells, cells: collections.abc.Sequence[Cells], width: int
) -> collections.abc.Iterator[str]:
    """Yield the lines of a table.

    :param heads: the headings of the columns.
    :param cells: the cells by row; a line feed in a cell starts a new line.
    :param width: the width of the terminal, in columns.
    """
    widths = _widths([heads, *cells], _room(width, len(heads)))
    if widths is not None:
        yield from _lines(heads, cells, widths)
        return
    for number, row in enumerate(cells):
        if number:
            yield ""
        yield from pairs(list(zip(heads, row, strict=True)), width)


def pairs(
    named: collections.abc.Sequence[tuple[str, str]],
    width: int,
    heads: tuple[str, str] | None = None,
) -> collections.abc.Iterator[str]:
    """Yield the lines of a table of names and values.

    The terminal folds words that are longer than a line.

    :param width: the width of the terminal, in columns.
    """
    every = [heads, *named] if heads else named
    names = max(_width(name) for name, _ in every)
    values = max(_width(value) for _, value in every)
    room = _room(width, 2) - names
    yield from _lines(heads, named, (names, min(values, room)))


def _room(width: int, columns: int) -> int:
    """Return the maximum total width of the cells in a row."""
    return width - _MARGIN - _GAP * (columns - 1)


def _lines(
    heads: Cells | None,
    cells: collections.abc.Iterable[Cells],
    widths: collections.abc.Sequence[int],
) -> collections.abc.Iterator[str]:
    for number, row in enumerate([heads, *cells] if heads else cells):
        folded = [
            _folded(cell, width)
            for cell, width in zip(row, widths, strict=True)
        ]
        for line in itertools.zip_longest(*folded, fillvalue=""):
            padded = (
                cell + " " * (width - _width(cell))
                for cell, width in zip(line, widths, strict=True)
            )
            yield (" " * _MARGIN + (" " * _GAP).join(padded)).rstrip()
        if heads and not number:
            rule = sum(widths) + _GAP * (len(widths) - 1)
            yield " " * _MARGIN + "─" * rule


def _widths(
    cells: collections.abc.Iterable[Cells], room: int
) -> list[int] | None:
    """Return the widths of columns at which no word is broken.

    The widest columns are folded first.

    :param room: the maximum total width.
    :returns: None if the words do not fit.
    """
    ranges = [
        (max(map(_least, column)), max(map(_width, column)))
        for column in zip(*cells, strict=True)
    ]

    def limited(limit: int) -> list[int]:
        return [min(most, max(least, limit)) for least, most in ranges]

    limit = max(most for _, most in ranges)
    while sum(limited(limit)) > room and limit:
        limit -= 1
    widths = limited(limit)
    return widths if sum(widths) <= room else None


def _width(cell: str) -> int:
    """Return the width of a cell's text on a terminal."""
    if cell.isascii() and "\n" not in cell:
        return len(cell)
    return max(sum(map(_columns, line)) for line in cell.split("\n"))


def _columns(character: str) -> int:
    """Return the width of a character on a terminal."""
    if unicodedata.category(character) in ("Mn", "Me", "Cf", "Cc"):
        return 0
    return 1 + (unicodedata.east_asian_width(character) in "WF")


def cut(line: str, width: int) -> str:
    """Return a line cut to a width, with an ellipsis if necessary."""
    if _width(line) <= width:
        return line
    while line and _width(line) >= width:
        line = line[:-1]
    return f"{line}…"


def _least(cell: str) -> int:
    """Return the minimum width to which a cell can be folded."""
    return max(map(_width, _folded(cell, 1)))


def _folded(cell: str, width: int) -> list[str]:
    """Return the lines of a cell, folded between words."""
    lines: list[str] = []
    for line in cell.split("\n"):
        indent = " " * (len(line) - len(line.lstrip(" ")))
        lines += textwrap.wrap(
            line,
            max(width, 1),
            subsequent_indent=indent and indent + "  ",
            break_long_words=False,
            break_on_hyphens=False,
        ) or [""]
    return lines
