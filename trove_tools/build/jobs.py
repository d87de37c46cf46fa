# SPDX-License-Identifier: Apache-2.0
"""Builds several images at a time, each in a separate child process.

The parent writes a :class:`Job`'s data to the child's standard input as JSON.
The child writes events to its standard output, one JSON object per line (see
:class:`EventConsole`).  All other lines are output of a library, or a
traceback.

A layer that images share is built once: the second process waits for the
layer's lock in the cache.  A child handles interrupts, failures and clean-up
like any other build; it also ends when the parent ends for any reason.
"""

import collections
import collections.abc
import concurrent.futures
import contextlib
import dataclasses
import json
import os
import sys
import threading
import typing

from trove_tools import console
from trove_tools import errors
from trove_tools.host import liveness
from trove_tools.host import process

#: Peak memory of a build, in GiB: the root and the disk are in a tmpfs.
MEMORY = 3

_EVENT = "event"
_SHOWN_LINES = 40
# seconds for a child to clean up before it is killed
_GRACE = 120.0


@dataclasses.dataclass(frozen=True)
class Job:
    """One image that a child process builds.

    :param name: the image's name.
    :param data: returns the child's instructions as plain data; called when
        the child is started.
    :param argv: the child's command line.
    """

    name: str
    data: collections.abc.Callable[[], typing.Any]
    argv: collections.abc.Sequence[str]


@dataclasses.dataclass
class Outcome:
    """The outcome of a child process.

    :param result: the result of the build as plain data; None if it failed.
    :param error: the error of the build; None if it succeeded.
    :param warnings: the warnings of the build.
    :param text: the last lines of the output that are not events.
    """

    result: dict[str, typing.Any] | None = None
    error: errors.BuildError | None = None
    warnings: list[str] = dataclasses.field(default_factory=list)
    text: str = ""


class EventConsole(console.Console):
    """A console that writes events for the parent process.

    An event is a line with a JSON object; its ``event`` is ``say``,
    ``warning``, ``state`` (all with ``text``), ``error`` (``message`` and
    ``hint``) or ``result`` (``data``). Events are written to stdout.
    """

    def __init__(self) -> None:
        super().__init__(stream=sys.stdout)

    def say(self, text: str) -> None:
        self._send("say", text=text)

    def warn(self, text: str) -> None:
        self._send("warning", text=text)

    def error(self, error: errors.TroveToolsError) -> None:
        self._send("error", message=error.message, hint=error.hint)

    def result(self, data: dict[str, typing.Any]) -> None:
        """Report the result of the build."""
        self._send("result", data=data)

    @contextlib.contextmanager
    def progress(
        self, title: str, total: int | None = None, unit: str = ""
    ) -> collections.abc.Iterator[console.Progress]:
        yield _EventProgress(self._send)

    def _send(self, event: str, **fields: typing.Any) -> None:
        self._line(json.dumps({_EVENT: event, **fields}))


class _EventProgress(console.Progress):
    def __init__(self, send: collections.abc.Callable[..., None]) -> None:
        self._send = send

    def state(self, text: str) -> None:
        self._send("state", text=text)


def default() -> int:
    """Return how many builds this host can run at a time."""
    room = process.measure_free_memory() // (MEMORY * 1024**3)
    return int(max(1, min(os.cpu_count() or 1, room)))


class _Children:
    """The running child processes; after ``end``, no child is started."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._running: list[process.Child] = []
        self._ended = False

    def start(
        self, argv: collections.abc.Sequence[str], data: typing.Any = None
    ) -> process.Child:
        with self._lock:
            if self._ended:
                raise KeyboardInterrupt
            child = process.start(
                argv,
                pipe=True,
                env={liveness.LEADER: liveness.name()},
                input=json.dumps(data),
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
) -> dict[str, Outcome]:
    """Build all images.

    :param limit: the number of builds that run at a time.
    :returns: the outcomes by the image's name.
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


def _run(
    job: Job, children: _Children, progress: console.Progress
) -> Outcome:
    """Build one image."""
    child = children.start(job.argv, job.data())
    outcome = Outcome()
    lines: collections.deque[str] = collections.deque(maxlen=_SHOWN_LINES)
    assert child.stdout is not None
    for raw in child.stdout:
        line = raw.decode(errors="replace").rstrip("\n")
        event = _read_event(line)
        match event.get(_EVENT):
            case None:
                lines.append(line)
            case "state":
                progress.state(event["text"])
            case "warning":
                outcome.warnings.append(event["text"])
            case "error":
                outcome.error = errors.BuildError(
                    event["message"], event["hint"]
                )
            case "result":
                outcome.result = event["data"]
    outcome.text = "\n".join(lines)
    status = child.wait()
    if outcome.result is None or status:
        outcome.result = None
        outcome.error = outcome.error or errors.BuildError(
            process.make_failure(job.argv, status, outcome.text).message
        )
    progress.state("failed" if outcome.error else "done")
    return outcome


def _read_event(line: str) -> dict[str, typing.Any]:
    """Return the event in a line; empty if the line is other text."""
    try:
        event = json.loads(line)
    except ValueError:
        return {}
    if not isinstance(event, dict) or _EVENT not in event:
        return {}
    return event
