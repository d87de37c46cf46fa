# SPDX-License-Identifier: Apache-2.0
"""Defines the interface between a check and the machine that runs its guest.

A machine runs one guest.  There are two kinds: ``qemu`` emulates a computer,
with or without KVM; ``container`` is systemd-nspawn, in which the image's own
systemd, cloud-init, Docker engine and agent run at the speed of the host, on
the kernel of the host.  A check uses both kinds through this interface.
"""

import abc
import collections.abc
import contextlib
import dataclasses
import pathlib
import socket
import time
import typing

from trove_tools.verify import disks
from trove_tools.verify import limits as _limits
from trove_tools.verify import outcome
from trove_tools.verify import processes

#: The kinds of machine.
QEMU, CONTAINER = "qemu", "container"
#: The buses for QEMU's disks, and the second disk's device in a guest, by bus.
VIRTIO, SCSI = "virtio", "scsi"
DEVICES = {VIRTIO: "/dev/vdb", SCSI: "/dev/sdb"}
#: The address and the port at which a guest reaches its control plane's
#: broker.  It reaches nothing else unless :meth:`Machine.serve` adds it.
BROKER = ("10.0.2.100", 5672)
#: The timeout in seconds for a command in a guest of normal speed.
PATIENCE = 20.0
#: The files in the machine's directory with the guest's console and journal.
CONSOLE, JOURNAL = "console.log", "journal.log"

_INTERVAL = 0.2
_JOURNAL_LINES = 10

Say = collections.abc.Callable[[str], None]


@dataclasses.dataclass(frozen=True)
class Nic:
    """A network interface of a guest.

    :param address: the guest's address with its network's prefix length.
    :param gateway: an address in the same network that is not the guest's.
    """

    name: str
    mac: str
    address: str
    gateway: str


#: The interfaces in a cloud with network isolation: the agent reaches its
#: broker through the first, and clients reach the database through the second.
MANAGEMENT = Nic("management", "52:54:00:12:34:56", "10.0.2.15/24", "10.0.2.2")
TENANT = Nic("tenant", "52:54:00:12:34:57", "10.0.3.15/24", "10.0.3.2")


@dataclasses.dataclass(frozen=True)
class Service:
    """A service that a guest reaches through its network.

    :param address: the address at which the guest reaches the service.
    :param connect: returns a connection from this host to the service.
    """

    address: str
    port: int
    connect: collections.abc.Callable[[], socket.socket]


@dataclasses.dataclass(frozen=True)
class Settings:
    """The settings with which a machine of either kind runs a guest.

    :param accelerator: QEMU's accelerator: ``auto``, ``kvm`` or ``tcg``.
    :param timeout: maximum seconds of one wait, even if the guest makes
        progress; see :mod:`trove_tools.verify.limits`.
    :param memory: size of QEMU's memory, MiB.
    :param cpus: number of QEMU's processors.
    :param volume: size of the empty second disk, GiB.
    :param disk_bus: the bus of QEMU's disks, as in Nova's ``hw_disk_bus``.
    """

    accelerator: str = "auto"
    timeout: float = _limits.MOST
    memory: int = 2048
    cpus: int = 2
    arch: str = "amd64"
    volume: int = 2
    disk_bus: str = VIRTIO


@dataclasses.dataclass(frozen=True)
class Guest:
    """The guest that a machine runs.

    :param disk: the image, which the guest never changes.
    :param volume: a raw file, the guest's second disk.  It remains when the
        machine has ended, and another guest may use it then.
    :param instance: the data of Trove's instance (the driver's answer to
        ``create``, see :mod:`trove_tools.verify.driver`); None if Trove has
        no instance in this guest.
    :param broker: port on loopback of the control plane's broker.
    :param ports: TCP ports of the guest that this host reaches.
    :param nics: the guest's network interfaces.
    """

    disk: disks.Disk
    volume: pathlib.Path
    instance: collections.abc.Mapping[str, typing.Any] | None = None
    broker: int | None = None
    ports: tuple[int, ...] = ()
    nics: tuple[Nic, Nic] = (MANAGEMENT, TENANT)


class Completed(typing.NamedTuple):
    """The result of a command in a guest.

    :param output: its standard output and standard error.
    """

    status: int
    output: str


class Machine(abc.ABC):
    """A machine that runs one guest.

    :param kind: :data:`QEMU` or :data:`CONTAINER`.
    :param guest: the guest that the machine runs.
    :param directory: directory of the guest's logs; other users must not be
        able to read it.
    :param limits: the time limits of the waits for the guest.
    :param say: shows the user a text about the current wait.
    :param is_on: whether the guest accepts commands.
    :param begun: time of the power on, by :func:`time.monotonic`.
    """

    kind: str
    #: Seconds from power on until the guest accepts commands, on a quiet host.
    usual_start: float
    #: Seconds between two polls of the guest, because each poll slows it.
    pause: float

    def __init__(
        self,
        guest: Guest,
        settings: Settings,
        directory: pathlib.Path,
        say: Say,
    ) -> None:
        self.guest = guest
        self.directory = directory
        self.limits = _limits.Limits(settings.timeout)
        self.console = _limits.Console(directory / CONSOLE)
        self.is_on = False
        # the resources to release when the guest ends
        self._running = contextlib.ExitStack()
        self.begun = time.monotonic()
        self._settings = settings
        self._tell = say
        self._task = ""
        self._activity = _limits.Activity(
            directory / CONSOLE, directory / JOURNAL
        )

    @abc.abstractmethod
    def start(self) -> None:
        """Power the guest on without waiting for it; see :meth:`power_on`.

        It can be called again after :meth:`power_off` or :meth:`cut_power`:
        disk and volume have kept their content.

        :raises VerifyError: this host cannot run the guest.
        """

    @abc.abstractmethod
    def has_started(self) -> bool:
        """Return whether the guest accepts commands."""

    @abc.abstractmethod
    def stay_alive(self) -> None:
        """Check that the guest still runs and can recover.

        :raises CheckError: the guest has ended, or cannot recover.
        """

    @abc.abstractmethod
    def run(
        self, *argv: str, input: str = "", seconds: float = PATIENCE
    ) -> Completed:
        """Run a command in the guest, as root.

        :param input: the text on the command's standard input.
        :param seconds: the timeout in a guest of usual speed.
        :raises CheckError: the guest does not answer, or the command did
            not end in time.
        """

    @abc.abstractmethod
    def port(self, number: int) -> int:
        """Return the loopback port that is forwarded to a guest's port.

        :param number: the guest's port, one of :attr:`Guest.ports`.
        """

    def serve(self, service: Service) -> None:
        """Make a service reachable for the guest.

        :raises CheckError: this kind of machine does not support it.
        """
        raise outcome.CheckError(f"a machine of the kind {self.kind} cannot")

    def connect(self, port: int) -> socket.socket:
        """Connect to a port of the guest, as its clients do.

        :raises OSError: no program listens on the port.
        """
        return socket.create_connection(("127.0.0.1", self.port(port)))

    def replace_disk(
        self,
        disk: disks.Disk,
        instance: collections.abc.Mapping[str, typing.Any],
    ) -> None:
        """Replace the root disk and the seed of a powered-off guest.

        :param instance: the same as for :class:`Guest`.
        :raises CheckError: this kind of machine does not support it.
        """
        raise outcome.CheckError(f"a machine of the kind {self.kind} cannot")

    @abc.abstractmethod
    def power_off(self) -> None:
        """Shut the guest down as a cloud does.

        :raises CheckError: the guest does not shut down.
        """

    def cut_power(self) -> None:
        """End the guest at once, as a power cut does.

        In a container, this host's kernel keeps the data that the guest's
        processes had written.
        """
        self.is_on = False
        self._running.close()

    def close(self) -> None:
        """End the guest if it still runs, and release all resources."""
        self._running.close()

    @abc.abstractmethod
    def grow_volume(self, gib: int) -> None:
        """Enlarge the second disk of the running guest.

        :param gib: the disk's new size, GiB.
        """

    def power_on(self) -> None:
        """Start the guest unless it runs; wait until it accepts commands.

        :raises CheckError: the guest does not accept commands.
        :raises VerifyError: this host cannot run the guest.
        """
        if not self.is_on:
            self.start()
            self._wait_started()
            self.is_on = True

    def _wait_started(self) -> None:
        wait = self.limits.wait()
        while not self.has_started():
            self.look()
            self.stay_alive()
            try:
                wait.require(
                    f"{self.console.stage}: this did not end",
                    self.signs(),
                    log=self.journal_tail,
                )
            except outcome.CheckError as exc:
                if self.console.asks_for_login():
                    exc.message = (
                        "the guest asks for a login, but never ran the seed"
                    )
                    exc.add_hint(
                        "does its cloud-init look for the ConfigDrive"
                        " datasource?"
                    )
                raise
            time.sleep(_INTERVAL)
        # from now on the stage comes from the guest's systemd
        self.console.finish("")
        self.limits.measure(time.monotonic() - self.begun, self.usual_start)

    def look(self) -> None:
        """Read the guest's new output, and show the stage to the user."""
        self.console.read()
        stage = self.console.stage
        task = self._task
        self._tell(f"{task} ({stage})" if task and stage else task or stage)

    def say(self, task: str) -> None:
        """Show the user what verify is waiting for."""
        self._task = task
        self.look()

    def signs(self) -> int:
        """Return a number that grows while the guest makes progress."""
        return self._activity.count()

    def journal_tail(self) -> list[str]:
        """Return the last lines of the guest's journal, with a heading."""
        lines = processes.read_tail(self.directory / JOURNAL, _JOURNAL_LINES)
        if not lines:
            return []
        return ["the guest's journal, at its end:"] + [
            f"  {line}" for line in lines
        ]


#: A function that makes a machine without starting it.  The end of the context
#: removes the machine, but not its volume.
Open = collections.abc.Callable[
    [Guest], contextlib.AbstractContextManager[Machine]
]
