# SPDX-License-Identifier: Apache-2.0
"""Decides how long verify waits: as long as the guest makes progress.

A fixed number of seconds is too short on a busy host and too long on a quiet
one.  So every wait of verify follows three things.  A guest that shows
something new is never given up before the user's own limit (``--timeout``).
One that shows nothing new is given up after :data:`QUIET` seconds, which are
multiplied by how slow it is: by the load of this host, and by how long the
guest took to an early stage of its boot.
"""

import collections.abc
import os
import pathlib
import re
import time

from trove_tools.host import process
from trove_tools.verify import outcome

#: Seconds without anything new after which a guest of usual speed is lost.
#: The longest silence of a guest that works was 70 s: a database that makes
#: its first files, emulated on two quiet processors.
QUIET = 300.0
#: Seconds that one wait lasts at most, if the user says nothing else.
MOST = 7200

_MORE = "give it more time with --timeout"
# a guest is called slow, in words for the user, from here on
_SLOW = 2.0
_LONGEST_LINE = 500
# numbers, ids, addresses, times and a moving star make no line a new one
_CHANGING = re.compile(r"(\w*\d\w*|\W|_)+")


class Tail:
    """A growing file, read once.

    :param file: it may not be there yet.
    """

    def __init__(self, file: pathlib.Path) -> None:
        self._file = file
        self._offset = 0

    def more(self) -> bytes:
        """Return what has come since the last time."""
        try:
            with open(self._file, "rb") as stream:
                stream.seek(self._offset)
                data = stream.read()
        except FileNotFoundError:
            return b""
        self._offset += len(data)
        return data


class Activity:
    """Counts the lines of growing logs that tell something new.

    A line is new if no line before it was the same but for its numbers.  A
    service that fails again and again, or a start job whose seconds are
    counted, tells nothing new.

    :param files: the logs; each may not be there yet.
    """

    def __init__(self, *files: pathlib.Path) -> None:
        self._tails = [Tail(file) for file in files]
        self._partial = [b""] * len(files)
        self._known: set[int] = set()

    def count(self) -> int:
        """Return how many different lines there have been so far."""
        for number, tail in enumerate(self._tails):
            data = self._partial[number] + tail.more()
            *lines, self._partial[number] = data.split(b"\n")
            for line in lines:
                text = line[:_LONGEST_LINE].decode(errors="replace")
                self._known.add(hash(_CHANGING.sub(" ", text)))
        return len(self._known)


class Limits:
    """The limits of one verify.

    :param most: seconds that any wait lasts at most.
    """

    def __init__(self, most: float = MOST) -> None:
        self.most = most
        self._measured = 1.0

    def measure(self, took: float, usual: float) -> None:
        """Take note of how fast the guest is.

        :param took: seconds that it took to a known stage.
        :param usual: those that it takes on a quiet host.
        """
        self._measured = max(self._measured, took / usual)

    def slowness(self) -> float:
        """Return how many times slower than usual the guest is, at least 1."""
        return max(self._measured, process.measure_load(), 1.0)

    def scaled(self, seconds: float) -> float:
        """Return how long this guest gets for something.

        :param seconds: what a guest of usual speed gets.
        """
        return min(seconds * self.slowness(), self.most)

    def wait(self, quiet: float = QUIET) -> "Wait":
        """Begin a wait.

        :param quiet: seconds without anything new after which a guest of
            usual speed is given up.
        """
        return Wait(self, quiet)

    def speed(self) -> str | None:
        """Return what a user should know about a slow guest, if it is one."""
        slowness = self.slowness()
        if slowness < _SLOW:
            return None
        return (
            f"the guest is about {slowness:.0f} times slower than usual (load"
            f" of this host: {os.getloadavg()[0]:.1f} on {os.cpu_count()}"
            " processors): verify again when the host has less to do"
        )


class Wait:
    """One wait for something that a guest is to do.

    :param quiet: as for :meth:`Limits.wait`.
    """

    def __init__(self, limits: Limits, quiet: float) -> None:
        self._limits = limits
        self._quiet = quiet
        self._begin = self._changed = time.monotonic()
        self._signs: tuple[object, ...] = ()

    def require(
        self,
        what: str,
        *signs: object,
        log: collections.abc.Callable[[], list[str]] = list,
    ) -> None:
        """Go on with the wait, unless it has become useless.

        :param what: what has not happened, for the message.
        :param signs: all that would be different if the guest had got on.
        :param log: returns the lines that show how far it got.
        :raises CheckError: it has.
        """
        now = time.monotonic()
        if signs != self._signs:
            self._signs, self._changed = signs, now
        waited, quiet = now - self._begin, now - self._changed
        speed = self._limits.speed()
        if waited > self._limits.most:
            raise outcome.CheckError(
                f"{what} within {self._limits.most:.0f} s (--timeout)",
                log(),
                f"{speed}, or {_MORE}" if speed else _MORE,
            )
        if quiet > self._limits.scaled(self._quiet):
            raise outcome.CheckError(
                f"{what} in {waited:.0f} s, and the guest showed nothing new"
                f" for the last {quiet:.0f} s",
                log(),
                speed,
            )
