# SPDX-License-Identifier: Apache-2.0
"""All output to people and machines.

People read stderr: messages, progress, errors.  Machines read stdout: what
:func:`emit` prints there is a table, JSON, or ``NAME='value'`` lines fit
for ``eval``, and nothing else is ever written to stdout.
"""

import collections.abc
import contextlib
import json
import os
import shlex
import shutil
import sys
import textwrap
import typing

from trove_tools import columns as table
from trove_tools import errors
from trove_tools import progress
from trove_tools import results
from trove_tools.host import bounds
from trove_tools.host import credentials

Row = collections.abc.Mapping[str, typing.Any]

Progress = progress.Progress


class Console:
    """What a command says while it works.

    :param quiet: say nothing but warnings and errors.
    :param stream: where to; stderr when not given.
    """

    def __init__(
        self, quiet: bool = False, stream: typing.TextIO | None = None
    ) -> None:
        self.quiet = quiet
        self.stream = stream or sys.stderr
        # nothing can be drawn again where the cursor cannot move
        self.interactive = self.stream.isatty() and os.environ.get(
            "TERM", "dumb"
        ) not in ("dumb", "unknown")
        self._print: collections.abc.Callable[[str], None] = self._plain

    def say(self, text: str) -> None:
        """Print a line of information."""
        if not self.quiet:
            self._line(text)

    def warn(self, text: str) -> None:
        """Print a warning."""
        self._line(text, self._bold("warning: ", "33"))

    def error(self, error: errors.TroveToolsError) -> None:
        """Print an error and what can be done about it."""
        self._line(error.message, self._bold("error: ", "31"))
        if error.hint:
            self._line(error.hint, self._bold("hint: ", "36"))

    def _bold(self, text: str, colour: str) -> str:
        if not self.interactive or os.environ.get("NO_COLOR"):
            return text
        return f"\033[1;{colour}m{text}\033[0m"

    def _line(self, text: str, prefix: str = "") -> None:
        """Print a text that may come from anywhere.

        :param prefix: printed as it is, before the text.
        """
        self._print(prefix + credentials.hide(bounds.escape_controls(text)))

    def _plain(self, text: str) -> None:
        try:
            print(text, file=self.stream, flush=True)
        except BrokenPipeError:
            raise
        except OSError:
            # such as a full disk; there is nobody left to tell
            pass

    @contextlib.contextmanager
    def progress(
        self, title: str, total: int | None = None, unit: str = ""
    ) -> collections.abc.Iterator["Progress"]:
        """Show how a slow piece of work comes along.

        Each state is a line.  On a terminal the state that the work is in
        has a bar below the lines of the finished states; elsewhere its line
        is printed when it begins.

        :param title: what is being done.
        :param total: how much there is; unknown when not given.
        :param unit: ``bytes`` for a transfer, else steps.
        """
        if self.quiet:
            yield Progress()
        elif self.interactive:
            with self._bars(unit) as begin:
                yield begin(title, total)
        else:
            # steps are told by their states; only a transfer needs numbers
            lines = progress.Lines(
                self.say, title, total if unit == "bytes" else None
            )
            with lines.repeated():
                yield lines

    @contextlib.contextmanager
    def several(
        self,
    ) -> collections.abc.Iterator[collections.abc.Callable[[str], "Progress"]]:
        """Show how several slow pieces of work come along at a time.

        :returns: a function that begins one, given its title.
        """
        if self.quiet:
            yield lambda title: Progress()
        elif self.interactive:
            with self._bars("", named=True) as begin:
                yield lambda title: begin(title, None)
        else:
            yield lambda title: progress.Lines(self.say, title, None)

    @contextlib.contextmanager
    def _bars(
        self, unit: str, named: bool = False
    ) -> collections.abc.Iterator[
        collections.abc.Callable[[str, int | None], "Progress"]
    ]:
        """Draw bars at the bottom of a terminal, below what is printed.

        :param named: the lines of finished states begin with the title.
        """
        bars = progress.Bars(self.stream, _one_line)

        def begin(title: str, total: int | None) -> Progress:
            return bars.add(
                progress.Bar(self.say, title, total, unit, named)
            )

        self._print = bars.above
        try:
            with bars.drawn():
                yield begin
        finally:
            self._print = self._plain


def _one_line(text: str) -> str:
    """Return a text that a bar can show beside itself."""
    return credentials.hide(bounds.escape_controls(text)).replace("\n", " ")


def size(number: int) -> str:
    """Return bytes as people read them."""
    value, units = float(number), ["bytes", "KiB", "MiB", "GiB"]
    while value >= 1024 and len(units) > 1:
        value /= 1024
        units.pop(0)
    digits = 1 if units[0] != "bytes" and value < 100 else 0
    return f"{value:,.{digits}f} {units[0]}"


def emit(
    data: Row | collections.abc.Sequence[Row],
    form: str,
    columns: collections.abc.Sequence[str] = (),
    *,
    result: results.Result | None = None,
) -> None:
    """Print a result on stdout.

    :param data: one thing, or a list of like things.
    :param form: ``table``, ``json`` or ``shell``.
    :param columns: what a table shows of each thing in a list, in this
        order; all, when not given.  JSON and shell always have all.
    :param result: which result it is: the shell's format needs it.
    """
    data = credentials.hide_all(data)
    if form == "json":
        print(json.dumps(data, indent=2, default=str))
    elif form == "shell":
        assert result is not None
        for name, value in result.variables(data):
            if sys.stdout.isatty():
                value = bounds.escape_controls(value)
            # the name of a file may be no text
            value = value.encode(errors="backslashreplace").decode()
            print(f"{name}={shlex.quote(value)}")
    elif isinstance(data, collections.abc.Mapping):
        pairs = [
            (_cell(str(name)), _cell(value)) for name, value in data.items()
        ]
        _lines(table.pairs(pairs, _width(), ("field", "value")))
    elif data or columns:
        names = columns or list(data[0])
        heads = [name.replace("_", " ") for name in names]
        cells = [[_cell(row.get(name)) for name in names] for row in data]
        _lines(table.rows(heads, cells, _width()))
    sys.stdout.flush()


def _width() -> int:
    """Return the width of tables: a terminal's, or that in ``COLUMNS``.

    :returns: without either, in a pipe, a width at which nothing is folded.
    """
    if sys.stdout.isatty() or os.environ.get("COLUMNS", "").isdigit():
        return shutil.get_terminal_size().columns
    return sys.maxsize


def _lines(lines: collections.abc.Iterable[str]) -> None:
    for line in lines:
        print(bounds.escape_controls(line))


def _cell(value: typing.Any) -> str:
    if isinstance(value, collections.abc.Mapping):
        return "\n".join(_entry(name, each) for name, each in value.items())
    if isinstance(value, list | tuple):
        plain = not any(isinstance(v, collections.abc.Mapping) for v in value)
        return (", " if plain else "\n").join(_cell(v) for v in value)
    if isinstance(value, bool):
        return "yes" if value else "no"
    return "-" if value is None else bounds.escape_controls(str(value))


def _entry(name: str, value: typing.Any) -> str:
    if isinstance(value, collections.abc.Mapping):
        return f"{_cell(name)}:\n{textwrap.indent(_cell(value), '  ')}"
    return f"{_cell(name)}: {_cell(value)}"
