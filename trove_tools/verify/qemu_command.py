# SPDX-License-Identifier: Apache-2.0
"""Builds QEMU's command line, and chooses its accelerator.

The guest is isolated: its networks reach only its control plane's broker, and
only the requested ports are forwarded to it.  QEMU itself chooses free ports
on this host's loopback for them, so that two guests never conflict.  The
guest's files are in one directory, in which QEMU is started.

The accelerator is KVM if it works, otherwise TCG.  It is not enough that
``/dev/kvm`` can be opened.  In many containers and micro-VMs, software that
only emulates instructions provides the device: a guest shows its boot loader
and then stalls.  So verify boots a guest of one sector
(``data/kvm-probe.S``), which does what a kernel does first; an emulated
processor cannot finish it in time.

The probe takes a tenth of a second if KVM works.  A result that took more
than a second is cached until the host boots again or QEMU changes.
"""

import collections.abc
import contextlib
import dataclasses
import ipaddress
import json
import os
import pathlib
import platform
import re
import shutil
import tempfile
import time
import typing

from trove_tools import errors
from trove_tools.host import bounds
from trove_tools.host import files
from trove_tools.host import paths
from trove_tools.host import process
from trove_tools.host import trust
from trove_tools.verify import command_server
from trove_tools.verify import machine
from trove_tools.verify import processes

DEVICE = pathlib.Path("/dev/kvm")
SYSTEM = "qemu-system-x86_64"

_PROBE = pathlib.Path(__file__).parent / "data" / "kvm-probe.bin"
_BOOT_ID = pathlib.Path("/proc/sys/kernel/random/boot_id")
# QEMU's exit status is 2n + 1 if the probe writes the byte n to the device
# isa-debug-exit
_WORKS = 2 * 0x2A + 1
_FLAGS_RIGHT = (8, 0)
_CODE_LOCKED = (8, 1)
_PATIENCE = 8.0
_WORTH_REMEMBERING = 1.0


@dataclasses.dataclass(frozen=True)
class Accelerator:
    """The accelerator with which QEMU runs a guest.

    :param name: ``kvm`` or ``tcg``.
    :param reason: why this accelerator was chosen; messages show it after a
        colon.
    :param accel: QEMU's option -accel.
    :param cpu: QEMU's option -cpu.
    """

    name: str
    reason: str
    accel: str
    cpu: str

    def arguments(self) -> list[str]:
        """Return QEMU's options for this accelerator."""
        return ["-accel", self.accel, "-cpu", self.cpu]


@dataclasses.dataclass(frozen=True)
class Kvm:
    """The result of the probe: whether KVM boots a guest on this host.

    :param reason: why KVM does not work, or what showed that it works.
    """

    usable: bool
    reason: str


def choose_accelerator(wanted: str = "auto") -> Accelerator:
    """Choose the accelerator for the guest.

    :param wanted: ``kvm`` and ``tcg`` select that accelerator; ``auto``
        selects KVM if a guest boots with it.
    :raises MissingToolError: ``kvm`` is wanted, but this host lacks KVM or
        QEMU.
    """
    if wanted == "tcg":
        return _tcg("asked for")
    if wanted == "kvm":
        absent = _absent()
        if absent:
            raise errors.MissingToolError(
                f"KVM was asked for, but {absent}",
                hint="use --accelerator tcg, or auto",
            )
        return _kvm("asked for")
    kvm = probe_kvm()
    return _kvm(kvm.reason) if kvm.usable else _tcg(kvm.reason)


def _kvm(reason: str) -> Accelerator:
    return Accelerator("kvm", reason, "kvm", cpu="host")


def _tcg(reason: str) -> Accelerator:
    """Return TCG without what this version of QEMU emulates wrongly.

    Before version 8.0, its cmpxchg16b leaves wrong values in the flags.  If
    an interrupt follows, the guest's kernel hangs or stops with a double
    fault; in a busy guest this happens within minutes.  Debian and Ubuntu
    guests do not need the instruction.

    Before version 8.1, a processor may run code as it was before another
    processor changed it: QEMU does not lock the page while it translates.  A
    kernel that patches itself then panics with "Oops: int3".  One thread for
    all processors of the guest has nobody to race with.
    """
    version = _version()
    return Accelerator(
        "tcg",
        reason,
        f"tcg,thread={'single' if version < _CODE_LOCKED else 'multi'}",
        cpu="max,cx16=off" if version < _FLAGS_RIGHT else "max",
    )


def _version() -> tuple[int, int]:
    output = process.run([SYSTEM, "--version"]).stdout
    match = re.search(r"version (\d+)\.(\d+)", output)
    return (int(match[1]), int(match[2])) if match else _CODE_LOCKED


def probe_kvm() -> Kvm:
    """Return whether KVM boots a guest on this host."""
    absent = _absent()
    if absent:
        return Kvm(False, absent)
    cache = _cache()
    key = _key()
    known = _recall(cache, key)
    if known is not None:
        return known
    begin = time.monotonic()
    result = _ask()
    if time.monotonic() - begin > _WORTH_REMEMBERING:
        _remember(cache, key, result)
    return result


def _absent() -> str | None:
    if platform.machine() not in ("x86_64", "AMD64"):
        return f"this host is {platform.machine()}, not x86_64"
    if not DEVICE.exists():
        return f"there is no {DEVICE}"
    if not os.access(DEVICE, os.R_OK | os.W_OK):
        return f"{DEVICE} may not be opened by this user (group kvm)"
    if process.find(SYSTEM) is None:
        return f"{SYSTEM} is not installed"
    return None


def _ask() -> Kvm:
    """Boot the one-sector guest with KVM, and return the result."""
    argv: list[process.Argument] = [
        SYSTEM,
        *_kvm("").arguments(),
        "-m", "32",
        "-nodefaults",
        "-no-reboot",
        "-display", "none",
        # a relative path, because a comma in a path would end QEMU's option
        "-drive", f"file={_PROBE.name},format=raw,if=floppy,read-only=on",
        "-device", "isa-debug-exit,iobase=0xf4,iosize=1",
    ]  # fmt: skip
    with tempfile.TemporaryDirectory(prefix="trove-verify-") as directory:
        # a QEMU that aborts may leave a core file in its working directory
        shutil.copy(_PROBE, directory)
        patience = process.scale_timeout(_PATIENCE)
        try:
            done = process.run(
                argv, cwd=directory, timeout=patience, check=False
            )
        except errors.CommandError:
            return Kvm(
                False,
                f"KVM did not finish a one-sector guest in {patience:.0f} s",
            )
    if done.status == _WORKS:
        return Kvm(True, "KVM ran a one-sector guest")
    lines = [
        line for line in done.stderr.splitlines() if "warning" not in line
    ]
    why = lines[0] if lines else f"QEMU ended with status {done.status}"
    return Kvm(
        False, "KVM does not run a guest: " + why.removeprefix(f"{SYSTEM}: ")
    )


def _cache() -> pathlib.Path:
    return paths.user_cache() / "kvm.json"


def _key() -> dict[str, typing.Any]:
    """Return the key of the cached result: this boot and this QEMU."""
    qemu = process.find(SYSTEM) or SYSTEM
    return {
        "boot": _BOOT_ID.read_text().strip(),
        "qemu": qemu,
        "changed": os.stat(qemu).st_mtime_ns,
    }


def _recall(cache: pathlib.Path, key: dict[str, typing.Any]) -> Kvm | None:
    # if the cache cannot be used, the probe is repeated
    with contextlib.suppress(OSError, ValueError, TypeError, KeyError):
        known = bounds.read_json(cache) if trust.is_own(cache) else {}
        if known["key"] == key:
            return Kvm(bool(known["usable"]), str(known["reason"]))
    return None


def _remember(
    cache: pathlib.Path, key: dict[str, typing.Any], result: Kvm
) -> None:
    text = json.dumps({"key": key, **dataclasses.asdict(result)})
    # without a cache the next run repeats the probe, which does no harm
    with contextlib.suppress(OSError):
        cache.parent.mkdir(parents=True, exist_ok=True)
        files.write_file(cache, text)


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
    "amd64": System(SYSTEM, ("-machine", "pc,graphics=off")),
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
    accelerator: Accelerator,
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
            *(w for drive in drives for w in ("-drive", f"{drive},if=virtio")),
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
