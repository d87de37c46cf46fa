# SPDX-License-Identifier: Apache-2.0
"""Builds QEMU's command line.

The guest is isolated: its networks reach only its control plane's broker, and
only the requested ports are forwarded to it.  QEMU itself chooses free ports
on this host's loopback for them, so that two guests never conflict.  The
guest's files are in one directory, in which QEMU is started.
"""

import collections.abc
import dataclasses
import ipaddress
import pathlib

from trove_tools import errors
from trove_tools.host import process
from trove_tools.verify import accel
from trove_tools.verify import command_server
from trove_tools.verify import machine
from trove_tools.verify import processes

OVERLAY = "overlay.qcow2"
SEED = "seed.iso"
#: A link to the guest's second disk; QEMU misreads a path with a comma.
VOLUME = "volume.raw"
#: QEMU's name for the second disk.
VOLUME_ID = "volume"


@dataclasses.dataclass(frozen=True)
class System:
    """The QEMU program and its options for guests of one architecture."""

    program: str
    arguments: tuple[str, ...]


#: The systems by architecture, as the catalog names it; this release emulates
#: no other architecture.
SYSTEMS = {
    # without graphics, firmware and boot loader use the serial line
    "amd64": System(accel.SYSTEM, ("-machine", "pc,graphics=off")),
}


def system(arch: str) -> System:
    """Return the QEMU program and its options for an architecture.

    :raises UsageError: this release does not emulate the architecture.
    """
    if arch not in SYSTEMS:
        raise errors.UsageError(
            f"an image for {arch} cannot be booted by this release",
            hint=f"it boots images for {', '.join(SYSTEMS)}",
        )
    return SYSTEMS[arch]


def tools(arch: str) -> tuple[str, ...]:
    """Return the programs that this host needs to run a guest."""
    return system(arch).program, processes.PARENT


def command(
    settings: machine.Settings,
    accelerator: accel.Accelerator,
    *,
    ports: collections.abc.Iterable[int],
    outlet: str,
    monitor: int,
    channel: int,
) -> list[process.Argument]:
    """Return QEMU's command line.

    :param ports: TCP ports of the guest that this host reaches.
    :param outlet: a command that carries one of the guest's connections to
        its broker; empty without a broker.
    :param monitor: descriptor of QEMU's end of the monitor's socket.
    :param channel: descriptor of QEMU's end of the guest's serial port for
        commands.
    """
    kind = system(settings.arch)
    forwards = "".join(
        f",hostfwd=tcp:127.0.0.1:0-{_address(machine.TENANT).ip}:{port}"
        for port in ports
    )
    # a single comma would end the option
    guestfwd = (
        ",guestfwd=tcp:{}:{}-cmd:{}".format(
            *machine.BROKER, outlet.replace(",", ",,")
        )
        if outlet
        else ""
    )
    return [
        kind.program, *kind.arguments,
        *accelerator.arguments(),
        "-m", str(settings.memory),
        "-smp", str(settings.cpus),
        "-nodefaults", "-no-user-config", "-no-reboot", "-display", "none",
        *_disks(settings.disk_bus),
        # on a separate bus, so that the volume is the second of the disks
        "-drive", f"file={SEED},format=raw,media=cdrom,read-only=on",
        *_nic(machine.MANAGEMENT, guestfwd),
        *_nic(machine.TENANT, forwards),
        "-device", "virtio-rng-pci",
        "-device", "virtio-serial-pci",
        "-chardev", f"socket,id=commands,fd={channel}",
        *_port("commands", command_server.PORT),
        # data is appended, because a guest may be started again
        "-chardev", f"file,id=journal,path={machine.JOURNAL},append=on",
        *_port("journal", command_server.JOURNAL),
        "-chardev", f"file,id=console,path={machine.CONSOLE},append=on",
        "-serial", "chardev:console",
        "-chardev", f"socket,id=monitor,fd={monitor}",
        "-mon", "chardev=monitor,mode=control",
    ]  # fmt: skip


def _address(nic: machine.Nic) -> ipaddress.IPv4Interface:
    return ipaddress.IPv4Interface(nic.address)


def _nic(nic: machine.Nic, carried: str) -> list[process.Argument]:
    """Return the options for an interface in an isolated network."""
    address = _address(nic)
    return [
        "-netdev",
        f"user,id={nic.name},restrict=on,ipv6=off,net={address.network},"
        f"host={nic.gateway},dhcpstart={address.ip}{carried}",
        # no boot ROM, because it would try to boot from the network
        "-device",
        f"virtio-net-pci,netdev={nic.name},mac={nic.mac},romfile=",
    ]  # fmt: skip


def _port(chardev: str, port: str) -> list[process.Argument]:
    name = pathlib.PurePath(port).name
    return ["-device", f"virtserialport,chardev={chardev},name={name}"]


def _disks(bus: str) -> list[process.Argument]:
    """Return the options for root disk and volume, in this order."""
    # written data is discarded later, so nothing waits until a disk has it
    drives = [
        f"file={OVERLAY},format=qcow2,cache=unsafe,id=root",
        f"file={VOLUME},format=raw,cache=unsafe,id={VOLUME_ID}",
    ]
    if bus == machine.VIRTIO:
        return [
            "-boot", "order=c,strict=on",
            *(w for each in drives for w in ("-drive", f"{each},if=virtio")),
        ]  # fmt: skip
    # the same devices as in Nova with hw_scsi_model=virtio-scsi
    words: list[process.Argument] = [
        "-boot", "strict=on", "-device", "virtio-scsi-pci,id=scsi",
    ]  # fmt: skip
    for number, drive in enumerate(drives):
        name = drive.rpartition("=")[2]
        first = "" if number else ",bootindex=0"
        words += [
            "-drive", f"{drive},if=none",
            "-device",
            f"scsi-hd,bus=scsi.0,scsi-id={number},drive={name}{first}",
        ]  # fmt: skip
    return words
