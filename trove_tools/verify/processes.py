# SPDX-License-Identifier: Apache-2.0
"""Runs processes that end together with verify.

A process is ended by its id at the end of its context, and by the kernel if
verify itself is killed.
"""

import collections.abc
import contextlib
import pathlib
import secrets
import signal
import socket

from trove_tools.host import process

#: Makes a program end with its parent; part of util-linux.
PARENT = "setpriv"

_LOG_LINES = 15


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
    """Run a program while the context is open.

    :param log: the file for all output of the program.
    :param sign: the signal that ends the program.
    """
    started = process.start(
        [PARENT, "--pdeathsig", "KILL", "--", *argv],
        env=env, cwd=cwd, log=log, pass_fds=pass_fds,
    )  # fmt: skip
    try:
        yield started
    finally:
        process.stop(started, grace=5.0, sign=sign)


def read_tail(log: pathlib.Path, lines: int = _LOG_LINES) -> list[str]:
    """Return the last lines of a log; none if it cannot be read."""
    try:
        text = log.read_text(errors="replace")
    except OSError:
        return []
    return [line for line in text.splitlines() if line.strip()][-lines:]


def is_free(port: int) -> bool:
    """Return whether a TCP port on loopback is free now."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
        return True


def find_free_port() -> int:
    """Return a TCP port on loopback that is free now.

    The port is not in the kernel's range for outgoing connections, because
    one of them could take it before the caller uses it.
    """
    for _ in range(200):
        number = 10000 + secrets.randbelow(22768)
        if is_free(number):
            return number
    raise OSError("no free port on 127.0.0.1")
