# SPDX-License-Identifier: Apache-2.0
"""Checks configuration, restarts, crashes, load, volume and logs."""

import collections.abc
import concurrent.futures
import contextlib
import pathlib
import threading
import time

from trove_tools.verify import outcome
from trove_tools.verify import sql
from trove_tools.verify.life import backup
from trove_tools.verify.life import instance as _instance

#: By protocol: a parameter that a running server takes, and one that needs a
#: restart, each with a value that is no server's default.
PARAMETERS: dict[str, tuple[tuple[str, int], tuple[str, int]]] = {
    "mysql": (("max_connections", 77), ("innodb_open_files", 1234)),
    "postgresql": (("statement_timeout", 123456), ("max_connections", 77)),
}
#: The names of a server's process, as a pattern for pkill.
_PROCESSES = {"mysql": "mariadbd|mysqld", "postgresql": "postgres"}
#: The directory of the volume in the database's container.
_DATA = {"mysql": "/var/lib/mysql", "postgresql": "/var/lib/postgresql/data"}
#: The unit in which PostgreSQL shows a time.
_UNIT = "ms"
_GIB = 1 << 30
_CAP_SYS_RESOURCE = 24

# the table of the rows that are written under load, and the number of clients
_LOAD, _WRITERS = "life_load", 4
# seconds of writing before and after the restart, the backup and the crash
_CALM = 5.0
_PAUSE = 0.2


def configuration(instance: _instance.Instance) -> str:
    """Check that parameters take effect, and return to their defaults."""
    dynamic, static = PARAMETERS[instance.datastore.protocol]

    def value(name: str) -> str:
        found: str = sql.try_until_works(
            instance.machine,
            lambda: sql.read_setting(instance.account(), name),
            "no SQL after a change of the configuration",
        )
        return found.removesuffix(_UNIT)

    def values() -> tuple[str, str]:
        return value(dynamic[0]), value(static[0])

    before = values()
    attached = instance.call("attach_configuration", values=dict((dynamic,)))
    _require_values(values(), (str(dynamic[1]), before[1]), dynamic[0])
    if attached["restart"]:
        raise outcome.CheckError(
            f"Trove asks for a restart for {dynamic[0]}, which needs none"
        )
    _detach(instance)
    attached = instance.call(
        "attach_configuration", values=dict((dynamic, static))
    )
    if not attached["restart"]:
        raise outcome.CheckError(
            f"Trove asks for no restart for {static[0]}, which needs one"
        )
    instance.restart()
    _require_values(values(), (str(dynamic[1]), str(static[1])), "a restart")
    _detach(instance, restart=True)
    _require_values(values(), before, "the group was detached")
    return (
        f"{dynamic[0]} at once, {static[0]} after a restart; detached, the"
        " defaults again"
    )


def _detach(instance: _instance.Instance, restart: bool = False) -> None:
    if instance.call("detach_configuration")["restart"] or restart:
        instance.restart()


def _require_values(
    found: tuple[str, str], wanted: tuple[str, str], cause: str
) -> None:
    if found != wanted:
        raise outcome.CheckError(
            f"the server has {', '.join(found)} in place of"
            f" {', '.join(wanted)} after {cause}"
        )


def restart(instance: _instance.Instance) -> str:
    """Check that the data survives a stop, a start and a reboot."""
    word = instance.write_word()
    instance.call("stop")
    if _answers(instance):
        raise outcome.CheckError("the database answers after Trove stopped it")
    instance.restart()
    instance.require_word(word, "after stop and start")
    since = instance.updated()
    instance.call("reboot")
    instance.require_word(word, "after a reboot of the guest")
    instance.wait_healthy(since)
    return "stopped, started, guest rebooted; the data is there"


def crash(instance: _instance.Instance) -> str:
    """Check that data survives a killed server, and then a power cut."""
    word = instance.write_word()
    since = instance.updated()
    before = _started(instance)
    kill(instance)
    instance.wait_until(
        lambda: _started(instance) not in ("", before),
        "nothing starts the server again after it was killed",
    )
    instance.require_word(word, "after the server was killed")
    instance.wait_healthy(since)
    machine = instance.machine
    word = instance.write_word()
    machine.cut_power()
    machine.power_on()
    since = instance.updated()
    instance.require_word(word, "after a power cut")
    instance.wait_healthy(since, ask=False)
    return (
        "server killed, then power cut: what was committed is there, HEALTHY"
        " again"
    )


def kill(instance: _instance.Instance) -> None:
    """Kill the server's process directly, without Docker."""
    pattern = _PROCESSES[instance.datastore.protocol]
    instance.machine.run("pkill", "--signal", "KILL", "--exact", pattern)


def _started(instance: _instance.Instance) -> str:
    """Return the last start time of the database's container, or empty."""
    done = instance.machine.run(
        "docker", "inspect", "--format", "{{.State.StartedAt}}", "database"
    )
    return done.output.strip() if done.status == 0 else ""


def _answers(instance: _instance.Instance) -> bool:
    try:
        sql.read_version(instance.account())
    # the clients' errors have no other common base class
    except Exception:
        return False
    return True


@contextlib.contextmanager
def _writers(
    instance: _instance.Instance,
) -> collections.abc.Iterator[collections.abc.Callable[[], set[int]]]:
    """Insert rows in several connections while the context is open.

    A row is acknowledged when the server has confirmed the commit of its
    transaction to the client.

    :returns: a function that returns the numbers of the acknowledged rows.
    """
    end = threading.Event()
    acknowledged: list[list[int]] = [[] for _ in range(_WRITERS)]

    def write(writer: int) -> None:
        number = writer
        while not end.is_set():
            # after any error, connect again and insert the next row
            with (
                contextlib.suppress(Exception),
                sql.open_session(instance.account()) as execute,
            ):
                while not end.is_set():
                    number += _WRITERS
                    execute(f"INSERT INTO {_LOAD} VALUES ({number})")  # noqa: S608
                    acknowledged[writer].append(number)
            end.wait(_PAUSE)

    with concurrent.futures.ThreadPoolExecutor(_WRITERS) as pool:
        try:
            for writer in range(_WRITERS):
                pool.submit(write, writer)
            yield lambda: {row for rows in acknowledged for row in rows}
        finally:
            end.set()


def load(instance: _instance.Instance) -> str:
    """Write rows during a restart, a crash and, if possible, a backup."""
    sql.try_until_works(
        instance.machine,
        lambda: sql.execute(
            instance.account(), f"CREATE TABLE {_LOAD} (number INTEGER)"
        ),
        "no SQL before",
    )
    with _writers(instance) as list_acknowledged:
        time.sleep(_CALM)
        before = len(list_acknowledged())
        if not before:
            raise outcome.CheckError("no row was written in a quiet database")
        instance.restart()
        if instance.datastore.backup:
            backup.take(instance)
        kill(instance)
        sql.try_until_works(
            instance.machine,
            lambda: sql.read_version(instance.account()),
            "no SQL after a crash",
        )
        time.sleep(_CALM)
    rows = instance.read(f"SELECT number FROM {_LOAD}", "no SQL at the end")  # noqa: S608
    wanted = list_acknowledged()
    lost = wanted - {row[0] for row in rows}
    if lost:
        raise outcome.CheckError(
            f"{len(lost)} of {len(wanted)} acknowledged rows are lost"
        )
    if len(wanted) <= before:
        raise outcome.CheckError("no row was written after the restart")
    during = "a restart, a backup and a crash"
    if not instance.datastore.backup:
        during = "a restart and a crash (the image takes no backups)"
    return (
        f"{len(wanted)} rows acknowledged by {_WRITERS} writers during"
        f" {during}, none lost"
    )


def volume(instance: _instance.Instance) -> str:
    """Enlarge the volume, and check the size that the database sees."""
    directory = _DATA[instance.datastore.protocol]

    def size() -> float:
        done = instance.machine.run(
            "docker", "exec", "database", "stat", "--file-system",
            "--format=%b %S", directory,
        )  # fmt: skip
        if done.status != 0:
            raise outcome.CheckError(
                f"the container does not tell its size: {done.output}"
            )
        blocks, block = done.output.split()
        return int(blocks) * int(block) / _GIB

    word = instance.write_word()
    old = instance.plane.call("state", instance=instance.id)["size"]
    before = size()
    online = _may_resize()
    instance.call("resize_volume", size=old + 1, online=online)
    after = size()
    # the file system needs a part of the volume for itself
    if not 0.9 < after - before <= 1.0:
        raise outcome.CheckError(
            f"the database's file system has {after:.2f} GiB after the"
            f" volume grew from {old} to {old + 1} GiB; it had {before:.2f}"
        )
    told = instance.call("volume")["total"]
    if abs(told - after) > 0.2:
        raise outcome.CheckError(
            f"the agent says {told} GiB, and {after:.2f} there are"
        )
    instance.require_word(word, "after the volume grew")
    return f"{before:.1f} GiB before, {after:.1f} GiB after, " + (
        "without a stop"
        if online
        else "with the database stopped: this host's kernel lets nobody here"
        " enlarge a mounted file system"
    )


def _may_resize() -> bool:
    """Return whether the kernel lets a container enlarge a mounted ext4."""
    for line in pathlib.Path("/proc/self/status").read_text().splitlines():
        if line.startswith("CapEff:"):
            return bool(int(line.split()[1], 16) >> _CAP_SYS_RESOURCE & 1)
    return False


def logs(instance: _instance.Instance) -> str:
    """Check that logs are listed, and that Trove publishes them to Swift."""
    listed = instance.call("logs")["logs"]
    for name in ("general", "guest"):
        if name not in listed:
            raise outcome.CheckError(
                f"Trove lists no log {name!r}, but {', '.join(listed)}"
            )
    instance.call("log", log="general", enable=True)
    if instance.datastore.protocol == "postgresql":
        instance.restart()
    word = instance.write_word()
    instance.require_word(word, "with a log of all statements")
    sizes = {}
    for name in ("general", "guest"):
        told = instance.call("log", log=name, publish=True)
        objects = instance.swift.read(told["container"], told["prefix"])
        sizes[name] = len(b"".join(objects.values()))
        if not sizes[name]:
            raise outcome.CheckError(f"Swift has nothing of the log {name!r}")
        if name == "general" and word.encode() not in b"".join(
            objects.values()
        ):
            raise outcome.CheckError(
                "a statement is missing in the published log of statements"
            )
    instance.call("log", log="general", disable=True)
    if instance.datastore.protocol == "postgresql":
        instance.restart()
    return (
        f"{', '.join(sorted(listed))} listed; statements and the agent's own"
        " log published to Swift"
    )
