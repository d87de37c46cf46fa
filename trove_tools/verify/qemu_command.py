# SPDX-License-Identifier: Apache-2.0
"""QEMU's command line.

The guest is alone: its networks reach nothing but its control plane's broker,
and only ports that are asked for are forwarded to it, from free ports on this
host's loopback that QEMU picks itself, so that two guests never meet.  Its
files lie in one directory, where QEMU is started.
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
#: A link to the guest's second disk: a comma in a path would mean something.
VOLUME = "volume.raw"
#: What QEMU calls the second disk.
VOLUME_ID = "volume"


@dataclasses.dataclass(frozen=True)
class System:
    """What QEMU emulates for the guests of one architecture."""

    program: str
    arguments: tuple[str, ...]


#: By the name that guests' catalogs use; others are not emulated yet.
SYSTEMS = {
    # without graphics, firmware and boot loader talk on the serial line
    "amd64": System(accel.SYSTEM, ("-machine", "pc,graphics=off")),
}


def system(arch: str) -> System:
    """Return what emulates an architecture.

    :raises UsageError: nothing does yet.
    """
    if arch not in SYSTEMS:
        raise errors.UsageError(
            f"an image for {arch} cannot be booted by this release",
            hint=f"it boots images for {', '.join(SYSTEMS)}",
        )
    return SYSTEMS[arch]


def tools(arch: str) -> tuple[str, ...]:
    """Return the programs that a guest needs on the host."""
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

    :param ports: TCP ports of the guest that are reached from here.
    :param outlet: a command that carries what the guest sends to its broker;
        empty where it has none.
    :param monitor: descriptor of QEMU's end of the monitor's socket.
    :param channel: of its end of the guest's serial port for commands.
    """
    kind = system(settings.arch)
    forwards = "".join(
        f",hostfwd=tcp:127.0.0.1:0-{_address(machine.TENANT).ip}:{port}"
        for port in ports
    )
    # a comma would end the option
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
        # on a bus of its own: the volume is the second of the disks
        "-drive", f"file={SEED},format=raw,media=cdrom,read-only=on",
        *_nic(machine.MANAGEMENT, guestfwd),
        *_nic(machine.TENANT, forwards),
        "-device", "virtio-rng-pci",
        "-device", "virtio-serial-pci",
        "-chardev", f"socket,id=commands,fd={channel}",
        *_port("commands", command_server.PORT),
        # appended to: a guest may be started again
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
    """Return the options for an interface, whose network leads nowhere."""
    address = _address(nic)
    return [
        "-netdev",
        f"user,id={nic.name},restrict=on,ipv6=off,net={address.network},"
        f"host={nic.gateway},dhcpstart={address.ip}{carried}",
        # no boot ROM: it would look for a network to boot from
        "-device",
        f"virtio-net-pci,netdev={nic.name},mac={nic.mac},romfile=",
    ]  # fmt: skip


def _port(chardev: str, port: str) -> list[process.Argument]:
    name = pathlib.PurePath(port).name
    return ["-device", f"virtserialport,chardev={chardev},name={name}"]


def _disks(bus: str) -> list[process.Argument]:
    """Return the options for root disk and volume, in this order."""
    # what is written is thrown away: no need to wait for it to reach a disk
    drives = [
        f"file={OVERLAY},format=qcow2,cache=unsafe,id=root",
        f"file={VOLUME},format=raw,cache=unsafe,id={VOLUME_ID}",
    ]
    if bus == machine.VIRTIO:
        return [
            "-boot", "order=c,strict=on",
            *(w for each in drives for w in ("-drive", f"{each},if=virtio")),
        ]  # fmt: skip
    # as Nova does it with hw_scsi_model=virtio-scsi
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
