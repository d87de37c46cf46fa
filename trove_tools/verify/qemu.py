# SPDX-License-Identifier: Apache-2.0
"""One guest: a QEMU process and the files it works with.

The guest is alone: its network reaches nothing, and only ports that are
asked for are forwarded to it, from free ports on this host's loopback that
QEMU picks itself, so that two guests never meet.  Everything lies in one
directory, where QEMU is started; its command line holds no path.
"""

import collections.abc
import dataclasses
import pathlib
import re
import signal
import socket
import types
import typing

from trove_tools import errors
from trove_tools import process
from trove_tools.verify import accel
from trove_tools.verify import guest_report
from trove_tools.verify import qmp

OVERLAY = "overlay.qcow2"
VOLUME = "volume.qcow2"
SEED = "seed.iso"
CONSOLE = "console.log"
REPORT = "report.jsonl"
JOURNAL = "journal.log"

#: The buses that a guest's disks may be on, and where they find their volume.
VIRTIO, SCSI = "virtio", "scsi"
DEVICES = {VIRTIO: "/dev/vdb", SCSI: "/dev/sdb"}

MAC = "52:54:00:12:34:56"

_OUTPUT = "qemu.log"
_PARENT = "setpriv"
_FORWARD = re.compile(
    r"TCP\[HOST_FORWARD\]\s+\d+\s+127\.0\.0\.1\s+(\d+)\s+\S+\s+(\d+)"
)


@dataclasses.dataclass(frozen=True)
class Machine:
    """What QEMU emulates for the guests of one architecture."""

    system: str
    arguments: tuple[str, ...]


#: By the name that guests' catalogs use; others are not emulated yet.
MACHINES = {
    # without graphics, firmware and boot loader talk on the serial line
    "amd64": Machine(accel.SYSTEM, ("-machine", "pc,graphics=off")),
}


@dataclasses.dataclass(frozen=True)
class Hardware:
    """The computer that a guest finds itself on.

    :param memory: MiB.
    :param ports: TCP ports of the guest that are reached from here.
    :param outlet: what the guest reaches, as QEMU's ``guestfwd``.
    :param channel: a socket that the guest has as a serial port.
    :param channel_port: the port, as the guest names it.
    :param disk_bus: ``virtio`` or ``scsi``, as Nova's ``hw_disk_bus``.
    """

    arch: str
    accelerator: accel.Accelerator
    memory: int
    cpus: int
    ports: tuple[int, ...]
    outlet: str = ""
    channel: int | None = None
    channel_port: str = ""
    disk_bus: str = VIRTIO


def machine(arch: str) -> Machine:
    """Return what emulates an architecture.

    :raises UsageError: nothing does yet.
    """
    if arch not in MACHINES:
        raise errors.UsageError(
            f"an image for {arch} cannot be booted by this release",
            hint=f"it boots images for {', '.join(MACHINES)}",
        )
    return MACHINES[arch]


def tools(arch: str) -> tuple[str, ...]:
    """Return the programs that a guest needs on the host."""
    return machine(arch).system, _PARENT


def command(hardware: Hardware, monitor: int) -> list[process.Argument]:
    """Return QEMU's command line.

    :param monitor: descriptor of its end of the monitor's socket.
    """
    kind = machine(hardware.arch)
    forwards = "".join(
        f",hostfwd=tcp:127.0.0.1:0-:{port}" for port in hardware.ports
    )
    if hardware.outlet:
        # a comma would end the option
        forwards += f",guestfwd={hardware.outlet.replace(',', ',,')}"
    return [
        # whatever ends this process, its guest does not outlive it
        _PARENT, "--pdeathsig", "KILL", "--",
        kind.system, *kind.arguments,
        *hardware.accelerator.arguments(),
        "-m", str(hardware.memory),
        "-smp", str(hardware.cpus),
        "-nodefaults", "-no-user-config", "-no-reboot", "-display", "none",
        *_disks(hardware.disk_bus),
        # on a bus of its own: the volume is the second of the disks
        "-drive", f"file={SEED},format=raw,media=cdrom,read-only=on",
        "-netdev", f"user,id=net,restrict=on,ipv6=off{forwards}",
        # no boot ROM: it would look for a network to boot from
        "-device", f"virtio-net-pci,netdev=net,mac={MAC},romfile=",
        "-device", "virtio-rng-pci",
        "-device", "virtio-serial-pci",
        "-chardev", f"file,id=report,path={REPORT}",
        "-device", "virtserialport,chardev=report,name="
        + pathlib.PurePath(guest_report.PORT).name,
        "-chardev", f"file,id=journal,path={JOURNAL}",
        "-device", "virtserialport,chardev=journal,name="
        + pathlib.PurePath(guest_report.JOURNAL).name,
        "-chardev", f"file,id=console,path={CONSOLE}",
        "-serial", "chardev:console",
        "-chardev", f"socket,id=monitor,fd={monitor}",
        "-mon", "chardev=monitor,mode=control",
        *_channel(hardware),
    ]  # fmt: skip


def _disks(bus: str) -> list[process.Argument]:
    """Return the options for root disk and volume, in this order."""
    # what is written is thrown away: no need to wait for it to reach a disk
    disk = "format=qcow2,cache=unsafe"
    if bus == VIRTIO:
        return [
            "-boot", "order=c,strict=on",
            "-drive", f"file={OVERLAY},if=virtio,{disk}",
            "-drive", f"file={VOLUME},if=virtio,{disk}",
        ]  # fmt: skip
    # as Nova does it with hw_scsi_model=virtio-scsi
    words: list[process.Argument] = [
        "-boot", "strict=on", "-device", "virtio-scsi-pci,id=scsi",
    ]  # fmt: skip
    for number, file in enumerate((OVERLAY, VOLUME)):
        first = "" if number else ",bootindex=0"
        words += [
            "-drive", f"file={file},if=none,id=disk{number},{disk}",
            "-device",
            f"scsi-hd,bus=scsi.0,scsi-id={number},drive=disk{number}{first}",
        ]  # fmt: skip
    return words


def _channel(hardware: Hardware) -> list[process.Argument]:
    if hardware.channel is None:
        return []
    name = pathlib.PurePath(hardware.channel_port).name
    return [
        "-chardev", f"socket,id=channel,fd={hardware.channel}",
        "-device", f"virtserialport,chardev=channel,name={name}",
    ]  # fmt: skip


class Qemu:
    """A guest that runs as long as this context is open.

    :param directory: where its disks lie and its output goes.
    """

    def __init__(self, hardware: Hardware, directory: pathlib.Path) -> None:
        self.directory = directory
        self._hardware = hardware
        self._child: process.Child | None = None
        self._monitor: qmp.Monitor | None = None

    def __enter__(self) -> typing.Self:
        ours, theirs = socket.socketpair()
        self._monitor = qmp.Monitor(ours)
        try:
            # inherited whatever happens, but by nothing else
            with theirs:
                channel = self._hardware.channel
                self._child = process.start(
                    command(self._hardware, theirs.fileno()),
                    cwd=self.directory,
                    log=self.directory / _OUTPUT,
                    pass_fds=(theirs.fileno(),)
                    + (() if channel is None else (channel,)),
                )
            self._monitor.greet()
        except BaseException as exc:
            self.close()
            if isinstance(exc, errors.VerifyError):
                raise self._not_started() from exc
            raise
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        value: BaseException | None,
        trace: types.TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """End the guest at once, if it has not ended."""
        if self._child is not None:
            process.stop(self._child, sign=signal.SIGKILL)
        if self._monitor is not None:
            self._monitor.close()

    @property
    def monitor(self) -> qmp.Monitor:
        """Its monitor."""
        assert self._monitor is not None
        return self._monitor

    def status(self) -> int | None:
        """Return the exit status of a QEMU that has ended."""
        assert self._child is not None
        return self._child.poll()

    def output(self) -> list[str]:
        """Return what QEMU itself had to say."""
        text = (self.directory / _OUTPUT).read_text(errors="replace")
        lines = text.splitlines()
        return [line for line in lines if "warning:" not in line][-10:]

    def _not_started(self) -> errors.VerifyError:
        said = "".join(f"\n  {line}" for line in self.output())
        return errors.VerifyError(f"QEMU did not start{said}")

    def forwards(self) -> dict[int, int]:
        """Return the port of this host behind which each guest port is."""
        text = self.monitor.execute(
            "human-monitor-command", **{"command-line": "info usernet"}
        )
        return {
            int(guest): int(host) for host, guest in _FORWARD.findall(text)
        }

    def press_power_button(self) -> None:
        """Ask the guest to shut down, as a cloud does."""
        self.monitor.execute("system_powerdown")

    def events(self) -> collections.abc.Iterator[qmp.Event]:
        """Return what has happened to the guest so far."""
        self.monitor.poll()
        return iter(self.monitor.events)

    def console(self) -> pathlib.Path:
        """Return the file that has all the guest printed."""
        return self.directory / CONSOLE
