# SPDX-License-Identifier: Apache-2.0
"""Shows the progress of slow work: bars on a terminal, lines elsewhere."""

import collections.abc
import contextlib
import os
import threading
import time
import typing

from trove_tools import columns

#: Seconds after which an unchanged state is printed again.
_SILENCE = 60.0
#: Seconds between two checks for such a state.
_BEAT = 1.0
#: Seconds between two drawings of the bars.
_FRAME = 0.2
_BAR = 20

Say = collections.abc.Callable[[str], None]
Clean = collections.abc.Callable[[str], str]


class Progress:
    """The progress of one piece of work; this class shows nothing."""

    def state(self, text: str) -> None:
        """Set the current state of the work."""

    def advance(self, amount: int = 1) -> None:
        """Count finished work."""


class _Shown(Progress):
    """Progress that is shown.

    :param say: prints a line.
    :param title: a description of the work.
    :param total: the total amount; None if unknown.
    """

    def __init__(self, say: Say, title: str, total: int | None) -> None:
        self._say = say
        self._title = title
        self._total = total
        self._done = 0
        self._state = ""
        self._begin = self._since = time.monotonic()

    def _pace(self) -> str:
        """Return the speed and the remaining time of unfinished work."""
        seconds = time.monotonic() - self._begin
        if not (self._total and self._done and seconds):
            return ""
        if self._done >= self._total:
            return ""
        pace = self._done / seconds
        left = (self._total - self._done) / pace
        return f", {pace / 2**20:.0f} MiB/s, {left:.0f} s left"

    def _line(self, text: str, title: str) -> str:
        """Return the line of a state, with the time of the last change."""
        seconds = self._since - self._begin
        return f"{title}{': ' * bool(title)}[{seconds:4.0f} s] {text}"


class Lines(_Shown):
    """Progress for logs and pipes: a line for each new state or 10 %."""

    def __init__(self, say: Say, title: str, total: int | None) -> None:
        super().__init__(say, title, total)
        self._percent = 0

    def state(self, text: str) -> None:
        if text != self._state:
            self._state = text
            self._print(text)

    def advance(self, amount: int = 1) -> None:
        self._done += amount
        if self._total:
            percent = 100 * self._done // self._total
            if percent >= self._percent + 10:
                self._percent = percent - percent % 10
                self._print(f"{self._percent} %{self._pace()}")

    def _print(self, text: str) -> None:
        self._since = time.monotonic()
        self._say(self._line(text, self._title))

    def repeat(self) -> None:
        """Print the state again if it has not changed for a long time."""
        if self._state and time.monotonic() - self._since > _SILENCE:
            self._print(self._state)

    @contextlib.contextmanager
    def repeated(self) -> collections.abc.Iterator[None]:
        """Call :meth:`repeat` regularly while the context lasts."""
        with _every(_BEAT, self.repeat):
            yield


class Bar(_Shown):
    """Progress on a terminal: a bar, and a line for each finished state.

    :param unit: ``bytes`` for a transfer, else steps.
    :param named: the lines of finished states begin with the title.
    """

    def __init__(
        self, say: Say, title: str, total: int | None, unit: str, named: bool
    ) -> None:
        super().__init__(say, title, total)
        self._unit = unit
        self._named = named

    def state(self, text: str) -> None:
        if text != self._state:
            self.end()
            self._state = text
            self._since = time.monotonic()

    def advance(self, amount: int = 1) -> None:
        self._done += amount

    def end(self) -> None:
        """Print the line of the finished state."""
        if self._state:
            title = self._title if self._named else ""
            self._say(self._line(self._state, title))
        self._state = ""

    def draw(self, width: int, clean: Clean, mark: str) -> str:
        """Return the bar's line, cut to the width of the terminal.

        The elapsed time and the state come first; the title, which never
        changes, gets the remaining width.

        :param width: the width of the terminal, in columns.
        :param clean: makes a text printable in one line.
        :param mark: the character that a bar consists of.
        """
        seconds = time.monotonic() - self._begin
        size = min(_BAR, width // 5)
        begin, end = 0, size
        if self._total:
            end = min(size, size * self._done // self._total)
        else:
            # the total is unknown: show a moving section
            begin = int(seconds * 5) % size
            end = min(size, begin + size // 4)
        bar = " " * begin + mark * (end - begin) + " " * (size - end)
        rest = clean(self._title)
        if self._unit == "bytes" and self._total:
            mib = f"{self._done / 2**20:.0f}/{self._total / 2**20:.0f} MiB"
            rest = f"{mib}{self._pace()} {rest}"
        room = max(8, width - size - 13)
        state = columns.cut(clean(self._state), room)
        line = f"[{seconds:4.0f} s] {state} {bar} {rest}"
        return columns.cut(line, width - 1)


class Bars:
    """Bars at the bottom of a terminal, below the printed lines.

    :param stream: the terminal.
    :param clean: makes a text printable in one line.
    """

    def __init__(self, stream: typing.TextIO, clean: Clean) -> None:
        self._stream = stream
        self._clean = clean
        encoding = str(stream.encoding or "utf-8").lower()
        self._mark = "━" if encoding.startswith("utf") else "="
        self._bars: list[Bar] = []
        self._drawn = 0
        self._lock = threading.RLock()

    def add(self, bar: Bar) -> Bar:
        """Add a bar below the other bars."""
        with self._lock:
            self._bars.append(bar)
        return bar

    def above(self, text: str) -> None:
        """Print a text above the bars."""
        with self._lock:
            self._write(f"{self._erased()}{text}\n")
            self._drawn = 0
            self._draw()

    @contextlib.contextmanager
    def drawn(self) -> collections.abc.Iterator[None]:
        """Draw the bars regularly while the context lasts."""
        with _every(_FRAME, self._draw):
            try:
                yield
            finally:
                for bar in self._bars:
                    bar.end()
                with self._lock:
                    self._bars.clear()
                    self._draw()

    def _erased(self) -> str:
        """Return the control characters that erase all bars."""
        return "\r" + "\033[A" * (self._drawn - 1) + "\033[J"

    def _draw(self) -> None:
        with self._lock:
            width = _columns(self._stream)
            lines = [
                bar.draw(width, self._clean, self._mark) for bar in self._bars
            ]
            self._write(self._erased() + "\n".join(lines))
            self._drawn = len(lines)

    def _write(self, text: str) -> None:
        try:
            self._stream.write(text)
            self._stream.flush()
        except BrokenPipeError:
            raise
        except OSError:
            # the terminal was closed; the work continues
            pass


@contextlib.contextmanager
def _every(
    seconds: float, what: collections.abc.Callable[[], None]
) -> collections.abc.Iterator[None]:
    """Call a function at an interval while the context lasts."""
    ended = threading.Event()

    def run() -> None:
        while not ended.wait(seconds):
            what()

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()


def _columns(stream: typing.TextIO) -> int:
    """Return the current width of a terminal, which can change."""
    given = os.environ.get("COLUMNS", "")
    if given.isdecimal() and int(given):
        return int(given)
    try:
        return os.get_terminal_size(stream.fileno()).columns or 80
    except (OSError, ValueError):
        return 80
