# SPDX-License-Identifier: Apache-2.0
"""Follows a guest while it boots: what it prints, reports, and dies of.

Two files grow while a guest runs: its console, and the lines of JSON that
:mod:`trove_tools.verify.guest_report` writes.  :meth:`Guest.wait_for` looks
at both, and at QEMU, so that no wait goes on for a guest that is lost.
"""

import collections.abc
import re
import time
import typing

from trove_tools import console
from trove_tools import untrusted
from trove_tools.verify import limits as _limits
from trove_tools.verify import qemu
from trove_tools.verify import report

Event = dict[str, typing.Any]

TAIL_LINES = 15

_INTERVAL = 0.2
_ESCAPES = re.compile(
    r"\x1b(?:"
    r"\[[0-9;?]*[ -/]*[@-~]"  # colours, cursor
    r"|\][^\x07\x1b]*(?:\x07|\x1b\\)"  # window titles
    r"|[()]."  # character sets
    r"|[@-Z=>c])"
)
# the next text stands at the left of the screen
_MOVE = re.compile(r"\x1b\[(?:\d*;)?0*[1-6]?H")
_WIDTH = 200
_LOGIN = re.compile(r"^\S* ?login: ?$", re.MULTILINE)
# what no guest recovers from, as the console says it
_FATAL = (
    (r"No bootable device", "the firmware found nothing to boot from"),
    (r"grub rescue>", "the boot loader (GRUB) does not find its own files"),
    (r"Minimal BASH-like line editing", "GRUB found no configuration"),
    (r"Kernel panic - not syncing", "the guest's kernel panicked"),
    (r"\(initramfs\) ", "the initramfs does not find the root file system"),
    (r"[Ee]mergency mode", "systemd gave up and went into emergency mode"),
)
# what the console shows, what that says, and what comes next.  Each of them
# may be missing: a quiet kernel says nothing, and systemd's log may go
# elsewhere
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
# seconds from power on until cloud-init has started: a guest of Debian 13,
# emulated on two processors that have nothing else to do
_USUAL_START = 35.0
# systemd gives a unit 90 s to stop
_SHUTDOWN = 120.0
_JOURNAL_LINES = 10
_JOBS = 3


def plain(text: str) -> str:
    """Return console output as lines, without escape sequences."""
    text = _ESCAPES.sub("", text).replace("\r\n", "\n").replace("\r", "\n")
    return "".join(c for c in text if c == "\n" or c == "\t" or c >= " ")


class Guest:
    """A guest and what is known of it.

    :param nonce: what its own reports carry.
    :param progress: told what is being waited for.
    :param limits: how long this guest is waited for.
    """

    def __init__(
        self,
        machine: qemu.Qemu,
        nonce: str,
        progress: console.Progress,
        limits: _limits.Limits,
    ) -> None:
        self._machine = machine
        self._nonce = nonce
        self._progress = progress
        self.limits = limits
        place = machine.directory
        self._console = _limits.Tail(place / qemu.CONSOLE)
        self._reports = _limits.Tail(place / qemu.REPORT)
        self._activity = _limits.Activity(
            place / qemu.CONSOLE, place / qemu.JOURNAL, place / qemu.REPORT
        )
        self._partial = b""
        self._text = ""
        self._events: list[Event] = []
        self._begin = time.monotonic()
        self._stage = _BEGINNING
        self._task = ""

    def signs(self) -> int:
        """Return a number that grows as long as the guest gets on."""
        return self._activity.count()

    def say(self, task: str) -> None:
        """Tell the user what verify waits for, besides the guest's boot."""
        self._task = task
        self.look()

    def stage(self) -> str:
        """Return what is being waited for, in words for the user."""
        if not self._task:
            return self._stage
        if self.heard("booted"):
            return self._task
        return f"{self._task} ({self._stage})"

    def journal_tail(self) -> list[str]:
        """Return the last lines of the guest's journal, with a heading."""
        file = self._machine.directory / qemu.JOURNAL
        try:
            text = file.read_text(errors="replace")
        except OSError:
            return []
        lines = [line for line in text.splitlines() if line.strip()]
        if not lines:
            return []
        return ["the guest's journal, at its end:"] + [
            f"  {line}" for line in lines[-_JOURNAL_LINES:]
        ]

    def console_tail(self) -> list[str]:
        """Return the console's last lines."""
        self._text += self._console.more().decode(errors="replace")
        lines: list[str] = []
        # a boot loader's menu is drawn with lines that say nothing, twice
        for text in plain(_MOVE.sub("\n", self._text)).splitlines():
            line = " ".join(text.split())[:_WIDTH]
            if re.search(r"\w", line) and line not in lines[-1:]:
                lines.append(line)
        return lines[-TAIL_LINES:]

    def wait_for(
        self,
        event: str,
        matches: collections.abc.Callable[[Event], bool] = lambda _: True,
    ) -> Event:
        """Wait for the guest to report something.

        :param event: the name of what it reports.
        :raises CheckError: it cannot any more, or nothing new comes of it.
        """
        wait = self.limits.wait()
        while True:
            self.look()
            for found in self._events:
                if found["event"] == event and matches(found):
                    return found
            self.stay_alive()
            self._go_on(wait)
            time.sleep(_INTERVAL)

    def _go_on(self, wait: _limits.Wait) -> None:
        """Go on with the wait for a report, unless it is useless."""
        login = not self._events and _LOGIN.search(plain(self._text[-4096:]))
        what = f"{self._stage}: this did not end"
        if login:
            what = "the guest asks for a login, but never ran the seed"
        try:
            wait.require(what, self.signs(), log=self.journal_tail)
        except report.CheckError as exc:
            if login:
                exc.add_hint(
                    "does its cloud-init look for the NoCloud datasource?"
                )
            raise

    def heard(self, event: str) -> bool:
        """Tell whether the guest has reported something already."""
        return any(found["event"] == event for found in self._events)

    def look(self) -> None:
        """Take in what the guest has said since the last time."""
        said = self._console.more().decode(errors="replace")
        self._text += said
        *lines, self._partial = (self._partial + self._reports.more()).split(
            b"\n"
        )
        for line in lines:
            self._hear(line)
        if said and not self._events:
            self._stage = _stage(plain(self._text))
        self._progress.state(self.stage())

    def _hear(self, line: bytes) -> None:
        try:
            event = untrusted.decode_json(line)
        except ValueError:
            return
        if not isinstance(event, dict) or event.get("nonce") != self._nonce:
            return
        self._events.append(event)
        if event["event"] == "waiting":
            self._stage = f"the guest waits for {_jobs(event['jobs'])}"
        elif event["event"] == "started":
            self._stage = "cloud-init has started; waiting for systemd"
            self.limits.measure(time.monotonic() - self._begin, _USUAL_START)
        elif event["event"] == "booted":
            self._stage = "the boot is over"

    def stay_alive(self) -> None:
        """Make sure that there is still something to wait for.

        :raises CheckError: there is not.
        """
        for event in self._machine.events():
            if event["event"] == "GUEST_PANICKED":
                raise report.CheckError("the guest's kernel panicked")
            if event["event"] == "STOP":
                raise report.CheckError(
                    "QEMU stopped the guest", self._machine.output()
                )
            if event["event"] == "SHUTDOWN":
                raise report.CheckError(self._early_end(event))
        status = self._machine.status()
        if status is not None:
            raise report.CheckError(
                f"QEMU ended unexpectedly, with status {status}",
                self._machine.output(),
            )
        text = plain(self._text[-4096:])
        for sign, meaning in _FATAL:
            if re.search(sign, text):
                raise report.CheckError(meaning)

    def _early_end(self, event: Event) -> str:
        reason = event["data"].get("reason", "")
        if reason == "guest-reset":
            return f"the guest reset itself (last seen: {self._stage})"
        return f"the guest powered off by itself (last seen: {self._stage})"

    def shut_down(self) -> None:
        """Press the power button and see the guest obey.

        :raises CheckError: it does not, or QEMU ends otherwise.
        """
        self._machine.press_power_button()
        self.say("waiting for the guest to power off")
        wait = self.limits.wait(_SHUTDOWN)
        while self._machine.status() is None:
            try:
                wait.require(
                    "the guest does not obey the power button",
                    self.signs(),
                    log=self.journal_tail,
                )
            except report.CheckError as exc:
                exc.add_hint("does it have systemd-logind and dbus?")
                raise
            self._machine.monitor.poll()
            time.sleep(_INTERVAL)
        reasons = [
            event["data"].get("reason")
            for event in self._machine.events()
            if event["event"] == "SHUTDOWN"
        ]
        status = self._machine.status()
        if status != 0 or reasons != ["guest-shutdown"]:
            raise report.CheckError(
                f"QEMU ended with status {status},"
                f" because of {reasons or 'nothing it told'}",
                self._machine.output(),
            )


def _jobs(names: list[str]) -> str:
    """Return what systemd starts, in words that fit a line."""
    shown = ", ".join(names[:_JOBS]) or "systemd"
    more = len(names) - _JOBS
    return f"{shown} and {more} more" if more > 0 else shown


def _stage(text: str) -> str:
    """Return the last stage of a boot that a console shows.

    :param text: all that it has shown, without escape sequences.
    """
    if _LOGIN.search(text):
        return "the guest asks for a login; waiting for its cloud-init"
    for sign, seen, awaited in reversed(_STAGES):
        if re.search(sign, text, re.MULTILINE):
            return f"{seen} has started; waiting for {awaited}"
    return _BEGINNING
