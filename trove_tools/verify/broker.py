# SPDX-License-Identifier: Apache-2.0
"""Runs a separate RabbitMQ node for a verification.

Nothing of it is shared with a broker that this host may run as a service:
its ports, its name, its cookie, its data and the daemon that knows the
names of nodes (epmd) are its own, and all of them listen on loopback only.
It has one user with a random password and runs with the rights of whoever
verifies: there is no data of anybody else that it could reach with them,
and another user of this host cannot reach it without cookie or password.
"""

import collections.abc
import contextlib
import dataclasses
import pathlib
import secrets
import signal
import socket
import time

from trove_tools import errors
from trove_tools.host import hosttools
from trove_tools.host import process
from trove_tools.verify import limits
from trove_tools.verify import processes

#: The server's own script: the one on PATH switches to the system's user
#: and the system's directories.
SERVER = pathlib.Path("/usr/lib/rabbitmq/bin/rabbitmq-server")
EPMD = "epmd"

# seconds without a new line in its log, on a quiet host
_PATIENCE = 120.0
_PAUSE = 0.2
_ADDRESS = "127.0.0.1"
_LISTENING = "started TCP listener"
_HELLO = b"AMQP\x00\x00\x09\x01"
# how often other ports are tried when one was taken meanwhile
_ATTEMPTS = 3


@dataclasses.dataclass(frozen=True)
class Broker:
    """A broker that answers.

    :param port: of loopback.
    """

    port: int
    user: str
    password: str

    def url(self, address: str = _ADDRESS, port: int | None = None) -> str:
        """Return the transport URL, as seen from somewhere."""
        place = f"{address}:{port or self.port}"
        return f"rabbit://{self.user}:{self.password}@{place}/"


class _PortTakenError(Exception):
    """Another process has taken the port."""


def require() -> None:
    """Make sure that RabbitMQ is installed.

    :raises MissingToolError: it is not.
    """
    process.require(EPMD, processes.PARENT)
    if not SERVER.exists():
        raise hosttools.missing_error(["rabbitmq-server"])


@contextlib.contextmanager
def start_broker(
    directory: pathlib.Path, port: int | None = None
) -> collections.abc.Iterator[Broker]:
    """Run a broker.

    :param directory: for its files; nobody else may read it.
    :param port: to listen on; a free one when not given.
    :raises MissingToolError: RabbitMQ is not installed.
    :raises VerifyError: it does not come up.
    """
    require()
    with contextlib.ExitStack() as stack:
        for attempt in range(_ATTEMPTS):
            place = directory / f"broker-{attempt}"
            place.mkdir(mode=0o700)
            try:
                running = stack.enter_context(_node(place, port))
                break
            except _PortTakenError as exc:
                if port is not None or attempt == _ATTEMPTS - 1:
                    raise errors.VerifyError(
                        f"the message broker cannot listen: {exc}",
                        hint="end what uses the port, or verify again",
                    ) from exc
        yield running


@contextlib.contextmanager
def _node(
    place: pathlib.Path, port: int | None
) -> collections.abc.Iterator[Broker]:
    if port is not None and not processes.is_free(port):
        raise _in_use(port)
    port = port or processes.find_free_port()
    node = Broker(port, "verify", secrets.token_hex(16))
    environment = _write_settings(place, node)
    names = [EPMD, "-address", _ADDRESS]
    with (
        # in the foreground: a daemon would stay
        processes.run_child(
            names, place / "epmd.log", env=environment, cwd=place
        ),
        processes.run_child(
            [SERVER],
            place / "broker.log",
            env=environment,
            cwd=place,
            # nothing in it is needed once more
            sign=signal.SIGKILL,
        ) as server,
    ):
        _wait(node, server, place / "broker.log")
        yield node


def _write_settings(place: pathlib.Path, node: Broker) -> dict[str, str]:
    """Write what the broker reads, and return its environment."""
    settings = place / "rabbitmq.conf"
    settings.write_text(
        f"listeners.tcp.default = {_ADDRESS}:{node.port}\n"
        f"default_user = {node.user}\n"
        f"default_pass = {node.password}\n"
        "log.console = true\n"
        "log.console.level = info\n"
        "log.file = false\n"
        # the guest's disk is not this one
        "disk_free_limit.absolute = 1MB\n"
        "vm_memory_high_watermark.absolute = 512MB\n"
    )
    cookie = place / ".erlang.cookie"
    cookie.write_text(secrets.token_hex(20))
    cookie.chmod(0o400)
    (place / "env.conf").touch()
    (place / "enabled_plugins").write_text("[].\n")
    return {
        "HOME": str(place),
        "ERL_EPMD_PORT": str(processes.find_free_port()),
        "ERL_EPMD_ADDRESS": _ADDRESS,
        # have the script become the server, so that its id is the server's
        "RUNNING_UNDER_SYSTEMD": "true",
        "NOTIFY_SOCKET": "",
        "RABBITMQ_NODENAME": f"verify-{node.port}@localhost",
        "RABBITMQ_DIST_PORT": str(processes.find_free_port()),
        "RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS": (
            "-kernel inet_dist_use_interface {127,0,0,1}"
            " -start_epmd false +sbwt none"
        ),
        "RABBITMQ_CONFIG_FILE": str(settings),
        "RABBITMQ_CONF_ENV_FILE": str(place / "env.conf"),
        "RABBITMQ_ENABLED_PLUGINS_FILE": str(place / "enabled_plugins"),
        "RABBITMQ_MNESIA_BASE": str(place / "data"),
        "RABBITMQ_LOG_BASE": str(place),
        "RABBITMQ_LOGS": "-",
        "RABBITMQ_PID_FILE": str(place / "pid"),
    }


def _wait(node: Broker, server: process.Child, log: pathlib.Path) -> None:
    """Wait until the broker speaks AMQP.

    :raises VerifyError: it ended, or is silent for too long.
    """
    activity = limits.Activity(log)
    lines, changed = 0, time.monotonic()
    while server.poll() is None:
        if activity.count() != lines:
            lines, changed = activity.count(), time.monotonic()
        # it also has to be ours that speaks
        if _LISTENING in log.read_text(errors="replace"):
            if _speaks(node.port):
                return
        quiet = time.monotonic() - changed
        if quiet > process.scale_timeout(_PATIENCE):
            raise _silent(f"is silent for {quiet:.0f} s", log)
        time.sleep(_PAUSE)
    if "eaddrinuse" in log.read_text(errors="replace"):
        raise _in_use(node.port)
    raise _silent(f"ended with status {server.poll()}", log)


def _in_use(port: int) -> _PortTakenError:
    return _PortTakenError(f"port {port} of {_ADDRESS} is in use")


def _speaks(port: int) -> bool:
    try:
        with socket.create_connection((_ADDRESS, port), 2) as link:
            link.settimeout(2)
            link.sendall(_HELLO)
            # a method frame of channel 0: connection.start
            return link.recv(1) == b"\x01"
    except OSError:
        return False


def _silent(what: str, log: pathlib.Path) -> errors.VerifyError:
    said = "".join(f"\n  {line}" for line in processes.read_tail(log))
    return errors.VerifyError(f"the message broker {what}{said}")
