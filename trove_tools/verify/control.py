# SPDX-License-Identifier: Apache-2.0
"""Runs the part of Trove's control plane that a guest depends on.

This part is a broker, a conductor with its database, and a driver that does
the work of the task manager.  Nova, Keystone, Neutron and Cinder are not
needed: verify provides what a guest would get from them.
"""

import collections.abc
import concurrent.futures
import contextlib
import dataclasses
import json
import pathlib
import secrets
import select
import socket
import time
import typing

from trove_tools import errors
from trove_tools.host import bounds
from trove_tools.host import process
from trove_tools.verify import broker
from trove_tools.verify import guest_configuration
from trove_tools.verify import limits
from trove_tools.verify import processes

DRIVER = pathlib.Path(__file__).with_name("driver.py")
_CONDUCTOR = DRIVER.with_name("conductor.py")

# timeout in seconds, on a quiet host, of requests to Trove's own code that do
# not involve a guest; the first import of Trove takes longest
_START = 180.0
_PAUSE = 0.5
# seconds between two reads of the database's status
_POLL = 1.0

# seconds between two polls of the agent; Trove's default is three, and the
# start of a database takes five polls
_GUEST_POLL = 1
Sections = guest_configuration.Sections
Deployment = guest_configuration.Deployment
#: Does what a cloud would do for a request: takes the request's name and
#: arguments, and returns the answer.
Cloud = collections.abc.Callable[
    [str, dict[str, typing.Any]], dict[str, typing.Any]
]


@dataclasses.dataclass(frozen=True)
class Place:
    """The settings with which a guest's agent uses the control plane.

    :param address: the broker's address, as seen from the guest.
    :param patience: seconds that the agent waits for a database to start;
        longer than verify waits, because only verify measures the speed of
        the guest.
    :param journal: whether the guest has a journal for the agent's log.
    """

    address: str
    port: int
    patience: int = limits.MOST
    journal: bool = False


class Control:
    """A running control plane; :func:`start_control_plane` starts it.

    :param broker: its message broker.
    :param parallel: the same control plane for another thread; None unless
        there are two links to the driver.
    """

    def __init__(
        self,
        node: broker.Broker,
        link: socket.socket,
        driver: process.Child,
        directory: pathlib.Path,
    ) -> None:
        self.broker = node
        self.parallel: Control | None = None
        self._link = link
        self._answer = b""
        self._driver = driver
        self._directory = directory

    def greet(self) -> None:
        """Wait until the driver has loaded Trove.

        :raises VerifyError: the driver cannot load Trove.
        """
        self._hear("start")

    def call(
        self,
        name: str,
        between: collections.abc.Callable[[], None] | None = None,
        cloud: Cloud | None = None,
        /,
        **arguments: typing.Any,
    ) -> dict[str, typing.Any]:
        """Send a request to the driver and return the answer.

        :param cloud: handles the requests of Trove's code to Nova, Cinder
            and Neutron in the meantime.
        :param between: called regularly if the request involves the guest.
            It may raise an exception to give up; then this object must not
            be used again.  Without it, a timeout applies that depends on the
            load of this host.
        :raises VerifyError: the request failed, or the driver has ended.
        """
        request = json.dumps({"do": name, **arguments}) + "\n"
        try:
            self._link.sendall(request.encode())
        except OSError as exc:
            raise self._lost(name) from exc
        return self._hear(name, between, cloud)

    def _hear(
        self,
        name: str,
        between: collections.abc.Callable[[], None] | None = None,
        cloud: Cloud | None = None,
    ) -> dict[str, typing.Any]:
        while True:
            answer = self._read(name, between)
            if "cloud" not in answer or cloud is None:
                break
            given = cloud(answer.pop("cloud"), answer)
            self._link.sendall((json.dumps(given) + "\n").encode())
        if "error" in answer:
            raise FailedError(answer["error"])
        return answer

    def _read(
        self,
        name: str,
        between: collections.abc.Callable[[], None] | None,
    ) -> dict[str, typing.Any]:
        begin = time.monotonic()
        while b"\n" not in self._answer:
            if select.select([self._link], [], [], _PAUSE)[0]:
                try:
                    block = self._link.recv(65536)
                except OSError as exc:
                    raise self._lost(name) from exc
                if not block:
                    raise self._lost(name)
                self._answer += block
            elif between is not None:
                between()
            elif time.monotonic() - begin > process.scale_timeout(_START):
                raise errors.VerifyError(
                    f"Trove's own code did not answer `{name}` in"
                    f" {time.monotonic() - begin:.0f} s"
                )
        line, _, self._answer = self._answer.partition(b"\n")
        answer: dict[str, typing.Any] = json.loads(line)
        return answer

    def _lost(self, name: str) -> errors.VerifyError:
        tail = processes.read_tail(self._directory / "driver.log")
        return errors.VerifyError(
            f"Trove's own code broke at `{name}`"
            + "".join(f"\n  {line}" for line in tail)
        )

    def close(self) -> None:
        """Close the connection to the driver."""
        self._link.close()


class FailedError(errors.VerifyError):
    """Trove's own code raised an exception."""


@contextlib.contextmanager
def start_control_plane(
    directory: pathlib.Path,
    venv: pathlib.Path,
    access: Place,
    managers: Sections,
    *,
    deployment: Deployment = Deployment(),  # noqa: B008 (frozen)
    port: int | None = None,
    driver: pathlib.Path = DRIVER,
    further: Sections | None = None,
    links: int = 1,
) -> collections.abc.Iterator[Control]:
    """Run a control plane while the context is open.

    :param directory: directory for its files; other users must not be able
        to read it.
    :param venv: the environment in which Trove is installed.
    :param managers: the options for each datastore manager in the guests'
        configuration; the operator's options override them.
    :param deployment: what an operator's control plane would inject.
    :param port: the broker's port; by default a free one.
    :param driver: the program that runs Trove's code.
    :param further: further options of the control plane, by section.
    :param links: number of connections to the driver, 1 or 2.
    :raises MissingToolError: RabbitMQ is not installed.
    :raises VerifyError: a part of the control plane does not start.
    """
    settings = directory / "trove.conf"
    with contextlib.ExitStack() as stack:
        with concurrent.futures.ThreadPoolExecutor(1) as pool:
            # the tables do not need the broker, which starts slowly
            _write(settings, _plane(directory, access))
            tables = pool.submit(_make_tables, venv, settings, directory)
            node = stack.enter_context(broker.start_broker(directory, port))
            tables.result()
        guest = _guest(
            node.url(access.address, access.port), access, managers, deployment
        )
        _write(directory / "guest.conf", guest)
        sections = _plane(directory, access)
        for name, values in guest_configuration.configure_control_plane(
            guest
        ).items():
            sections[name] = {**sections.get(name, {}), **values}
        for name, values in (further or {}).items():
            sections[name] = {**sections.get(name, {}), **values}
        sections["DEFAULT"]["transport_url"] = node.url()
        _write(settings, sections)
        _write_user_data(directory, managers, deployment)
        stack.enter_context(
            processes.run_child(
                [
                    venv / "bin/python", "-I", _CONDUCTOR,
                    "--config-file", settings,
                ],
                directory / "conductor.log",
                cwd=directory,
            )
        )  # fmt: skip
        running = stack.enter_context(
            _driver(directory, venv, settings, node, driver, links)
        )
        yield running


@contextlib.contextmanager
def _driver(
    directory: pathlib.Path,
    venv: pathlib.Path,
    settings: pathlib.Path,
    node: broker.Broker,
    driver: pathlib.Path,
    links: int,
) -> collections.abc.Iterator[Control]:
    with contextlib.ExitStack() as stack:
        ours, theirs = zip(
            *(socket.socketpair() for _ in range(links)), strict=True
        )
        numbers = [link.fileno() for link in theirs]
        child = stack.enter_context(
            processes.run_child(
                [
                    venv / "bin/python", "-I", driver,
                    ",".join(map(str, numbers)), settings,
                ],
                directory / "driver.log",
                cwd=directory,
                pass_fds=numbers,
            )
        )  # fmt: skip
        # while this process has these ends open, it cannot notice that the
        # driver has ended
        for link in theirs:
            link.close()
        planes = [Control(node, link, child, directory) for link in ours]
        for plane in planes:
            stack.callback(plane.close)
            plane.greet()
        planes[0].parallel = planes[1] if links > 1 else None
        yield planes[0]


def _make_tables(
    venv: pathlib.Path, settings: pathlib.Path, directory: pathlib.Path
) -> None:
    import sqlite3

    process.run(
        [venv / "bin/trove-manage", "--config-file", settings, "db_sync"],
        cwd=directory,
        timeout=process.scale_timeout(_START),
    )
    # Trove leaves read transactions open; with SQLite's default journal they
    # would block the conductor's writes
    with contextlib.closing(
        sqlite3.connect(directory / "trove.sqlite")
    ) as database:
        database.execute("PRAGMA journal_mode=WAL")


def _plane(directory: pathlib.Path, access: Place) -> Sections:
    return {
        "DEFAULT": {
            "control_exchange": "trove",
            "trove_conductor_workers": 1,
            # no files of a Trove that is installed on this host
            "guest_config": directory / "guest.conf",
            "cloudinit_location": directory / "cloudinit",
            "template_path": directory / "templates",
            "taskmanager_rpc_encr_key": secrets.token_hex(16),
            "inst_rpc_key_encr_key": secrets.token_hex(16),
            "agent_call_high_timeout": access.patience + 60,
            "usage_sleep_time": 1,
            "use_stderr": True,
        },
        "database": {
            "connection": f"sqlite:///{directory / 'trove.sqlite'}",
            "sqlite_synchronous": False,
        },
        "oslo_concurrency": {"lock_path": directory / "locks"},
        "oslo_messaging_notifications": {"driver": "noop"},
    }


def _guest(
    url: str, access: Place, managers: Sections, deployment: Deployment
) -> Sections:
    """Return the content of the guests' configuration file.

    It is the operator's file, or else the minimum that works, with the
    options that verify needs.
    """
    sections: Sections = {
        "DEFAULT": {
            "transport_url": url,
            "control_exchange": "trove",
            "log_dir": "/var/log/trove",
            "log_file": "trove-guestagent.log",
            "state_change_poll_time": _GUEST_POLL,
        },
        "oslo_messaging_notifications": {"driver": "noop"},
    }
    if deployment.configuration is not None:
        sections = guest_configuration.configure_guest(
            deployment.configuration, url
        )
    common = sections["DEFAULT"]
    for name in ("state_change_wait_time", "command_process_timeout"):
        # an operator's timeouts are meant for guests with their own processor
        given = str(common.get(name, ""))
        common[name] = max(access.patience, bounds.parse_number(given))
    # verify receives the journal even if the guest answers nothing
    common["use_stderr"] = access.journal
    device = {"device_path": deployment.device} if deployment.device else {}
    for name, values in managers.items():
        sections[name] = {**values, **device, **sections.get(name, {})}
    return sections


def _write_user_data(
    directory: pathlib.Path,
    managers: collections.abc.Iterable[str],
    deployment: Deployment,
) -> None:
    """Write the operator's user data to the file of each manager."""
    if not deployment.user_data:
        return
    target = directory / "cloudinit"
    target.mkdir(mode=0o700)
    for name in managers:
        (target / f"{name}.cloudinit").write_text(deployment.user_data)


def _write(file: pathlib.Path, sections: Sections) -> None:
    lines = []
    for name, options in sections.items():
        lines.append(f"[{name}]")
        for key, value in options.items():
            values = value if isinstance(value, list) else [value]
            lines += [f"{key} = {item}" for item in values]
    file.touch(mode=0o600)
    file.write_text("\n".join(lines) + "\n")


def wait_healthy(
    plane: Control, between: collections.abc.Callable[[str], None]
) -> str:
    """Wait until the conductor has a final status of the database.

    :param between: called with each status that is not final; may raise an
        exception to give up.
    :returns: the final status.
    """
    while True:
        status = str(plane.call("status")["status"])
        if status in _LAST:
            return status
        between(status)
        time.sleep(_POLL)


_LAST = ("healthy", "failed to spawn", "failed", "crashed")
