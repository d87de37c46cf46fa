# SPDX-License-Identifier: Apache-2.0
"""Fills the page's templates; the only place where HTML comes into being.

``page.html`` is the page, ``parts.html`` has its repeated parts, each after
a comment with its name, and ``style.css`` how all of it looks.  Whatever is
filled in is escaped, unless it was made here itself.
"""

import collections.abc
import functools
import html
import pathlib
import re
import string
import typing

_DIRECTORY = pathlib.Path(__file__).parent
_PART = re.compile(r"<!-- part: (\S+) -->\n")


class Html(str):
    """Text that is HTML already."""

    __slots__ = ()


def page(**values: typing.Any) -> Html:
    """Return the whole page."""
    style = Html((_DIRECTORY / "style.css").read_text())
    text = (_DIRECTORY / "page.html").read_text()
    return _fill(text, {"style": style, **values})


def part(name: str, /, **values: typing.Any) -> Html:
    """Return one part, filled in.

    :param values: for each ``$name`` in it.
    """
    return _fill(_parts()[name], values)


def join(
    parts: collections.abc.Iterable[Html], between: str = ""
) -> Html:
    """Return parts one after the other."""
    return Html(html.escape(between).join(parts))


def parts(
    name: str, rows: collections.abc.Iterable[dict[str, typing.Any]]
) -> Html:
    """Return one part after the other, each filled with a row's values."""
    return join(part(name, **row) for row in rows)


@functools.cache
def _parts() -> dict[str, str]:
    text = (_DIRECTORY / "parts.html").read_text()
    _, *found = _PART.split(text)
    return dict(zip(found[::2], found[1::2], strict=True))


def _fill(text: str, values: dict[str, typing.Any]) -> Html:
    return Html(
        string.Template(text).substitute(
            {
                name: value
                if isinstance(value, Html)
                else html.escape(str(value))
                for name, value in values.items()
            }
        )
    )
