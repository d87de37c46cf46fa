# SPDX-License-Identifier: Apache-2.0
"""Runs a guest in QEMU, with KVM or without.

The guest runs as on a whole computer: with firmware, boot loader, the image's
own kernel and initramfs, virtio disks and interfaces.  verify reaches the
guest through separate serial ports, and through the ports of its database.
verify controls QEMU over a socket that only these two have, with QMP: QEMU
answers commands in order, as lines of JSON, and sends events in between.
"""

import collections.abc
import contextlib
import json
import pathlib
import re
import secrets
import shlex
import shutil
import signal
import socket
import sys
import time
import typing

from trove_tools import errors
from trove_tools.host import bounds
from trove_tools.host import process
from trove_tools.verify import disks
from trove_tools.verify import machine
from trove_tools.verify import outcome
from trove_tools.verify import processes
from trove_tools.verify import qemu_command
from trove_tools.verify import relay
from trove_tools.verify import seed

Event = dict[str, typing.Any]

_ANSWER = 30.0
_BLOCK = 65536


class Monitor:
    """A connection to the monitor of one QEMU.

    :param channel: verify's end of the socket.
    """

    def __init__(self, channel: socket.socket) -> None:
        self._channel = channel
        self._received = b""
        self.events: list[Event] = []

    def close(self) -> None:
        """Close verify's end of the socket."""
        self._channel.close()

    def greet(self) -> None:
        """Start the session; QEMU accepts no other command before this.

        :raises VerifyError: QEMU does not answer.
        """
        self._receive(lambda line: "QMP" in line)
        self.execute("qmp_capabilities")

    def execute(self, command: str, **arguments: typing.Any) -> typing.Any:
        """Run a command and return its result.

        :raises VerifyError: QEMU refuses the command, does not answer, or has
            ended.
        """
        words = json.dumps({"execute": command, "arguments": arguments})
        try:
            self._channel.sendall(words.encode() + b"\n")
        except OSError as exc:
            raise errors.VerifyError(f"QEMU has ended: {exc}") from exc
        answer = self._receive(
            lambda line: "return" in line or "error" in line
        )
        if "error" in answer:
            raise errors.VerifyError(
                f"QEMU refused {command}: {answer['error'].get('desc')}"
            )
        return answer["return"]

    def poll(self) -> None:
        """Record the events that have arrived, without waiting."""
        for line in self._lines(0):
            self._note(line)

    def _note(self, line: Event) -> None:
        if "event" in line:
            self.events.append(line)

    def _receive(
        self, wanted: collections.abc.Callable[[Event], bool]
    ) -> Event:
        patience = process.scale_timeout(_ANSWER)
        deadline = time.monotonic() + patience
        while (left := deadline - time.monotonic()) > 0:
            answer = None
            for line in self._lines(left):
                self._note(line)
                if answer is None and wanted(line):
                    answer = line
            if answer is not None:
                return answer
        raise errors.VerifyError(
            f"QEMU did not answer within {patience:.0f} s"
        )

    def _lines(self, patience: float) -> list[Event]:
        """Return the complete lines that have arrived, decoded.

        :param patience: seconds to wait if there are none.
        """
        self._channel.settimeout(patience)
        try:
            block = self._channel.recv(_BLOCK)
        except (TimeoutError, BlockingIOError):
            return []
        except OSError:
            block = b""
        if not block:
            if patience:
                raise errors.VerifyError("QEMU has ended")
            return []
        *whole, self._received = (self._received + block).split(b"\n")
        return [json.loads(line) for line in whole if line.strip()]


_OUTPUT = "qemu.log"
_FORWARD = re.compile(
    r"TCP\[HOST_FORWARD\]\s+\d+\s+127\.0\.0\.1\s+(\d+)\s+\S+\s+(\d+)"
)
# systemd gives a unit 90 s to stop
_SHUTDOWN = 120.0
_PAUSE = 0.2
# seconds that a guest of usual speed gets to start a command
_LAG = 40.0


def require(arch: str) -> None:
    """Check that this host can run guests in QEMU.

    :param arch: the image's architecture, as the catalog names it.
    :raises MissingToolError: this host lacks a program.
    :raises UsageError: this release does not emulate the architecture.
    """
    process.require(disks.TOOL, seed.TOOL, *qemu_command.tools(arch))


class Qemu(machine.Machine):
    """A machine that runs one guest in QEMU until :meth:`close`.

    :param accelerator: QEMU's accelerator.
    """

    kind = machine.QEMU
    # with emulation on two idle processors
    usual_start = 35.0
    pause = 3.0

    def __init__(
        self,
        guest: machine.Guest,
        settings: machine.Settings,
        directory: pathlib.Path,
        say: machine.Say,
        accelerator: qemu_command.Accelerator,
    ) -> None:
        super().__init__(guest, settings, directory, say)
        self._accelerator = accelerator
        self._child: process.Child | None = None
        self._monitor: Monitor | None = None
        self._channel: socket.socket | None = None
        self._partial = b""
        self._greeted = False
        self._request = 0
        self._nonce = ""

    def start(self) -> None:
        """Start QEMU, and connect to its monitor."""
        if not self._nonce:
            self._prepare()
        else:
            self.console.restart()
        self._greeted, self._partial = False, b""
        self.begun = time.monotonic()
        ours, theirs = socket.socketpair()
        self._monitor = Monitor(ours)
        self._running.callback(self._monitor.close)
        self._channel, far = socket.socketpair()
        self._running.callback(self._channel.close)
        # QEMU inherits these two ends; this process closes them in any case
        with theirs, far:
            descriptors = theirs.fileno(), far.fileno()
            self._child = self._running.enter_context(
                processes.run_child(
                    qemu_command.command(
                        self._settings,
                        self._accelerator,
                        ports=self.guest.ports,
                        outlet=self._outlet(),
                        monitor=descriptors[0],
                        channel=descriptors[1],
                    ),
                    self.directory / _OUTPUT,
                    cwd=self.directory,
                    pass_fds=descriptors,
                    sign=signal.SIGKILL,
                )
            )
        try:
            self._monitor.greet()
        except errors.VerifyError as exc:
            tail = "".join(f"\n  {line}" for line in self._output())
            raise errors.VerifyError(f"QEMU did not start{tail}") from exc

    def _prepare(self) -> None:
        """Make the disks and the seed."""
        self._nonce = secrets.token_hex(16)
        directory = self.directory
        disks.make_overlay(self.guest.disk, directory / qemu_command.OVERLAY)
        (directory / qemu_command.VOLUME).symlink_to(self.guest.volume)
        content = seed.write(
            directory / "seed",
            self.guest.instance,
            vendor_data=seed.boothook(self._nonce),
        )
        seed.write_image(content, directory / qemu_command.SEED)
        shutil.copyfile(relay.__file__, directory / "relay.py")

    def _outlet(self) -> str:
        if self.guest.broker is None:
            return ""
        # QEMU runs this for each connection, so it loads as little as possible
        return shlex.join(
            [sys.executable, "-I", "-S", "relay.py", str(self.guest.broker)]
        )

    def has_started(self) -> bool:
        """Return whether the guest has reported that it accepts commands."""
        for line in self._lines(0):
            self._greeted |= line.get("nonce") == self._nonce
        return self._greeted

    def stay_alive(self) -> None:
        """Check that the guest still runs and can recover.

        :raises CheckError: the guest has ended, or cannot recover.
        """
        assert self._child is not None
        self.console.read()
        for event in self._events():
            if event["event"] == "GUEST_PANICKED":
                raise outcome.CheckError("the guest's kernel panicked")
            if event["event"] == "STOP":
                raise outcome.CheckError(
                    "QEMU stopped the guest", self._output()
                )
            if event["event"] == "SHUTDOWN":
                raise outcome.CheckError(self._early_end(event))
        status = self._child.poll()
        if status is not None:
            raise outcome.CheckError(
                f"QEMU ended unexpectedly, with status {status}",
                self._output(),
            )
        cause = self.console.cause_of_death()
        if cause:
            raise outcome.CheckError(cause)

    def _events(self) -> list[Event]:
        assert self._monitor is not None
        self._monitor.poll()
        return self._monitor.events

    def _output(self) -> list[str]:
        """Return QEMU's own last messages, without warnings."""
        tail = processes.read_tail(self.directory / _OUTPUT, 20)
        return [line for line in tail if "warning:" not in line][-10:]

    def _early_end(self, event: Event) -> str:
        stage = self.console.stage or "the boot was over"
        if event["data"].get("reason") == "guest-reset":
            return f"the guest reset itself (last seen: {stage})"
        return f"the guest powered off by itself (last seen: {stage})"

    def run(
        self, *argv: str, input: str = "", seconds: float = machine.PATIENCE
    ) -> machine.Completed:
        """Run a command in the guest, as root."""
        self._request += 1
        patience = self.limits.scaled(seconds)
        request = {
            "id": self._request, "argv": argv, "input": input,
            "seconds": patience,
        }  # fmt: skip
        answer = self._answer(request, patience + self.limits.scaled(_LAG))
        if answer["status"] is None:
            raise outcome.CheckError(
                f"a command in the guest did not end: {process.show(argv)}",
                answer["output"].splitlines(),
            )
        return machine.Completed(answer["status"], answer["output"])

    def _answer(
        self, request: dict[str, typing.Any], patience: float
    ) -> dict[str, typing.Any]:
        assert self._channel is not None
        deadline = time.monotonic() + patience
        try:
            self._channel.settimeout(patience)
            self._channel.sendall(json.dumps(request).encode() + b"\n")
            while time.monotonic() < deadline:
                for line in self._lines(_PAUSE):
                    # a request that was given up may be answered later
                    if line.get("id") == request["id"]:
                        return line
                self.look()
                self.stay_alive()
        except OSError as exc:
            self.stay_alive()
            raise outcome.CheckError(
                f"the guest closed the connection: {exc}"
            ) from exc
        raise outcome.CheckError(
            "the guest does not answer any more"
            f" ({process.show(request['argv'])})",
            self.journal_tail(),
        )

    def _lines(self, patience: float) -> list[dict[str, typing.Any]]:
        """Return the JSON objects that the guest sent over its serial port.

        :param patience: seconds to wait for data.
        """
        assert self._channel is not None
        self._channel.settimeout(patience)
        try:
            block = self._channel.recv(1 << 16)
        except (TimeoutError, BlockingIOError):
            return []
        *whole, self._partial = (self._partial + block).split(b"\n")
        lines = []
        for text in whole:
            with contextlib.suppress(ValueError):
                line = bounds.decode_json(text)
                if isinstance(line, dict):
                    lines.append(line)
        return lines

    def port(self, number: int) -> int:
        """Return the loopback port that is forwarded to a guest's port."""
        assert self._monitor is not None
        text = self._monitor.execute(
            "human-monitor-command", **{"command-line": "info usernet"}
        )
        forwards = {
            int(guest): int(host) for host, guest in _FORWARD.findall(text)
        }
        return forwards[number]

    def power_off(self) -> None:
        """Press the power button, and wait until the guest powers off.

        :raises CheckError: the guest does not power off, or QEMU ends for
            another reason.
        """
        assert self._monitor is not None and self._child is not None
        self._monitor.execute("system_powerdown")
        self.say("waiting for the guest to power off")
        wait = self.limits.wait(_SHUTDOWN)
        while self._child.poll() is None:
            try:
                wait.require(
                    "the guest does not obey the power button",
                    self.signs(),
                    log=self.journal_tail,
                )
            except outcome.CheckError as exc:
                exc.add_hint("does it have systemd-logind and dbus?")
                raise
            self._monitor.poll()
            time.sleep(_PAUSE)
        reasons = [
            event["data"].get("reason")
            for event in self._events()
            if event["event"] == "SHUTDOWN"
        ]
        status = self._child.poll()
        self.cut_power()
        if status != 0 or reasons != ["guest-shutdown"]:
            raise outcome.CheckError(
                f"QEMU ended with status {status},"
                f" because of {reasons or 'an unknown reason'}",
                self._output(),
            )

    def grow_volume(self, gib: int) -> None:
        """Enlarge the second disk of the running guest."""
        assert self._monitor is not None
        self._monitor.execute(
            "block_resize", device=qemu_command.VOLUME_ID, size=gib << 30
        )
