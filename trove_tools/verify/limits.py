# SPDX-License-Identifier: Apache-2.0
"""Watches a guest's progress, and decides how long verify waits for it.

A fixed number of seconds is too short on a busy host and too long on a quiet
one.  So every wait depends on the progress of the guest and on its speed.  A
guest that shows something new is never given up before the user's limit
(``--timeout``).  A guest that shows nothing new is given up after
:data:`QUIET` seconds, multiplied by the larger of two factors: the load of
this host, and the time that the guest took to an early stage of its boot,
divided by the usual time.

The progress shows in the guest's logs, and the boot on its console.
"""

import collections.abc
import os
import pathlib
import re
import time

from trove_tools.host import process
from trove_tools.verify import outcome

#: Seconds without anything new after which a guest of usual speed is given up.
#: The longest silence of a working guest was 70 s: a database made its first
#: files, emulated on two idle processors.
QUIET = 300.0
#: Maximum seconds of one wait, unless the user sets another limit.
MOST = 7200

_MORE = "give it more time with --timeout"
# messages call a guest slow from this factor on
_SLOW = 2.0
_LONGEST_LINE = 500
# a line is not new if it differs from an earlier line only in numbers, ids,
# addresses, times or a moving star
_CHANGING = re.compile(r"(\w*\d\w*|\W|_)+")


class Tail:
    """Reads a growing file from its beginning, each byte once.

    :param file: the file; it may not exist yet.
    """

    def __init__(self, file: pathlib.Path) -> None:
        self._file = file
        self._offset = 0

    def more(self) -> bytes:
        """Return the bytes that were added since the last call."""
        try:
            with open(self._file, "rb") as stream:
                stream.seek(self._offset)
                data = stream.read()
        except FileNotFoundError:
            return b""
        self._offset += len(data)
        return data


class Activity:
    """Counts the different lines of growing logs.

    Lines that differ only in their numbers count once.  So a service that
    fails again and again, or a start job with a counter of seconds, adds
    nothing.

    :param files: the logs; any of them may not exist yet.
    """

    def __init__(self, *files: pathlib.Path) -> None:
        self._tails = [Tail(file) for file in files]
        self._partial = [b""] * len(files)
        self._known: set[int] = set()

    def count(self) -> int:
        """Return the number of different lines so far."""
        for number, tail in enumerate(self._tails):
            data = self._partial[number] + tail.more()
            *lines, self._partial[number] = data.split(b"\n")
            for line in lines:
                text = line[:_LONGEST_LINE].decode(errors="replace")
                self._known.add(hash(_CHANGING.sub(" ", text)))
        return len(self._known)


class Limits:
    """Computes the time limits of the waits for one guest.

    :param most: maximum seconds of any wait.
    """

    def __init__(self, most: float = MOST) -> None:
        self.most = most
        self._measured = 1.0

    def measure(self, took: float, usual: float) -> None:
        """Record the speed of the guest.

        :param took: seconds until this guest reached a known stage.
        :param usual: seconds until a guest reaches it on a quiet host.
        """
        self._measured = max(self._measured, took / usual)

    def slowness(self) -> float:
        """Return how many times slower than usual the guest is, at least 1."""
        return max(self._measured, process.measure_load(), 1.0)

    def scaled(self, seconds: float) -> float:
        """Return a timeout in seconds that fits the speed of this guest.

        :param seconds: the timeout for a guest of usual speed.
        """
        return min(seconds * self.slowness(), self.most)

    def wait(self, quiet: float = QUIET) -> "Wait":
        """Begin a wait.

        :param quiet: seconds without anything new after which a guest of
            usual speed is given up.
        """
        return Wait(self, quiet)

    def speed(self) -> str | None:
        """Return a hint for the user if the guest is slow, else None."""
        slowness = self.slowness()
        if slowness < _SLOW:
            return None
        return (
            f"the guest is about {slowness:.0f} times slower than usual (load"
            f" of this host: {os.getloadavg()[0]:.1f} on {os.cpu_count()}"
            " processors): verify again when the host has less to do"
        )


class Wait:
    """A wait for an event in a guest.

    :param quiet: the same as for :meth:`Limits.wait`.
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
        """Raise an error if it is useless to wait any longer.

        :param what: a description of the failure, for the message.
        :param signs: all values that change when the guest makes progress.
        :param log: returns the lines that show how far the guest got.
        :raises CheckError: the wait took too long, or the guest makes no
            progress.
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


TAIL_LINES = 15

_ESCAPES = re.compile(
    r"\x1b(?:"
    r"\[[0-9;?]*[ -/]*[@-~]"  # colours, cursor
    r"|\][^\x07\x1b]*(?:\x07|\x1b\\)"  # window titles
    r"|[()]."  # character sets
    r"|[@-Z=>c])"
)
# moves the cursor to the left of the screen, where the next text begins
_MOVE = re.compile(r"\x1b\[(?:\d*;)?0*[1-6]?H")
_WIDTH = 200
_LOGIN = re.compile(r"^\S* ?login: ?$", re.MULTILINE)
# console messages of failures from which no guest recovers
_FATAL = (
    (r"No bootable device", "the firmware found nothing to boot from"),
    (r"grub rescue>", "the boot loader (GRUB) does not find its own files"),
    (r"Minimal BASH-like line editing", "GRUB found no configuration"),
    (r"Kernel panic - not syncing", "the guest's kernel panicked"),
    (r"\(initramfs\) ", "the initramfs does not find the root file system"),
    (r"[Ee]mergency mode", "systemd gave up and went into emergency mode"),
)
# for each stage: the text on the console, the name of the stage, and the next
# stage.  The text of any stage may be missing: a quiet kernel prints nothing,
# and systemd's log may go elsewhere
_STAGES = (
    (r"GRUB|Loading Linux", "the boot loader", "the kernel"),
    (r"Linux version|^\[ *\d+\.\d+\] ", "the kernel", "its initramfs"),
    # initramfs-tools, dracut
    (
        r"^Loading, please wait|^Begin: |dracut-|initrd\.target",
        "the initramfs",
        "the root file system",
    ),
    (
        r"^Welcome to (?!GRUB)|^\[  OK  \] |systemd\[1\]: ",
        "systemd",
        "cloud-init",
    ),
    (r"cloud-init\[\d+\]: ", "cloud-init", "the network and the seed"),
)
_BEGINNING = "waiting for firmware and boot loader"
# number of characters at the end in which fatal messages are searched
_RECENT = 4096


def strip_escapes(text: str) -> str:
    """Return console output as plain lines, without escape sequences."""
    text = _ESCAPES.sub("", text).replace("\r\n", "\n").replace("\r", "\n")
    return "".join(c for c in text if c == "\n" or c == "\t" or c >= " ")


class Console:
    """The console of one guest.

    :param file: the file with the guest's output; it may not exist yet.
    :param stage: what the boot waits for, in words for the user; empty when
        the boot is over.
    """

    def __init__(self, file: pathlib.Path) -> None:
        self._tail = Tail(file)
        self._text = ""
        self._follows = True
        self.stage = _BEGINNING

    def read(self) -> None:
        """Read the output of the guest since the last call."""
        text = self._tail.more().decode(errors="replace")
        self._text += text
        if text and self._follows:
            self.stage = _stage(strip_escapes(self._text))

    def restart(self) -> None:
        """Discard the output so far, because the guest is started again."""
        self.read()
        self._text, self._follows, self.stage = "", True, _BEGINNING

    def finish(self, stage: str) -> None:
        """Set the stage, and do not derive it from the output any more.

        :param stage: the new stage, in words for the user.
        """
        self._follows, self.stage = False, stage

    def asks_for_login(self) -> bool:
        """Return whether the console shows a login prompt."""
        return bool(_LOGIN.search(self._recent()))

    def cause_of_death(self) -> str:
        """Return why the guest cannot recover; empty if it may recover."""
        recent = self._recent()
        for sign, meaning in _FATAL:
            if re.search(sign, recent):
                return meaning
        return ""

    def _recent(self) -> str:
        return strip_escapes(self._text[-_RECENT:])

    def tail(self) -> list[str]:
        """Return the last lines of the console that contain text."""
        self.read()
        lines: list[str] = []
        # a boot loader draws its menu twice, and with lines without text
        for text in strip_escapes(_MOVE.sub("\n", self._text)).splitlines():
            line = " ".join(text.split())[:_WIDTH]
            if re.search(r"\w", line) and line not in lines[-1:]:
                lines.append(line)
        return lines[-TAIL_LINES:]


def _stage(text: str) -> str:
    """Return the stage of the boot, according to the console.

    :param text: all output of the console, without escape sequences.
    """
    if _LOGIN.search(text):
        return "the guest asks for a login; waiting for its cloud-init"
    for sign, seen, awaited in reversed(_STAGES):
        if re.search(sign, text, re.MULTILINE):
            return f"{seen} has started; waiting for {awaited}"
    return _BEGINNING
