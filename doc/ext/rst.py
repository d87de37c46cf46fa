# SPDX-License-Identifier: Apache-2.0
"""Lines of reStructuredText."""

import collections.abc
import re
import textwrap

Lines = list[str]


def heading(text: str, under: str = "=") -> Lines:
    """Return a heading below the page's own.

    :param under: ``=``, or ``-`` for one more level down.
    """
    return ["", text, under * len(text), ""]


def block(text: str, prefix: str = "") -> Lines:
    """Return a text with a prefix before each line, and an empty line."""
    return [*textwrap.indent(text, prefix).splitlines(), ""]


def table(
    rows: collections.abc.Sequence[collections.abc.Sequence[str]],
    widths: str = "auto",
) -> Lines:
    """Return a table; its first row is the head.

    :param widths: of the columns, as list-table takes them.
    """
    lines = [
        "",
        ".. list-table::",
        "   :header-rows: 1",
        f"   :widths: {widths}",
        "",
    ]
    for row in rows:
        for number, cell in enumerate(row):
            first, *rest = cell.splitlines() or [""]
            lines.append(f"   {' ' if number else '*'} - {first}".rstrip())
            lines += [f"       {line}".rstrip() for line in rest]
    return [*lines, ""]


def literals(words: collections.abc.Iterable[str]) -> str:
    """Return words in the type of the machine, with commas between."""
    return ", ".join(f"``{word}``" for word in words)


def plain(text: str) -> str:
    """Return a text of the code's as it is, but for code in backquotes."""
    text = text.replace("*", r"\*").replace("|", r"\|")
    # an address that is an example is no link
    text = text.replace("http", r"\http")
    return re.sub(r"(?<!`)`([^`]+)`(?!`)", r"``\1``", text)
