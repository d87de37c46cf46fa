# SPDX-License-Identifier: Apache-2.0
"""All output to people and machines.

People read stderr: messages, progress, errors.  Machines read stdout: what
:func:`emit` prints there is a table, JSON, or ``NAME='value'`` lines fit
for ``eval``, and nothing else is ever written to stdout.
"""

import collections.abc
import contextlib
import json
import re
import shlex
import sys
import textwrap
import time
import typing

from trove_tools import errors

Row = collections.abc.Mapping[str, typing.Any]


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
        self.interactive = self.stream.isatty()

    def say(self, text: str) -> None:
        """Print a line of information."""
        if not self.quiet:
            self._line(text)

    def warn(self, text: str) -> None:
        """Print a warning."""
        self._line(self._bold("warning: ", "33") + text)

    def error(self, error: errors.TroveToolsError) -> None:
        """Print an error and what can be done about it."""
        self._line(self._bold("error: ", "31") + error.message)
        if error.hint:
            self._line(self._bold("hint: ", "36") + error.hint)

    def _bold(self, text: str, colour: str) -> str:
        return f"\033[1;{colour}m{text}\033[0m" if self.interactive else text

    def _line(self, text: str) -> None:
        print(text, file=self.stream, flush=True)

    @contextlib.contextmanager
    def progress(
        self, title: str, total: int | None = None, unit: str = ""
    ) -> collections.abc.Iterator["Progress"]:
        """Show how a slow piece of work comes along.

        On a terminal a bar; elsewhere one line when the state changes.

        :param title: what is being done.
        :param total: how much there is; unknown when not given.
        :param unit: ``bytes`` for a transfer, else steps.
        """
        if self.quiet:
            yield Progress()
        elif self.interactive:
            with _bars(self.stream, unit) as bar:
                yield bar(title, total)
        else:
            # steps are told by their states; only a transfer needs numbers
            yield _Lines(self, title, total if unit == "bytes" else None)

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
            with _bars(self.stream, "") as bar:
                yield lambda title: bar(title, None)
        else:
            yield lambda title: _Lines(self, title, None)


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
        self._begin = time.monotonic()

    def state(self, text: str) -> None:
        if text != self._state:
            self._state = text
            self._say(text)

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
        seconds = time.monotonic() - self._begin
        self._console.say(f"{self._title}: [{seconds:4.0f} s] {text}")


@contextlib.contextmanager
def _bars(
    stream: typing.TextIO, unit: str
) -> collections.abc.Iterator[
    collections.abc.Callable[[str, int | None], Progress]
]:
    from rich import console
    from rich import progress

    columns: list[str | progress.ProgressColumn] = [
        progress.TextColumn("{task.description}"),
        progress.BarColumn(),
    ]
    if unit == "bytes":
        columns += [
            progress.DownloadColumn(),
            progress.TransferSpeedColumn(),
            progress.TimeRemainingColumn(),
        ]
    columns += [
        progress.TimeElapsedColumn(),
        progress.TextColumn("{task.fields[state]}", markup=False),
    ]
    with progress.Progress(
        *columns, console=console.Console(file=stream), transient=True
    ) as shown:

        class Bar(Progress):
            def __init__(self, title: str, total: int | None) -> None:
                self._task = shown.add_task(title, total=total, state="")

            def state(self, text: str) -> None:
                shown.update(self._task, state=text)

            def advance(self, amount: int = 1) -> None:
                shown.advance(self._task, amount)

        yield Bar


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
) -> None:
    """Print a result on stdout.

    :param data: one thing, or a list of like things.
    :param form: ``table``, ``json`` or ``shell``.
    :param columns: what a table shows of each thing in a list, in this
        order; all, when not given.  JSON and shell always have all.
    """
    if form == "json":
        print(json.dumps(data, indent=2, default=str))
    elif form == "shell":
        for name, value in _flat("", data):
            print(f"{name}={shlex.quote(value)}")
    elif isinstance(data, collections.abc.Mapping):
        rows = [{"field": k, "value": v} for k, v in data.items()]
        _table(rows, ("field", "value"))
    elif data or columns:
        _table(data, columns or list(data[0]))
    sys.stdout.flush()


def _flat(
    name: str, value: typing.Any
) -> collections.abc.Iterator[tuple[str, str]]:
    """Yield shell names and values of a nested structure.

    ``{"image": {"size": 1}}`` becomes ``IMAGE_SIZE=1``; a list of plain
    values is joined by blanks; a list of things is numbered from 0, with
    their number in ``..._COUNT``.
    """
    if isinstance(value, collections.abc.Mapping):
        for key, inner in value.items():
            part = re.sub(r"\W", "_", str(key)).upper()
            yield from _flat(f"{name}_{part}" if name else part, inner)
    elif isinstance(value, list | tuple):
        if any(isinstance(inner, collections.abc.Mapping) for inner in value):
            yield f"{name}_COUNT".lstrip("_"), str(len(value))
            for number, inner in enumerate(value):
                numbered = f"{name}_{number}" if name else f"ITEM_{number}"
                yield from _flat(numbered, inner)
        else:
            yield name, " ".join(map(str, value))
    else:
        yield name, _plain(value)


def _plain(value: typing.Any) -> str:
    if value is None:
        return ""
    if isinstance(value, bool):
        return "true" if value else "false"
    return str(value)


def _cell(value: typing.Any) -> str:
    if isinstance(value, collections.abc.Mapping):
        return "\n".join(_entry(name, each) for name, each in value.items())
    if isinstance(value, list | tuple):
        plain = not any(isinstance(v, collections.abc.Mapping) for v in value)
        return (", " if plain else "\n").join(_cell(v) for v in value)
    if isinstance(value, bool):
        return "yes" if value else "no"
    return "-" if value is None else _printable(str(value))


def _printable(text: str) -> str:
    """Return a text whose control characters can be read, not obeyed."""
    return "".join(
        char
        if char == "\n" or char.isprintable()
        else char.encode("unicode_escape").decode()
        for char in text
    )


def _entry(name: str, value: typing.Any) -> str:
    if isinstance(value, collections.abc.Mapping):
        return f"{name}:\n{textwrap.indent(_cell(value), '  ')}"
    return f"{name}: {_cell(value)}"


def _table(
    rows: collections.abc.Sequence[Row],
    columns: collections.abc.Sequence[str],
) -> None:
    """Print rows in aligned columns, the width of what is in them."""
    from rich import box
    from rich import console
    from rich import table

    shown = table.Table(box=box.SIMPLE_HEAD, pad_edge=False)
    for column in columns:
        shown.add_column(column.replace("_", " "), overflow="fold")
    for row in rows:
        shown.add_row(*(_text(_cell(row.get(name))) for name in columns))
    # a pipe has no width to fold at
    width = None if sys.stdout.isatty() else 500
    out = console.Console(file=sys.stdout, highlight=False, width=width)
    with out.capture() as capture:
        out.print(shown)
    for line in capture.get().strip("\n").splitlines():
        # rich pads every line to the table's width
        if line.strip():
            print(line.rstrip())


def _text(cell: str) -> typing.Any:
    from rich import text

    return text.Text(cell)
