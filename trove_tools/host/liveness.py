# SPDX-License-Identifier: Apache-2.0
"""Checks whether a recorded process is still running.

A process id alone is not enough: after a crash or a reboot, it may belong to
another process.  So a record has the process id, the start time and the boot
id; a name that other hosts read also has the pid namespace.
"""

import dataclasses
import os
import pathlib
import select
import signal
import threading

_PROC = pathlib.Path("/proc")

#: Variable with the leader of a process, in the format of :func:`name`; the
#: process ends when its leader ends.
LEADER = "TROVE_TOOLS_LEADER"


@dataclasses.dataclass(frozen=True)
class Process:
    """A process of one boot of this host.

    :param pid: the process id.
    :param start: the start time, in clock ticks since the boot.
    :param boot: the boot id.
    """

    pid: int
    start: int
    boot: str


@dataclasses.dataclass(frozen=True)
class Stat:
    """Fields of ``/proc/PID/stat``."""

    dead: bool
    session: int
    start: int


def stat(pid: int) -> Stat | None:
    """Return fields of ``/proc/PID/stat``; None if there is no process."""
    try:
        text = (_PROC / str(pid) / "stat").read_text(errors="replace")
    except OSError:
        return None
    # the program's name is in parentheses and may contain any characters
    fields = text.rpartition(")")[2].split()
    return Stat(fields[0] in "ZX", int(fields[3]), int(fields[19]))


def boot() -> str:
    """Return the boot id; empty if the system has none."""
    try:
        return (_PROC / "sys/kernel/random/boot_id").read_text().strip()
    except OSError:
        return ""


def identify(pid: int) -> Process | None:
    """Return the process that has an id now; None if there is none."""
    fields = stat(pid)
    return None if fields is None else Process(pid, fields.start, boot())


def alive(process: Process) -> bool:
    """Return whether a process is still running."""
    fields = stat(process.pid)
    return (
        fields is not None
        and not fields.dead
        and fields.start == process.start
        and process.boot == boot()
    )


def _namespace() -> str:
    try:
        return os.readlink(_PROC / "self/ns/pid").strip("pid:[]")
    except OSError:
        return ""


def name() -> str:
    """Return a name of this process that is unique on all hosts.

    The only data about the host in the name is the random boot id.
    """
    me = identify(os.getpid())
    start = me.start if me else 0
    return f"{boot()}/{_namespace()}/{os.getpid()}/{start}"


def known_dead(named: str) -> bool | None:
    """Return whether the process that :func:`name` named has ended.

    :returns: None if this process cannot see it, because it runs on another
        host or in another pid namespace.
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
    """End this process when the process that :data:`LEADER` names has ended.

    The kernel does not notify a process whose parent was killed with SIGKILL.
    A thread waits for the end of the leader, redirects the output to
    /dev/null, since the reader has ended, and sends SIGTERM to this process.
    Child processes do not inherit this.
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
        # the check comes after pidfd_open(): an id that was reused in
        # between is detected
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
