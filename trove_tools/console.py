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
import threading
import time
import typing

from trove_tools import credentials
from trove_tools import errors
from trove_tools import results
from trove_tools import table
from trove_tools import untrusted

Row = collections.abc.Mapping[str, typing.Any]

# seconds after which a state that has not changed is printed again, and from
# one look to the next
_SILENCE = 60.0
_BEAT = 1.0


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
        # rich draws nothing on a terminal that cannot move its cursor
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
        self._print(prefix + credentials.hide(untrusted.printable(text)))

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
            lines = _Lines(self, title, total if unit == "bytes" else None)
            with _repeated(lines):
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
            yield lambda title: _Lines(self, title, None)

    @contextlib.contextmanager
    def _bars(
        self, unit: str, named: bool = False
    ) -> collections.abc.Iterator[
        collections.abc.Callable[[str, int | None], "Progress"]
    ]:
        """Draw bars at the bottom of a terminal, below what is printed.

        :param named: the lines of finished states begin with the title.
        """
        from rich import console
        from rich import progress
        from rich import text as _text

        out = console.Console(file=self.stream)
        bars: list[_Bar] = []
        with progress.Progress(
            *_columns(out.width, unit),
            console=out, transient=True, expand=True,
        ) as shown:  # fmt: skip

            def above(text: str) -> None:
                line = _text.Text.from_ansi(text)
                out.print(line, soft_wrap=True)

            def begin(title: str, total: int | None) -> Progress:
                bars.append(_Bar(self, title, total, shown, named))
                return bars[-1]

            self._print = above
            try:
                yield begin
            finally:
                for bar in bars:
                    bar.end()
                self._print = self._plain


class Progress:
    """The progress of one piece of work; this one shows nothing."""

    def state(self, text: str) -> None:
        """Say what is going on now."""

    def advance(self, amount: int = 1) -> None:
        """Count finished work."""


class _Lines(Progress):
    """Progress for logs and pipes: a line for each new state or 10 %."""

    def __init__(
        self, console: Console, title: str, total: int | None
    ) -> None:
        self._console = console
        self._title = title
        self._total = total
        self._done = 0
        self._shown = 0
        self._state = ""
        self._begin = self._said = time.monotonic()

    def state(self, text: str) -> None:
        if text != self._state:
            self._state = text
            self._say(text)

    def repeat(self) -> None:
        """Print a state again that lasts for long."""
        if self._state and time.monotonic() - self._said > _SILENCE:
            self._say(self._state)

    def advance(self, amount: int = 1) -> None:
        self._done += amount
        if self._total:
            percent = 100 * self._done // self._total
            if percent >= self._shown + 10:
                self._shown = percent - percent % 10
                self._say(f"{self._shown} %{self._pace()}")

    def _pace(self) -> str:
        """Say how fast it goes, and for how long; not when it is done."""
        seconds = time.monotonic() - self._begin
        if not self._total or not seconds or self._done >= self._total:
            return ""
        pace = self._done / seconds
        left = (self._total - self._done) / pace
        return f", {pace / 2**20:.0f} MiB/s, {left:.0f} s left"

    def _say(self, text: str) -> None:
        self._said = time.monotonic()
        seconds = self._said - self._begin
        self._console.say(_state_line(self._title, seconds, text))


@contextlib.contextmanager
def _repeated(lines: _Lines) -> collections.abc.Iterator[None]:
    """Show now and then, as long as this lasts, that the work still runs."""
    ended = threading.Event()

    def repeat() -> None:
        while not ended.wait(_BEAT):
            lines.repeat()

    thread = threading.Thread(target=repeat, daemon=True)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()


class _Bar(Progress):
    """Progress on a terminal: a bar, and a line for each finished state."""

    def __init__(
        self,
        console: Console,
        title: str,
        total: int | None,
        shown: typing.Any,
        named: bool,
    ) -> None:
        self._console = console
        title = _one_line(title)
        self._title = title if named else ""
        self._shown = shown
        self._task = shown.add_task(title, total=total, state="")
        self._state = ""
        self._begin = self._since = time.monotonic()

    def state(self, text: str) -> None:
        if text != self._state:
            self.end()
            self._state = text
            self._since = time.monotonic()
            self._shown.update(self._task, state=_one_line(text))

    def advance(self, amount: int = 1) -> None:
        self._shown.advance(self._task, amount)

    def end(self) -> None:
        """Print the line of the state, which is over."""
        if self._state:
            seconds = self._since - self._begin
            self._console.say(_state_line(self._title, seconds, self._state))
        self._state = ""


def _one_line(text: str) -> str:
    """Return a text that a bar can show beside itself."""
    return credentials.hide(untrusted.printable(text)).replace("\n", " ")


def _state_line(title: str, seconds: float, state: str) -> str:
    return f"{title}{': ' * bool(title)}[{seconds:4.0f} s] {state}"


def _columns(width: int, unit: str) -> list[typing.Any]:
    """Return what a bar's line shows, for rich.

    The elapsed time and the state come first; the title, the least new,
    gets the room that is left.

    :param width: of the terminal, columns.
    """
    from rich import progress
    from rich import table as _table
    from rich import text

    class Elapsed(progress.ProgressColumn):
        def render(self, task: progress.Task) -> text.Text:
            return text.Text(f"[{task.elapsed or 0:4.0f} s]")

    def words(template: str, **room: typing.Any) -> progress.TextColumn:
        return progress.TextColumn(
            template,
            markup=False,
            table_column=_table.Column(
                no_wrap=True, overflow="ellipsis", **room
            ),
        )

    bar = min(20, width // 5)
    transfer: list[typing.Any] = []
    if unit == "bytes":
        transfer = [
            progress.DownloadColumn(binary_units=True),
            progress.TransferSpeedColumn(),
            progress.TimeRemainingColumn(),
        ]
    return [
        Elapsed(),
        words("{task.fields[state]}", max_width=max(8, width - bar - 13)),
        progress.BarColumn(bar_width=bar),
        *transfer,
        words("{task.description}", ratio=1),
    ]


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
    if form == "json":
        print(json.dumps(data, indent=2, default=str))
    elif form == "shell":
        assert result is not None
        for name, value in result.variables(data):
            if sys.stdout.isatty():
                value = untrusted.printable(value)
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
    """Return the width of the terminal; a pipe has none to fold at."""
    if not sys.stdout.isatty():
        return sys.maxsize
    return shutil.get_terminal_size().columns


def _lines(lines: collections.abc.Iterable[str]) -> None:
    for line in lines:
        print(untrusted.printable(line))


def _cell(value: typing.Any) -> str:
    if isinstance(value, collections.abc.Mapping):
        return "\n".join(_entry(name, each) for name, each in value.items())
    if isinstance(value, list | tuple):
        plain = not any(isinstance(v, collections.abc.Mapping) for v in value)
        return (", " if plain else "\n").join(_cell(v) for v in value)
    if isinstance(value, bool):
        return "yes" if value else "no"
    return "-" if value is None else untrusted.printable(str(value))


def _entry(name: str, value: typing.Any) -> str:
    if isinstance(value, collections.abc.Mapping):
        return f"{_cell(name)}:\n{textwrap.indent(_cell(value), '  ')}"
    return f"{_cell(name)}: {_cell(value)}"
