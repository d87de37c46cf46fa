# SPDX-License-Identifier: Apache-2.0
"""Processes that live no longer than the verify that started them.

Each is ended by its id when its context is left, and by the kernel should
the verify itself be killed.
"""

import collections.abc
import contextlib
import pathlib
import signal
import socket
import typing

from trove_tools.host import process

#: Ends with its parent; part of util-linux.
PARENT = "setpriv"

_LOG_LINES = 15


def tie_to_parent(
    argv: collections.abc.Sequence[process.Argument],
) -> list[process.Argument]:
    """Return the command line of a program that ends with its parent."""
    return [PARENT, "--pdeathsig", "KILL", "--", *argv]


@contextlib.contextmanager
def run_child(
    argv: collections.abc.Sequence[process.Argument],
    log: pathlib.Path,
    *,
    env: collections.abc.Mapping[str, str] | None = None,
    cwd: pathlib.Path | None = None,
    pass_fds: collections.abc.Sequence[int] = (),
    sign: int = signal.SIGTERM,
) -> collections.abc.Iterator[process.Child]:
    """Run a program beside what is done in this context.

    :param log: takes all that it prints.
    :param sign: the signal that ends it.
    """
    started = process.start(
        tie_to_parent(argv), env=env, cwd=cwd, log=log, pass_fds=pass_fds
    )
    try:
        yield started
    finally:
        process.stop(started, grace=5.0, sign=sign)


def read_tail(log: pathlib.Path, lines: int = _LOG_LINES) -> list[str]:
    """Return the last lines of a log; none when there is no log."""
    try:
        text = log.read_text(errors="replace")
    except OSError:
        return []
    return [line for line in text.splitlines() if line.strip()][-lines:]


def is_free(port: int) -> bool:
    """Tell whether a TCP port of loopback could be listened at now."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
        return True


def find_free_port() -> int:
    """Return a TCP port of loopback that nobody uses now.

    Not of the range from which the kernel takes ports for connections
    that go out: one of those could take it before it is used.
    """
    for number in _candidates():
        if is_free(number):
            return number
    raise OSError("no free port on 127.0.0.1")


def _candidates() -> collections.abc.Iterator[int]:
    import random

    chosen: typing.Any = random.SystemRandom()
    for _ in range(200):
        yield chosen.randrange(10000, 32768)
