# SPDX-License-Identifier: Apache-2.0
"""Makes the isolated network and the control groups of a container's guest.

There are two network namespaces: one is the guest's, the other contains the
far ends of its two interfaces.  No packet leaves them.  Threads of this
process carry data in and out, as bytes of TCP connections.  Only this process
and the guest keep the namespaces: when both have ended, for whatever reason,
the kernel removes them.  It does not remove the control groups of a killed
verify.
"""

import collections.abc
import contextlib
import ctypes
import ipaddress
import os
import pathlib
import signal
import socket
import time
import typing

from trove_tools.host import process
from trove_tools.verify import machine
from trove_tools.verify import relay

TOOLS = ("ip", "nsenter")

_NEW_NETWORK = 0x40000000
# seconds that the guest gets to accept a connection
_PATIENCE = 10.0

_Result = typing.TypeVar("_Result")


class Network:
    """The network of one guest, from one power on to the next.

    :raises OSError: the kernel refuses; this process needs to be root.
    """

    def __init__(self, nics: tuple[machine.Nic, machine.Nic]) -> None:
        self._nics = nics
        self._guest = _in_thread(_new)
        self._outside = _in_thread(_new)
        self._servers: list[socket.socket] = []
        for number, nic in enumerate(nics):
            self._lay(number, nic)

    def close(self) -> None:
        """Stop all services, and release the namespaces."""
        for server in self._servers:
            relay.stop(server)
        for descriptor in (self._guest, self._outside):
            os.close(descriptor)

    def path(self) -> str:
        """Return the path of the guest's network namespace."""
        return _path(self._guest)

    def _lay(self, number: int, nic: machine.Nic) -> None:
        far = f"far{number}"
        self._ip(
            "link", "add", far, "type", "veth",
            "peer", "name", f"eth{number}", "address", nic.mac,
            "netns", self.path(),
        )  # fmt: skip
        prefix = nic.address.partition("/")[2]
        self._ip("address", "add", f"{nic.gateway}/{prefix}", "dev", far)
        self._ip("link", "set", far, "up")

    def _ip(self, *words: str) -> None:
        outside = f"--net={_path(self._outside)}"
        process.run(["nsenter", outside, "ip", *words])

    def serve(self, service: machine.Service) -> None:
        """Forward the guest's connections to a service."""
        address = ipaddress.ip_address(service.address)
        for number, nic in enumerate(self._nics):
            network = ipaddress.ip_interface(nic.address).network
            if address in network:
                self._ip(
                    "address", "replace", f"{address}/{network.prefixlen}",
                    "dev", f"far{number}",
                )  # fmt: skip

        def listen() -> socket.socket:
            return socket.create_server((service.address, service.port))

        server = self._within(listen)
        self._servers.append(server)
        relay.serve(server, service.connect)

    def connect(self, port: int) -> socket.socket:
        """Connect to a port of the guest, as clients of its database do.

        :raises OSError: no program listens on the port.
        """
        address = self._nics[1].address.partition("/")[0]

        def connect() -> socket.socket:
            link = socket.create_connection((address, port), _PATIENCE)
            link.settimeout(None)
            return link

        return self._within(connect)

    def _within(
        self, action: collections.abc.Callable[[], _Result]
    ) -> _Result:
        """Run a function in the namespace of the far ends."""

        def within() -> _Result:
            # this changes the network namespace of the calling thread only
            _call("setns", self._outside, _NEW_NETWORK)
            return action()

        return _in_thread(within)


def _path(descriptor: int) -> str:
    return f"/proc/{os.getpid()}/fd/{descriptor}"


def _new() -> int:
    """Make a network namespace, and return the descriptor that keeps it."""
    _call("unshare", _NEW_NETWORK)
    return os.open("/proc/thread-self/ns/net", os.O_RDONLY | os.O_CLOEXEC)


def _call(name: str, *arguments: int) -> None:
    library = ctypes.CDLL(None, use_errno=True)
    if getattr(library, name)(*arguments) != 0:
        number = ctypes.get_errno()
        raise OSError(number, f"{name}: {os.strerror(number)}")


def _in_thread(action: collections.abc.Callable[[], _Result]) -> _Result:
    """Run a function in a separate thread, and return its result."""
    import concurrent.futures

    with concurrent.futures.ThreadPoolExecutor(1) as pool:
        return pool.submit(action).result()


#: The prefix of their names; the id of verify's process follows it.
PREFIX = "trove-verify-"

_ROOT = pathlib.Path("/sys/fs/cgroup")
# maximum seconds until the kernel has ended killed processes
_END = 20.0
_PAUSE = 0.1


def make(name: str) -> list[pathlib.Path]:
    """Make a control group in each hierarchy that systemd uses."""
    tops = [
        top
        for top in (_ROOT, _ROOT / "unified", _ROOT / "systemd")
        if (top / "cgroup.procs").exists()
    ]
    for top in tops:
        (top / name).mkdir()
    return [top / name for top in tops]


def remove(groups: collections.abc.Iterable[pathlib.Path]) -> None:
    """Remove control groups, and wait for processes in them to end."""
    deadline = time.monotonic() + _END
    for group in groups:
        while group.is_dir():
            try:
                for directory, _, _ in os.walk(group, topdown=False):
                    os.rmdir(directory)
            except OSError:
                if time.monotonic() > deadline:
                    break
                time.sleep(_PAUSE)


def remove_left() -> list[pathlib.Path]:
    """Remove the control groups of killed verify processes.

    Processes in such a group are killed: the guest's processes may outlive
    verify for some seconds, and no other verify uses the group.

    :returns: the control groups that were removed.
    """
    left = [
        group
        for pattern in (f"{PREFIX}*", f"*/{PREFIX}*")
        for group in _ROOT.glob(pattern)
        if not pathlib.Path(f"/proc/{group.name.split('-')[2]}").exists()
    ]
    for group in left:
        _kill(group)
    remove(left)
    return [group for group in left if not group.exists()]


def _kill(group: pathlib.Path) -> None:
    """Send SIGKILL to all processes in a control group and below it."""
    for file in group.rglob("cgroup.procs"):
        for pid in file.read_text().split():
            # 0 stands for a process outside of this pid namespace
            if pid != "0":
                with contextlib.suppress(ProcessLookupError):
                    os.kill(int(pid), signal.SIGKILL)
