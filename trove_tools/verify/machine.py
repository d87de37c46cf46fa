# SPDX-License-Identifier: Apache-2.0
"""What a check knows of the machine that its guest runs in.

A machine runs one guest.  There are two kinds: ``qemu`` emulates a computer,
with or without KVM; ``container`` is systemd-nspawn, in which the image's own
systemd, cloud-init, Docker engine and agent run at the speed of the host, on
the kernel of the host.  A check works with either, through what is here.
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
from trove_tools.verify import guest_logs
from trove_tools.verify import limits as _limits
from trove_tools.verify import outcome
from trove_tools.verify import processes

#: The kinds of machine.
QEMU, CONTAINER = "qemu", "container"
#: The buses that QEMU's disks may be on, and what a guest calls the second
#: disk there.
VIRTIO, SCSI = "virtio", "scsi"
DEVICES = {VIRTIO: "/dev/vdb", SCSI: "/dev/sdb"}
#: The address and the port at which a guest reaches its control plane's
#: broker, and nothing else.
BROKER = ("10.0.2.100", 5672)
#: The timeout in seconds for a command in a guest of normal speed.
PATIENCE = 20.0
#: What a guest prints, and its journal; both in the machine's directory.
CONSOLE, JOURNAL = "console.log", "journal.log"

_INTERVAL = 0.2
_JOURNAL_LINES = 10

Say = collections.abc.Callable[[str], None]


@dataclasses.dataclass(frozen=True)
class Nic:
    """A network interface of a guest.

    :param address: of the guest, with the length of its network's prefix.
    :param gateway: an address of its network that is not the guest's.
    """

    name: str
    mac: str
    address: str
    gateway: str


#: As a cloud with network isolation gives them: the agent reaches its broker
#: through the first, and clients reach the database through the second.
MANAGEMENT = Nic("management", "52:54:00:12:34:56", "10.0.2.15/24", "10.0.2.2")
TENANT = Nic("tenant", "52:54:00:12:34:57", "10.0.3.15/24", "10.0.3.2")


@dataclasses.dataclass(frozen=True)
class Service:
    """Something that a guest reaches by its network.

    :param address: where the guest finds it.
    :param connect: returns a connection to it, from here.
    """

    address: str
    port: int
    connect: collections.abc.Callable[[], socket.socket]


@dataclasses.dataclass(frozen=True)
class Settings:
    """How a guest is run, whatever runs it.

    :param accelerator: of QEMU: ``auto``, ``kvm`` or ``tcg``.
    :param timeout: seconds that one wait lasts at most, however much the
        guest gets on; see :mod:`trove_tools.verify.limits`.
    :param memory: MiB; of QEMU.
    :param cpus: of QEMU.
    :param volume: size of the empty second disk, GiB.
    :param disk_bus: of QEMU's disks, as Nova's ``hw_disk_bus``.
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
    """What a machine is to run.

    :param disk: the image; never written to.
    :param volume: a raw file, the guest's second disk.  It stays when the
        machine has ended, and may be another guest's volume then.
    :param instance: what Trove's own code says of the instance (the answer
        to ``create``, see :mod:`trove_tools.verify.driver`); nothing for a
        guest that Trove does not know.
    :param broker: port on loopback of the control plane's broker.
    :param ports: TCP ports of the guest that are reached from here.
    :param nics: its interfaces.
    """

    disk: disks.Disk
    volume: pathlib.Path
    instance: collections.abc.Mapping[str, typing.Any] | None = None
    broker: int | None = None
    ports: tuple[int, ...] = ()
    nics: tuple[Nic, Nic] = (MANAGEMENT, TENANT)


class Completed(typing.NamedTuple):
    """A command that has ended in a guest.

    :param output: what it printed, errors included.
    """

    status: int
    output: str


class Machine(abc.ABC):
    """A machine that runs one guest.

    :param kind: :data:`QEMU` or :data:`CONTAINER`.
    :param guest: what it runs.
    :param directory: where the guest's logs are; nobody else may read it.
    :param limits: how long the guest is waited for.
    :param say: takes what the user is told of the wait.
    :param is_on: whether commands can be run in the guest.
    :param begun: when it was powered on, by :func:`time.monotonic`.
    """

    kind: str
    #: Seconds from power on until commands run in it, on a quiet host.
    usual_start: float
    #: Seconds between two looks at what costs a guest something.
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
        self.console = guest_logs.Console(directory / CONSOLE)
        self.is_on = False
        # what ends with the guest
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
        """Power on, and do not wait; see :meth:`power_on`.

        Also again, after :meth:`power_off` or :meth:`cut_power`: disk and
        volume are as they were then.

        :raises VerifyError: this host cannot run it.
        """

    @abc.abstractmethod
    def has_started(self) -> bool:
        """Tell whether commands can be run in the guest."""

    @abc.abstractmethod
    def stay_alive(self) -> None:
        """Make sure that there is still something to wait for.

        :raises CheckError: the guest has ended, or cannot recover.
        """

    @abc.abstractmethod
    def run(
        self, *argv: str, input: str = "", seconds: float = PATIENCE
    ) -> Completed:
        """Run a command in the guest, as root.

        :param input: for its standard input.
        :param seconds: what it gets in a guest of usual speed.
        :raises CheckError: the guest does not answer, or the command did
            not end in time.
        """

    @abc.abstractmethod
    def port(self, number: int) -> int:
        """Return the port of loopback that leads to one of the guest.

        :param number: one of :attr:`Guest.ports`.
        """

    def serve(self, service: Service) -> None:
        """Let the guest reach something, from now on.

        :raises CheckError: this machine cannot.
        """
        raise outcome.CheckError(f"not in a machine of the kind {self.kind}")

    def connect(self, port: int) -> socket.socket:
        """Connect to a port of the guest, as its clients do.

        :raises OSError: nobody listens there.
        """
        return socket.create_connection(("127.0.0.1", self.port(port)))

    def replace_disk(
        self,
        disk: disks.Disk,
        instance: collections.abc.Mapping[str, typing.Any],
    ) -> None:
        """Give the guest, which is off, another root disk and seed.

        :param instance: as for :class:`Guest`.
        :raises CheckError: this machine cannot.
        """
        raise outcome.CheckError(f"not in a machine of the kind {self.kind}")

    @abc.abstractmethod
    def power_off(self) -> None:
        """Have the guest shut down, as a cloud does.

        :raises CheckError: it does not obey.
        """

    def cut_power(self) -> None:
        """End the guest at once, as a power cut does.

        In a container the kernel, which is this host's, keeps what the
        guest's processes had written.
        """
        self.is_on = False
        self._running.close()

    def close(self) -> None:
        """End the guest, if it has not ended, and give everything back."""
        self._running.close()

    @abc.abstractmethod
    def grow_volume(self, gib: int) -> None:
        """Enlarge the second disk of the running guest.

        :param gib: its new size, GiB.
        """

    def power_on(self) -> None:
        """Start the guest unless it runs; wait until it takes commands.

        :raises CheckError: it does not come so far.
        :raises VerifyError: this host cannot run it.
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
        # what the guest starts next is known by its systemd
        self.console.finish("")
        self.limits.measure(time.monotonic() - self.begun, self.usual_start)

    def look(self) -> None:
        """Take in what the guest has printed since the last time."""
        self.console.read()
        stage = self.console.stage
        task = self._task
        self._tell(f"{task} ({stage})" if task and stage else task or stage)

    def say(self, task: str) -> None:
        """Tell the user what is being waited for."""
        self._task = task
        self.look()

    def signs(self) -> int:
        """Return a number that grows as long as the guest gets on."""
        return self._activity.count()

    def logs(self) -> dict[str, list[str]]:
        """Return the ends of the guest's logs that are known out here.

        They are there whatever has become of the guest.
        """
        return guest_logs.read_journal(self.directory / JOURNAL)

    def journal_tail(self) -> list[str]:
        """Return the last lines of the guest's journal, with a heading."""
        lines = processes.read_tail(self.directory / JOURNAL, _JOURNAL_LINES)
        if not lines:
            return []
        return ["the guest's journal, at its end:"] + [
            f"  {line}" for line in lines
        ]


class Open(typing.Protocol):
    """Gives machines of one kind."""

    def __call__(
        self, guest: Guest
    ) -> contextlib.AbstractContextManager[Machine]:
        """Make a machine that has not been started.

        It is gone when the context is left, and all of it but the volume.
        """
