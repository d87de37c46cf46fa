# SPDX-License-Identifier: Apache-2.0
"""Checks whether a recorded process is still running.

A process id alone is not enough: after a crash or a reboot it may belong to
another process. So a process is recorded with its id, start time and boot id;
for other hosts, also with its pid namespace.
"""

import dataclasses
import os
import pathlib
import select
import signal
import threading

_PROC = pathlib.Path("/proc")

#: Names to a process, as :func:`name` does, the one that it ends with.
LEADER = "TROVE_TOOLS_LEADER"


@dataclasses.dataclass(frozen=True)
class Process:
    """One process of one boot of this machine.

    :param pid: its id.
    :param start: when it was started, in ticks since the boot.
    :param boot: the id of the boot.
    """

    pid: int
    start: int
    boot: str


@dataclasses.dataclass(frozen=True)
class Stat:
    """What the kernel says of a process."""

    dead: bool
    session: int
    start: int


def stat(pid: int) -> Stat | None:
    """Return what the kernel says of a process, if it knows it."""
    try:
        text = (_PROC / str(pid) / "stat").read_text(errors="replace")
    except OSError:
        return None
    # the program's name stands in parentheses and may hold anything
    fields = text.rpartition(")")[2].split()
    return Stat(fields[0] in "ZX", int(fields[3]), int(fields[19]))


def boot() -> str:
    """Return the id of this boot; empty where the system has none."""
    try:
        return (_PROC / "sys/kernel/random/boot_id").read_text().strip()
    except OSError:
        return ""


def identify(pid: int) -> Process | None:
    """Return the process that has this id now, if there is one."""
    found = stat(pid)
    return None if found is None else Process(pid, found.start, boot())


def alive(process: Process) -> bool:
    """Tell whether the process still runs."""
    found = stat(process.pid)
    return (
        found is not None
        and not found.dead
        and found.start == process.start
        and process.boot == boot()
    )


def _namespace() -> str:
    try:
        return os.readlink(_PROC / "self/ns/pid").strip("pid:[]")
    except OSError:
        return ""


def name() -> str:
    """Return a name of this process that no other has, on any host.

    It tells nothing of the host but the random id of its boot.
    """
    me = identify(os.getpid())
    start = me.start if me else 0
    return f"{boot()}/{_namespace()}/{os.getpid()}/{start}"


def known_dead(named: str) -> bool | None:
    """Tell whether the process of a :func:`name` has ended.

    :returns: nothing where that cannot be seen from here: it is another
        host's, or of another container's process ids.
    """
    try:
        of_boot, namespace, pid, start = named.split("/")
        process = Process(int(pid), int(start), of_boot)
    except ValueError:
        return None
    if not of_boot or (of_boot, namespace) != (boot(), _namespace()):
        return None
    return not alive(process)


def follow() -> None:
    """End when the process that :data:`LEADER` names has ended.

    A process whose parent was killed with SIGKILL hears nothing of it.  It
    gets a SIGTERM then, as if somebody had ended it alone; what it still
    prints goes nowhere, as nobody reads it.  Processes that it starts do
    not inherit this.
    """
    leader = os.environ.pop(LEADER, None)
    if leader is not None:
        threading.Thread(target=_follow, args=(leader,), daemon=True).start()


def _follow(leader: str) -> None:
    try:
        descriptor = os.pidfd_open(int(leader.split("/")[2]))
    except ProcessLookupError:
        pass
    else:
        # opened first: now the id can mean nobody else any more
        if known_dead(leader) is not True:
            poll = select.poll()
            poll.register(descriptor, select.POLLIN)
            poll.poll()
        os.close(descriptor)
    nowhere = os.open(os.devnull, os.O_WRONLY)
    for stream in (1, 2):
        os.dup2(nowhere, stream)
    main = threading.main_thread().ident
    assert main is not None
    signal.pthread_kill(main, signal.SIGTERM)
