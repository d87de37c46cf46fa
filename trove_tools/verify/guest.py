# SPDX-License-Identifier: Apache-2.0
"""Follows a guest while it boots: what it prints, reports, and dies of.

Two files grow while a guest runs: its console, and the lines of JSON that
:mod:`trove_tools.verify.guest_report` writes.  :meth:`Guest.wait_for` looks
at both, and at QEMU, so that no wait goes on for a guest that is lost.
"""

import collections.abc
import json
import pathlib
import re
import time
import typing

from trove_tools import console
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
_STAGES = (
    ("Linux version", "the kernel has started"),
    # a quiet kernel says nothing, and systemd's log may go elsewhere
    ("\x1b[0;32m  OK  \x1b[0m", "systemd has started"),
    ("systemd[1]: ", "systemd has started"),
)
_BEGINNING = "firmware and boot loader"


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


def plain(text: str) -> str:
    """Return console output as lines, without escape sequences."""
    text = _ESCAPES.sub("", text).replace("\r\n", "\n").replace("\r", "\n")
    return "".join(c for c in text if c == "\n" or c == "\t" or c >= " ")


class Guest:
    """A guest and what is known of it.

    :param nonce: what its own reports carry.
    :param progress: told what is being waited for.
    """

    def __init__(
        self, machine: qemu.Qemu, nonce: str, progress: console.Progress
    ) -> None:
        self._machine = machine
        self._nonce = nonce
        self._progress = progress
        self._console = Tail(machine.directory / qemu.CONSOLE)
        self._reports = Tail(machine.directory / qemu.REPORT)
        self._partial = b""
        self._text = ""
        self._events: list[Event] = []
        self.stage = _BEGINNING

    def console_tail(self) -> list[str]:
        """Return the console's last lines."""
        self._text += self._console.more().decode(errors="replace")
        lines = [
            line for line in plain(self._text).splitlines() if line.strip()
        ]
        return lines[-TAIL_LINES:]

    def wait_for(
        self,
        event: str,
        deadline: float,
        matches: collections.abc.Callable[[Event], bool] = lambda _: True,
    ) -> Event:
        """Wait for the guest to report something.

        :param event: the name of what it reports.
        :param deadline: as :func:`time.monotonic` counts.
        :raises CheckError: it cannot any more, or not in time.
        """
        while True:
            self.look()
            for found in self._events:
                if found["event"] == event and matches(found):
                    return found
            self.stay_alive()
            if time.monotonic() > deadline:
                raise self._too_late()
            time.sleep(_INTERVAL)

    def heard(self, event: str) -> bool:
        """Tell whether the guest has reported something already."""
        return any(found["event"] == event for found in self._events)

    def look(self) -> None:
        """Take in what the guest has said since the last time."""
        self._text += self._console.more().decode(errors="replace")
        *lines, self._partial = (self._partial + self._reports.more()).split(
            b"\n"
        )
        for line in lines:
            self._hear(line)
        if not self._events:
            for sign, stage in _STAGES:
                if sign in self._text:
                    self.stage = stage
        self._progress.state(self.stage)

    def _hear(self, line: bytes) -> None:
        try:
            event = json.loads(line)
        except ValueError:
            return
        if not isinstance(event, dict) or event.get("nonce") != self._nonce:
            return
        self._events.append(event)
        if event["event"] == "waiting":
            jobs = ", ".join(event["jobs"]) or "systemd"
            self.stage = f"the guest waits for {jobs}"
        elif event["event"] == "started":
            self.stage = "cloud-init has started"

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
            return f"the guest reset itself (last seen: {self.stage})"
        return f"the guest powered off by itself (last seen: {self.stage})"

    def _too_late(self) -> report.CheckError:
        if self._events:
            return report.CheckError(f"time is up: {self.stage}")
        if _LOGIN.search(plain(self._text[-4096:])):
            return report.CheckError(
                "the guest asks for a login, but never ran the seed",
                hint="does its cloud-init look for the NoCloud datasource?",
            )
        return report.CheckError(
            f"time is up, and the guest has not reported: {self.stage}"
            if self.stage != _BEGINNING
            else f"time is up: still at {self.stage}"
        )

    def shut_down(self, patience: float) -> None:
        """Press the power button and see the guest obey.

        :raises CheckError: it does not, or QEMU ends otherwise.
        """
        self._machine.press_power_button()
        self.stage = "the guest shuts down"
        self._progress.state(self.stage)
        deadline = time.monotonic() + patience
        while self._machine.status() is None:
            if time.monotonic() > deadline:
                raise report.CheckError(
                    "the guest does not obey the power button",
                    hint="does it have systemd-logind and dbus?",
                )
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
