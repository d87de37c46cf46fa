# SPDX-License-Identifier: Apache-2.0
"""The guest as a virtual machine, with its way to the broker and back.

It reaches one address and one port: those of the broker, through a relay
that QEMU starts for each connection.  It is reached at its datastore's
port.  What it knows of itself comes over a serial port.
"""

import collections.abc
import contextlib
import dataclasses
import json
import pathlib
import shlex
import shutil
import socket
import sys
import time
import typing

from trove_tools import console
from trove_tools.verify import accel
from trove_tools.verify import configdrive
from trove_tools.verify import disks
from trove_tools.verify import evidence
from trove_tools.verify import guest
from trove_tools.verify import journal
from trove_tools.verify import limits as _limits
from trove_tools.verify import qemu
from trove_tools.verify import relay
from trove_tools.verify import report
from trove_tools.verify import seed

#: Where the guest finds the broker.
ADDRESS, PORT = "10.0.2.100", 5672

_GIB = 1 << 30
# seconds from one piece of an answer to the next
_ANSWER = 60.0


@dataclasses.dataclass(frozen=True)
class Frame:
    """What the guest gets of a computer.

    :param memory: MiB.
    :param volume: GiB of its empty second disk.
    :param disk_bus: ``virtio`` or ``scsi``, as Nova's ``hw_disk_bus``.
    """

    accelerator: accel.Accelerator
    arch: str
    memory: int
    cpus: int
    volume: int
    disk_bus: str = qemu.VIRTIO


class VmGuest:
    """A guest that QEMU runs; see :class:`rungs.Guest`."""

    def __init__(
        self,
        machine: qemu.Qemu,
        watched: guest.Guest,
        channel: socket.socket,
    ) -> None:
        self._machine = machine
        self._guest = watched
        self.limits = watched.limits
        self._channel = channel
        self._partial = b""
        self._request = 0

    def stay_alive(self) -> None:
        """Make sure that the guest still runs.

        :raises CheckError: it does not.
        """
        self._guest.look()
        self._guest.stay_alive()

    def settled(self) -> bool:
        """Tell whether its boot is over."""
        return self._guest.heard("booted")

    def say(self, task: str) -> None:
        """Tell the user what is being waited for."""
        self._guest.say(task)

    def signs(self) -> int:
        """Return a number that grows as long as the guest gets on."""
        return self._guest.signs()

    def evidence(self, everything: bool) -> dict[str, typing.Any]:
        """Ask the guest for its facts, and for its logs.

        Its journal is here already: that of a guest which answers nothing
        any more, too.
        """
        found = evidence.merged(
            self._pieces("all" if everything else "facts")
        )
        if everything:
            known = journal.logs(self._machine.directory / qemu.JOURNAL)
            logs = found.setdefault("logs", {})
            if journal.AGENT in known:
                # the same once more
                logs.pop("guest agent", None)
            logs.update(known)
        return found

    def _pieces(
        self, what: str
    ) -> collections.abc.Iterator[dict[str, typing.Any]]:
        """Yield what the guest tells until it has no more, or hangs."""
        self._request += 1
        patience = self.limits.scaled(_ANSWER)
        each = self.limits.scaled(evidence.PATIENCE)
        try:
            self._channel.settimeout(patience)
            self._channel.sendall(
                f"{what} {self._request} {each:.0f}\n".encode()
            )
            while True:
                answer = json.loads(self._line(time.monotonic() + patience))
                if answer["request"] != self._request:
                    continue
                if not answer["found"]:
                    return
                yield answer["found"]
        except (OSError, ValueError):
            # so much for what it can tell
            return

    def _line(self, deadline: float) -> bytes:
        """Return the next line that the guest writes.

        :raises OSError: none comes.
        """
        while b"\n" not in self._partial:
            self._channel.settimeout(max(deadline - time.monotonic(), 0.1))
            block = self._channel.recv(65536)
            if not block:
                raise ConnectionResetError
            self._partial += block
        line, _, self._partial = self._partial.partition(b"\n")
        return line

    def port(self, number: int) -> int:
        """Return the port of loopback that leads to one of the guest."""
        return self._machine.forwards()[number]

    def boot(self, found: report.Report) -> None:
        """See it come up, with all that it is to start.

        :raises CheckError: it does not come up at all.
        """
        with found.check("boot") as check:
            self._guest.wait_for("started")
            check.detail = "kernel, root file system and cloud-init work"

    def systemd(self, found: report.Report) -> None:
        """See that everything that the boot starts runs."""
        self._guest.say("waiting for the boot to end")
        with (
            contextlib.suppress(report.CheckError),
            found.check("systemd") as check,
        ):
            booted = self._guest.wait_for("booted")
            for fact in ("times", "slowest"):
                found.facts.setdefault(fact, booted[fact])
            if booted["failed"] or booted["state"] != "running":
                names = [each["unit"] for each in booted["failed"]]
                lines = [
                    line for each in booted["failed"] for line in each["log"]
                ]
                raise report.CheckError(
                    f"systemd is {booted['state']}, failed:"
                    f" {', '.join(names) or 'nothing it names'}",
                    lines,
                )
            check.detail = "running, no failed unit"

    def file_systems(self, found: report.Report) -> None:
        """See that volumes can have the file systems that Trove allows.

        Only those whose programs the image has.
        """
        with (
            contextlib.suppress(report.CheckError),
            found.check("file systems") as check,
        ):
            self.say("trying file systems")
            tried = evidence.merged(self._pieces("file-systems")).get(
                "file-systems"
            )
            if not tried:
                raise report.CheckError("the guest could not try any")
            broken = [f"{kind}: {why}" for kind, why in tried.items() if why]
            if broken:
                raise report.CheckError("; ".join(broken))
            check.detail = f"{', '.join(tried)}: made, mounted and grown"

    def power_off(self, found: report.Report) -> None:
        """See it shut down as a cloud asks it to."""
        with found.check("power off") as check:
            self._guest.shut_down()
            check.detail = "the guest obeys the power button"

    def console_tail(self) -> list[str]:
        """Return the console's last lines."""
        return self._guest.console_tail()


@contextlib.contextmanager
def guest_of(
    disk: disks.Disk,
    created: dict[str, typing.Any],
    broker: int,
    ports: collections.abc.Iterable[int],
    frame: Frame,
    place: pathlib.Path,
    progress: console.Progress,
    limits: _limits.Limits,
) -> collections.abc.Iterator[VmGuest]:
    """Boot an overlay of the image.

    :param created: what Trove's own code says of the instance.
    :param broker: the broker's port on loopback.
    :param ports: of the guest, to be reached.
    :param place: an empty directory; nobody else may read it.
    """
    known = seed.Secrets.new()
    disks.overlay(disk, place / qemu.OVERLAY)
    disks.volume(place / qemu.VOLUME, frame.volume)
    configdrive.make(known, created, place)
    shutil.copyfile(relay.__file__, place / "relay.py")
    # each connection has one: the fewer imports, the better
    command = shlex.join(
        [sys.executable, "-I", "-S", "relay.py", f"tcp:127.0.0.1:{broker}"]
    )
    ours, theirs = socket.socketpair()
    with ours, theirs:
        hardware = qemu.Hardware(
            arch=frame.arch,
            accelerator=frame.accelerator,
            memory=frame.memory,
            cpus=frame.cpus,
            ports=tuple(ports),
            outlet=f"tcp:{ADDRESS}:{PORT}-cmd:{command}",
            channel=theirs.fileno(),
            channel_port=evidence.PORT,
            disk_bus=frame.disk_bus,
        )
        with qemu.Qemu(hardware, place) as machine:
            theirs.close()
            watched = guest.Guest(machine, known.nonce, progress, limits)
            yield VmGuest(machine, watched, ours)
