# SPDX-License-Identifier: Apache-2.0
"""Prints all output of the commands.

Messages, progress and errors go to stderr. Only results go to stdout:
:func:`emit` prints a table, JSON, or ``NAME='value'`` lines for ``eval``.
"""

import collections.abc
import contextlib
import json
import os
import shlex
import sys
import textwrap
import typing

from trove_tools import columns as table
from trove_tools import errors
from trove_tools import progress
from trove_tools.host import bounds
from trove_tools.host import credentials

if typing.TYPE_CHECKING:
    from trove_tools import results

Row = collections.abc.Mapping[str, typing.Any]

Progress = progress.Progress


class Console:
    """Prints the messages of a command.

    :param quiet: print only warnings and errors.
    :param stream: the output stream; by default stderr.
    """

    def __init__(
        self, quiet: bool = False, stream: typing.TextIO | None = None
    ) -> None:
        self.quiet = quiet
        self.stream = stream or sys.stderr
        # bars cannot be redrawn if the cursor cannot move
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
        """Print an error and its hint."""
        self._line(error.message, self._bold("error: ", "31"))
        if error.hint:
            self._line(error.hint, self._bold("hint: ", "36"))

    def _bold(self, text: str, colour: str) -> str:
        if not self.interactive or os.environ.get("NO_COLOR"):
            return text
        return f"\033[1;{colour}m{text}\033[0m"

    def _line(self, text: str, prefix: str = "") -> None:
        """Print a text that may be untrusted.

        :param prefix: a trusted prefix.
        """
        self._print(prefix + credentials.hide(bounds.escape_controls(text)))

    def _plain(self, text: str) -> None:
        try:
            print(text, file=self.stream, flush=True)
        except BrokenPipeError:
            raise
        except OSError:
            # such as a full disk; it cannot be reported anywhere
            pass

    @contextlib.contextmanager
    def progress(
        self, title: str, total: int | None = None, unit: str = ""
    ) -> collections.abc.Iterator["Progress"]:
        """Show the progress of slow work.

        Every state is printed as a line. On a terminal, a bar below the
        finished states shows the current state; elsewhere a line is printed
        when a state begins.

        :param title: a description of the work.
        :param total: the total amount, if known.
        :param unit: ``bytes`` for a transfer, else steps.
        """
        if self.quiet:
            yield Progress()
        elif self.interactive:
            with self._bars(unit) as begin:
                yield begin(title, total)
        else:
            # steps are described by their states; only a transfer needs
            # numbers
            lines = progress.Lines(
                self.say, title, total if unit == "bytes" else None
            )
            with lines.repeated():
                yield lines

    @contextlib.contextmanager
    def several(
        self,
    ) -> collections.abc.Iterator[collections.abc.Callable[[str], "Progress"]]:
        """Show the progress of several parallel works.

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
        """Draw bars at the bottom of a terminal, below other output.

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
    """Return a text as one line for a bar."""
    return credentials.hide(bounds.escape_controls(text)).replace("\n", " ")


def size(number: int) -> str:
    """Return a size in bytes in a readable form."""
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
    result: "results.Result | None" = None,
) -> None:
    """Print a result on stdout.

    :param data: a mapping, or a list of similar mappings.
    :param form: ``table``, ``json`` or ``shell``.
    :param columns: the columns of a table; by default all. JSON and shell
        always contain all values.
    :param result: the definition of the result, for the shell's format.
    """
    data = credentials.hide_all(data)
    if form == "json":
        print(json.dumps(data, indent=2, default=str))
    elif form == "shell":
        assert result is not None
        for name, value in result.variables(data):
            if sys.stdout.isatty():
                value = bounds.escape_controls(value)
            # a file name may not be valid text
            value = value.encode(errors="backslashreplace").decode()
            print(f"{name}={shlex.quote(value)}")
    elif isinstance(data, collections.abc.Mapping):
        pairs = [
            (_cell(str(name).replace("_", " ")), _cell(value))
            for name, value in data.items()
            if value != ""
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
        import shutil

        return shutil.get_terminal_size().columns
    return sys.maxsize


def _lines(lines: collections.abc.Iterable[str]) -> None:
    for line in lines:
        print(bounds.escape_controls(line))


def _cell(value: typing.Any) -> str:
    if isinstance(value, collections.abc.Mapping):
        return "\n".join(_entry(name, inner) for name, inner in value.items())
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
