# SPDX-License-Identifier: Apache-2.0
"""Several images at a time, each built by a process of its own.

Layers that they share are built once: who comes second waits for the cache.
A process of its own is interrupted, fails and cleans up like any build.
That goes for the end of the process that started it, too.
"""

import collections
import collections.abc
import concurrent.futures
import dataclasses
import os
import re
import threading

from trove_tools import console
from trove_tools import liveness
from trove_tools import process
from trove_tools.image import ramdisk

#: Memory that a build needs at its peak, GiB: root and disk are in a tmpfs.
MEMORY = 3

_STATE = re.compile(r"^\S.*: \[ *\d+ s\] (?P<state>.*)$")
_SHOWN_LINES = 40
# a build takes down what it has begun
_GRACE = 120.0


@dataclasses.dataclass(frozen=True)
class Job:
    """One image that is to be built.

    :param argv: returns the command line that builds it now.
    """

    name: str
    argv: collections.abc.Callable[[], collections.abc.Sequence[str]]


def default() -> int:
    """Return how many builds this host can run at a time."""
    room = ramdisk.memory() // (MEMORY * 1024**3)
    return int(max(1, min(os.cpu_count() or 1, room)))


class _Children:
    """The processes that run; none is started once they are to end."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._running: list[process.Child] = []
        self._ended = False

    def start(self, argv: collections.abc.Sequence[str]) -> process.Child:
        with self._lock:
            if self._ended:
                raise KeyboardInterrupt
            child = process.start(
                argv, pipe=True, env={liveness.LEADER: liveness.name()}
            )
            self._running.append(child)
            return child

    def end(self) -> None:
        with self._lock:
            self._ended = True
            for child in self._running:
                if child.poll() is None:
                    child.terminate()
            for child in self._running:
                process.stop(child, grace=_GRACE)


def run(
    jobs: collections.abc.Sequence[Job],
    limit: int,
    screen: console.Console,
) -> dict[str, str]:
    """Build all images.

    :param limit: how many at a time.
    :returns: by name, what was said by those that failed; an empty text for
        the others.
    """
    children = _Children()
    with screen.several() as begin:
        pool = concurrent.futures.ThreadPoolExecutor(limit)
        try:
            futures = {
                job.name: pool.submit(_run, job, children, begin(job.name))
                for job in jobs
            }
            return {
                name: future.result() for name, future in futures.items()
            }
        finally:
            pool.shutdown(wait=False, cancel_futures=True)
            children.end()
            pool.shutdown()


def _run(job: Job, children: _Children, progress: console.Progress) -> str:
    """Build one image; return what it said, if it failed."""
    child = children.start(job.argv())
    lines: collections.deque[str] = collections.deque(maxlen=_SHOWN_LINES)
    assert child.stdout is not None
    for raw in child.stdout:
        line = raw.decode(errors="replace").rstrip("\n")
        match = _STATE.match(line)
        if match:
            progress.state(match["state"])
        else:
            lines.append(line)
    if child.wait() == 0:
        progress.state("done")
        return ""
    progress.state("failed")
    begin = next(
        (n for n, line in enumerate(lines) if line.startswith("error: ")), 0
    )
    return "\n".join(list(lines)[begin:]).removeprefix("error: ")
