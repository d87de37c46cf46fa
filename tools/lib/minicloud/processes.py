# SPDX-License-Identifier: Apache-2.0
"""Processes that outlive the command which started them.

One that is not the process which was remembered is never signalled.  Each
service is the leader of a session; what is left of a session whose leader
died counts as the service's when it also works in the service's directory.
"""

import collections.abc
import dataclasses
import json
import os
import pathlib
import signal
import time

from minicloud import layout as layouts
from trove_tools import errors
from trove_tools.host import liveness

_PROC = pathlib.Path("/proc")
_PAUSE = 0.05
_KILL_GRACE = 10.0


def session(process: liveness.Process, directory: pathlib.Path) -> list[int]:
    """Return the ids of what runs in the session that ``process`` led.

    :param directory: the working directory of all of them.
    """
    if process.boot != liveness.boot():
        return []
    leader = liveness.stat(process.pid)
    if leader is not None and leader.start != process.start:
        # an id is given away again only when its session is empty
        return []
    found = []
    for entry in _PROC.iterdir():
        if not entry.name.isdigit():
            continue
        stat = liveness.stat(int(entry.name))
        if (
            stat is not None
            and not stat.dead
            and stat.session == process.pid
            and stat.start >= process.start
            and _works_in(entry, directory)
        ):
            found.append(int(entry.name))
    return sorted(found)


def _works_in(entry: pathlib.Path, directory: pathlib.Path) -> bool:
    try:
        return os.path.samefile(entry / "cwd", directory)
    except OSError:
        return False


def end(
    ended: collections.abc.Sequence[liveness.Process],
    directory: pathlib.Path,
    grace: float = 10.0,
) -> None:
    """End processes and what they started, and wait until they are gone.

    :param directory: the working directory of all of them.
    :param grace: seconds they get to end by themselves.
    :raises TroveToolsError: not even SIGKILL ended them.
    """
    for process in ended:
        if liveness.alive(process):
            _signal(process.pid, signal.SIGTERM)
    deadline = time.monotonic() + grace
    while left := [pid for one in ended for pid in session(one, directory)]:
        leaderless = not any(liveness.alive(process) for process in ended)
        if leaderless or time.monotonic() > deadline:
            for pid in left:
                _signal(pid, signal.SIGKILL)
        if time.monotonic() > deadline + _KILL_GRACE:
            raise errors.TroveToolsError(
                f"processes that cannot be ended: {left}",
                hint="the kernel holds them; look at `dmesg`",
            )
        time.sleep(_PAUSE)


def _signal(pid: int, number: int) -> None:
    try:
        os.kill(pid, number)
    except ProcessLookupError:
        pass


def remember(path: pathlib.Path, process: liveness.Process) -> None:
    """Write a process down."""
    layouts.write_private(path, json.dumps(dataclasses.asdict(process)))


def recall(path: pathlib.Path) -> liveness.Process | None:
    """Return the process that was written down, if it can be read."""
    try:
        return liveness.Process(**json.loads(path.read_text()))
    except (OSError, ValueError, TypeError):
        return None
