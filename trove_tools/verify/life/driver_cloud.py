# SPDX-License-Identifier: Apache-2.0
"""Provides clients of Nova, Cinder and Neutron for Trove's code.

This file is a part of the driver: it runs with the Python of the environment
in which Trove is installed.  Trove loads these clients through its own
options ``remote_nova_client`` and so on.  verify does the work of the cloud
(boot a server, rebuild it, enlarge a volume): :func:`ask` sends requests to
verify.
"""

import dataclasses
import threading
import types
import typing
import uuid

Answer = dict[str, typing.Any]

#: Its attribute ``ask`` sends a request on the link of the current thread.
LINK = threading.local()


def ask(name: str, **arguments: object) -> Answer:
    """Send a request to verify and return the answer."""
    answer: Answer = LINK.ask(name, **arguments)
    return answer


MANAGEMENT, TENANT = "management", "tenant"

_AVAILABLE = "available"


@dataclasses.dataclass
class Server:
    """A server of Nova.

    :param id: Nova's id of the server; Trove's instance has another id.
    :param image: the image from which the server was made.
    """

    id: str
    name: str
    image: dict[str, str]
    flavor: dict[str, str]
    status: str = "ACTIVE"

    def reboot(self) -> None:
        """Shut the guest down and start it again."""
        ask("reboot", server=self.id)

    def rebuild(self, image: str, userdata: str = "", **_: object) -> None:
        """Replace the guest's root disk; its volume remains."""
        ask("rebuild", server=self.id, image=image, user_data=userdata)
        self.image = {"id": image}


@dataclasses.dataclass
class Volume:
    """A volume of Cinder.

    :param size: size in GiB.
    """

    id: str
    size: int
    status: str = _AVAILABLE
    volume_type: str | None = None


@dataclasses.dataclass(frozen=True)
class Flavor:
    """A flavor of Nova.

    :param ram: memory in MiB.
    """

    id: str
    name: str
    ram: int
    vcpus: int = 2
    ephemeral: int = 0

    def __getitem__(self, name: str) -> typing.Any:
        return getattr(self, name)


SERVERS: dict[str, Server] = {}
VOLUMES: dict[str, Volume] = {}
#: The ports by id, in the format of Neutron's API.
PORTS: dict[str, Answer] = {}
FLAVORS: dict[str, Flavor] = {}


class _Servers:
    def get(self, name: str) -> Server:
        return SERVERS[name]

    def create(
        self,
        name: str,
        image: str,
        flavor: str,
        *,
        userdata: str,
        block_device_mapping_v2: list[dict[str, typing.Any]],
        nics: list[dict[str, str]] | None = None,
        **_: object,
    ) -> Server:
        server = Server(
            str(uuid.uuid4()), name, {"id": image}, {"id": str(flavor)}
        )
        SERVERS[server.id] = server
        volume = VOLUMES[block_device_mapping_v2[0]["uuid"]]
        volume.status = "in-use"
        ports = [PORTS[nic["port-id"]] for nic in nics or []]
        for port in ports:
            port["device_id"] = server.id
        ask(
            "create",
            server=server.id,
            image=image,
            user_data=userdata,
            volume=volume.id,
            size=volume.size,
            ports=ports,
        )
        return server


class _Attachments:
    def create_server_volume(self, server: str, volume: str, *_: str) -> None:
        VOLUMES[volume].status = "in-use"

    def delete_server_volume(self, server: str, volume: str) -> None:
        VOLUMES[volume].status = _AVAILABLE


def nova(*_: object, **__: object) -> typing.Any:
    """Return Nova's client."""
    return types.SimpleNamespace(
        servers=_Servers(),
        flavors=types.SimpleNamespace(get=lambda name: FLAVORS[str(name)]),
        volumes=_Attachments(),
        server_groups=types.SimpleNamespace(list=list),
    )


#: The URL at which this host reaches the Swift account.
SWIFT = ""


def swift(context: typing.Any, *_: object) -> typing.Any:
    """Return Swift's client for this host; a guest uses another address."""
    import swiftclient

    return swiftclient.Connection(
        preauthurl=SWIFT, preauthtoken=context.auth_token
    )


class _Volumes:
    def get(self, name: str) -> Volume:
        return VOLUMES[name]

    def create(self, size: int, **_: object) -> Volume:
        volume = Volume(str(uuid.uuid4()), size)
        VOLUMES[volume.id] = volume
        return volume

    def extend(self, name: str, size: int) -> None:
        ask("extend", volume=name, size=size)
        VOLUMES[name].size = size

    def list(self, **_: object) -> list[Volume]:
        return []


def cinder(*_: object, **__: object) -> typing.Any:
    """Return Cinder's client."""
    return types.SimpleNamespace(volumes=_Volumes())


def add_port(
    name: str, network: str, address: str, mac: str, cidr: str, gateway: str
) -> str:
    """Make a port and return its id."""
    port: Answer = {
        "id": str(uuid.uuid4()),
        "name": name,
        "network_id": network,
        "device_id": "",
        "mac_address": mac,
        "fixed_ips": [{"ip_address": address, "subnet_id": network}],
        "cidr": cidr,
        "gateway_ip": gateway,
    }
    PORTS[port["id"]] = port
    return str(port["id"])


class _Neutron:
    def create_port(self, body: Answer) -> Answer:
        wanted = body["port"]
        network = wanted["network_id"]
        given = ask("port", network=network)
        port_id = add_port(wanted["name"], network, **given)
        return {"port": PORTS[port_id]}

    def list_ports(self, **wanted: str) -> typing.Any:
        return {
            "ports": [
                port
                for port in PORTS.values()
                if all(port.get(name) == wanted[name] for name in wanted)
            ]
        }

    def show_port(self, name: str) -> typing.Any:
        return {"port": PORTS[name]}

    def show_subnet(self, name: str) -> typing.Any:
        # a subnet has the id of its network here
        port = next(
            port for port in PORTS.values() if port["network_id"] == name
        )
        return {
            "subnet": {
                "ip_version": 4,
                "cidr": port["cidr"],
                "gateway_ip": port["gateway_ip"],
                "host_routes": [],
            }
        }

    def list_floatingips(self, **_: str) -> typing.Any:
        return {"floatingips": []}


def neutron(*_: object, **__: object) -> typing.Any:
    """Return Neutron's client."""
    return _Neutron()
