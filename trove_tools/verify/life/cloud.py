# SPDX-License-Identifier: Apache-2.0
"""Provides the cloud for the instances of one verification.

It handles the requests of Trove's code to Nova, Cinder and Neutron: it boots
a guest for a server, replaces a server's image and keeps its volume, enlarges
a volume, and gives a port an address.  Trove's code uses the same cloud
through :mod:`trove_tools.verify.life.driver_cloud`.
"""

import contextlib
import dataclasses
import functools
import ipaddress
import itertools
import pathlib
import typing

from trove_tools.verify import disks
from trove_tools.verify import machine as _machine

#: The ids of the image under test and of the image that ``--from`` names.
IMAGE, FROM = "image", "from"

Answer = dict[str, typing.Any]

_NICS = (_machine.MANAGEMENT, _machine.TENANT)


@dataclasses.dataclass(frozen=True)
class Former:
    """The earlier image, from which instances are upgraded.

    :param version: the version of the datastore in it.
    """

    disk: disks.Disk
    version: str


@dataclasses.dataclass
class Server:
    """A server of Nova.

    :param machine: the machine that runs its guest.
    :param stack: closes the machine.
    """

    machine: _machine.Machine
    stack: contextlib.ExitStack


class Cloud:
    """The guests of one verification, by the ids of Nova's servers.

    :param disk: the image under test, :data:`IMAGE`.
    :param open_machine: makes a machine for a guest.
    :param directory: directory for volumes; other users must not be able to
        read it.
    :param broker: port on loopback of the control plane's broker.
    :param ports: TCP ports of each guest that this host reaches.
    :param former: the image :data:`FROM`, if there is one.
    """

    def __init__(
        self,
        disk: disks.Disk,
        open_machine: _machine.Open,
        directory: pathlib.Path,
        broker: int,
        ports: tuple[int, ...],
        former: Former | None = None,
    ) -> None:
        self.former = former
        self._images = {IMAGE: disk}
        if former is not None:
            self._images[FROM] = former.disk
        self._open = open_machine
        self._directory = directory
        self._broker = broker
        self._ports = ports
        self._servers: dict[str, Server] = {}
        self._volumes: dict[str, pathlib.Path] = {}
        self._services: list[_machine.Service] = []
        self._given = itertools.count(1)

    def close(self) -> None:
        """End all guests except those that were added by :meth:`adopt`."""
        for server in self._servers.values():
            server.stack.close()

    def adopt(
        self, server: str, volume: str, machine: _machine.Machine
    ) -> None:
        """Add a guest that runs already.

        :param server: Nova's id of the guest.
        :param volume: Cinder's id of its volume.
        """
        self._volumes[volume] = machine.guest.volume
        self._servers[server] = Server(machine, contextlib.ExitStack())
        for service in self._services:
            machine.serve(service)

    def machine(self, server: str) -> _machine.Machine:
        """Return the machine of a server."""
        return self._servers[server].machine

    def serve(self, service: _machine.Service) -> None:
        """Make a service reachable for all present and future guests."""
        self._services.append(service)
        for server in self._servers.values():
            server.machine.serve(service)

    def __call__(self, name: str, arguments: Answer) -> Answer:
        """Handle a request of Trove's code; see :data:`control.Cloud`."""
        answer: Answer = getattr(self, f"_do_{name}")(**arguments)
        return answer

    def _do_reboot(self, server: str) -> Answer:
        machine = self.machine(server)
        machine.power_off()
        machine.power_on()
        return {}

    def _do_rebuild(self, server: str, image: str, user_data: str) -> Answer:
        machine = self.machine(server)
        machine.power_off()
        known = dict(machine.guest.instance or {})
        machine.replace_disk(
            self._images[image], {**known, "user_data": user_data}
        )
        machine.power_on()
        return {}

    def _do_create(
        self,
        server: str,
        image: str,
        user_data: str,
        volume: str,
        size: int,
        ports: list[Answer],
    ) -> Answer:
        file = self._directory / f"volume-{volume}"
        with open(file, "wb") as stream:
            stream.truncate(size << 30)
        self._volumes[volume] = file
        nics = {port["network_id"]: _nic(port) for port in ports}
        self._boot(
            server,
            _machine.Guest(
                self._images[image],
                file,
                {"id": server, "user_data": user_data},
                self._broker,
                self._ports,
                nics=(
                    nics[_machine.MANAGEMENT.name],
                    nics[_machine.TENANT.name],
                ),
            ),
        )
        return {}

    def _boot(self, server: str, guest: _machine.Guest) -> None:
        stack = contextlib.ExitStack()
        machine = stack.enter_context(self._open(guest))
        self._servers[server] = Server(machine, stack)
        # another thread may make or remove servers meanwhile
        for other in list(self._servers.values()):
            if other.machine is not machine:
                self._introduce(machine, other.machine)
        for service in self._services:
            machine.serve(service)
        machine.power_on()

    def _introduce(
        self, one: _machine.Machine, other: _machine.Machine
    ) -> None:
        """Make the databases of two guests reachable for each other."""
        for here, there in ((one, other), (other, one)):
            address = there.guest.nics[1].address.partition("/")[0]
            for port in self._ports:
                connect = functools.partial(there.connect, port)
                here.serve(_machine.Service(address, port, connect))

    def _do_extend(self, volume: str, size: int) -> Answer:
        file = self._volumes[volume]
        for server in list(self._servers.values()):
            if server.machine.guest.volume == file:
                server.machine.grow_volume(size)
        return {}

    def _do_port(self, network: str) -> Answer:
        """Return unused IP and MAC addresses for a new port in a network."""
        first = {nic.name: nic for nic in _NICS}[network]
        number = next(self._given)
        interface = ipaddress.ip_interface(first.address)
        mac = int(first.mac.replace(":", ""), 16) + 0x100 * number
        return {
            **describe(first),
            "mac": ":".join(f"{mac:012x}"[i : i + 2] for i in range(0, 12, 2)),
            "address": str(interface.ip + number),
        }

    def remove(self, server: str) -> None:
        """End a guest, and remove its volume."""
        gone = self._servers.pop(server)
        gone.machine.cut_power()
        gone.stack.close()
        gone.machine.guest.volume.unlink()


def describe(nic: _machine.Nic) -> dict[str, str]:
    """Return the addresses of an interface in the driver's format."""
    interface = ipaddress.ip_interface(nic.address)
    return {
        "mac": nic.mac,
        "address": str(interface.ip),
        "cidr": str(interface.network),
        "gateway": nic.gateway,
    }


def _nic(port: Answer) -> _machine.Nic:
    """Return the guest's interface for a port of Neutron."""
    (fixed,) = port["fixed_ips"]
    prefix = port["cidr"].partition("/")[2]
    return _machine.Nic(
        port["network_id"],
        port["mac_address"],
        f"{fixed['ip_address']}/{prefix}",
        port["gateway_ip"],
    )
