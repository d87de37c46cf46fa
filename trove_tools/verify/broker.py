# SPDX-License-Identifier: Apache-2.0
"""Runs a separate RabbitMQ node for a verification.

The node shares nothing with a broker that this host may run as a service: it
has separate ports, a separate name, cookie and data directory, and a separate
daemon for the names of nodes (epmd).  All of them listen on loopback only.
The node has one user with a random password.  It runs with the rights of the
user who runs verify: it serves no data of other users, and another user of
this host cannot access it without its cookie or password.
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

#: The server's own script.  The script on PATH is not used, because it
#: switches to the user and the directories of the system's service.
SERVER = pathlib.Path("/usr/lib/rabbitmq/bin/rabbitmq-server")
EPMD = "epmd"

# seconds without a new line in the broker's log after which it is given up,
# on a quiet host
_PATIENCE = 120.0
_PAUSE = 0.2
_ADDRESS = "127.0.0.1"
_LISTENING = "started TCP listener"
_HELLO = b"AMQP\x00\x00\x09\x01"
# number of attempts, each with other ports, because another process may take
# a port meanwhile
_ATTEMPTS = 3


@dataclasses.dataclass(frozen=True)
class Broker:
    """A running message broker.

    :param port: TCP port on loopback.
    """

    port: int
    user: str
    password: str

    def url(self, address: str = _ADDRESS, port: int | None = None) -> str:
        """Return the transport URL for a client that uses this address."""
        server = f"{address}:{port or self.port}"
        return f"rabbit://{self.user}:{self.password}@{server}/"


class _PortTakenError(Exception):
    """Another process uses the port."""


def require() -> None:
    """Check that RabbitMQ is installed.

    :raises MissingToolError: a program is missing.
    """
    process.require(EPMD, processes.PARENT)
    if not SERVER.exists():
        raise hosttools.missing_error(["rabbitmq-server"])


@contextlib.contextmanager
def start_broker(
    directory: pathlib.Path, port: int | None = None
) -> collections.abc.Iterator[Broker]:
    """Run a message broker while the context is open.

    :param directory: directory for the broker's files; other users must not
        be able to read it.
    :param port: TCP port to listen on; by default a free one.
    :raises MissingToolError: RabbitMQ is not installed.
    :raises VerifyError: the broker does not start.
    """
    require()
    with contextlib.ExitStack() as stack:
        for attempt in range(_ATTEMPTS):
            attempt_directory = directory / f"broker-{attempt}"
            attempt_directory.mkdir(mode=0o700)
            try:
                running = stack.enter_context(_node(attempt_directory, port))
                break
            except _PortTakenError as exc:
                if port is not None or attempt == _ATTEMPTS - 1:
                    raise errors.VerifyError(
                        f"the message broker cannot listen: {exc}",
                        hint="stop the process that uses the port, or verify"
                        " again",
                    ) from exc
        yield running


@contextlib.contextmanager
def _node(
    directory: pathlib.Path, port: int | None
) -> collections.abc.Iterator[Broker]:
    if port is not None and not processes.is_free(port):
        raise _in_use(port)
    port = port or processes.find_free_port()
    node = Broker(port, "verify", secrets.token_hex(16))
    environment = _write_settings(directory, node)
    names = [EPMD, "-address", _ADDRESS]
    with (
        # in the foreground, because a daemon would outlive verify
        processes.run_child(
            names, directory / "epmd.log", env=environment, cwd=directory
        ),
        processes.run_child(
            [SERVER],
            directory / "broker.log",
            env=environment,
            cwd=directory,
            # its data is not used again, so it need not stop cleanly
            sign=signal.SIGKILL,
        ) as server,
    ):
        _wait(node, server, directory / "broker.log")
        yield node


def _write_settings(directory: pathlib.Path, node: Broker) -> dict[str, str]:
    """Write the broker's configuration files, and return its environment."""
    settings = directory / "rabbitmq.conf"
    settings.write_text(
        f"listeners.tcp.default = {_ADDRESS}:{node.port}\n"
        f"default_user = {node.user}\n"
        f"default_pass = {node.password}\n"
        "log.console = true\n"
        "log.console.level = info\n"
        "log.file = false\n"
        # the limit is about this host's disk, not about the guest's
        "disk_free_limit.absolute = 1MB\n"
        "vm_memory_high_watermark.absolute = 512MB\n"
    )
    cookie = directory / ".erlang.cookie"
    cookie.write_text(secrets.token_hex(20))
    cookie.chmod(0o400)
    (directory / "env.conf").touch()
    (directory / "enabled_plugins").write_text("[].\n")
    return {
        "HOME": str(directory),
        "ERL_EPMD_PORT": str(processes.find_free_port()),
        "ERL_EPMD_ADDRESS": _ADDRESS,
        # makes the script exec the server, so that both have one process id
        "RUNNING_UNDER_SYSTEMD": "true",
        "NOTIFY_SOCKET": "",
        "RABBITMQ_NODENAME": f"verify-{node.port}@localhost",
        "RABBITMQ_DIST_PORT": str(processes.find_free_port()),
        "RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS": (
            "-kernel inet_dist_use_interface {127,0,0,1}"
            " -start_epmd false +sbwt none"
        ),
        "RABBITMQ_CONFIG_FILE": str(settings),
        "RABBITMQ_CONF_ENV_FILE": str(directory / "env.conf"),
        "RABBITMQ_ENABLED_PLUGINS_FILE": str(directory / "enabled_plugins"),
        "RABBITMQ_MNESIA_BASE": str(directory / "data"),
        "RABBITMQ_LOG_BASE": str(directory),
        "RABBITMQ_LOGS": "-",
        "RABBITMQ_PID_FILE": str(directory / "pid"),
    }


def _wait(node: Broker, server: process.Child, log: pathlib.Path) -> None:
    """Wait until the broker answers with AMQP.

    :raises VerifyError: the broker ended, or logged nothing for too long.
    """
    activity = limits.Activity(log)
    lines, changed = 0, time.monotonic()
    while server.poll() is None:
        if activity.count() != lines:
            lines, changed = activity.count(), time.monotonic()
        # the log shows that this node listens, and not another server
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
            # the broker begins with connection.start: a method frame (type
            # 1) of channel 0
            return link.recv(1) == b"\x01"
    except OSError:
        return False


def _silent(what: str, log: pathlib.Path) -> errors.VerifyError:
    tail = "".join(f"\n  {line}" for line in processes.read_tail(log))
    return errors.VerifyError(f"the message broker {what}{tail}")
