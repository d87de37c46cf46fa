# SPDX-License-Identifier: Apache-2.0
"""Runs a command in a process of its own that has its modules already.

A fork of the test is a process like any other: it has its own environment,
streams and exit status, and can be killed.  What it does not do is to
import everything anew, which is most of the time of a small command.
"""

import collections.abc
import contextlib
import dataclasses
import importlib
import os
import pathlib
import select
import signal
import sys
import tempfile
import time
import traceback
import typing

from tests import commands

#: What the commands import late: here it is imported once, and early.
_HEAVY = (
    "keystoneauth1.loading._plugins.identity.generic",
    "openstack.connection",
    "openstack.image.v2._proxy",
    "openstack.database.v1._proxy",
    "openstack.identity.v3._proxy",
    "tenacity",
    "trove_tools.cloud.load",
    "trove_tools.cloud.activation",
)


@dataclasses.dataclass
class Child:
    """A command that runs.

    :param pid: its process.
    """

    pid: int
    _streams: tuple[typing.BinaryIO, typing.BinaryIO]

    def wait(self, timeout: float) -> tuple[int, str, str]:
        """Wait for its end.

        :param timeout: seconds after which it is killed.
        :returns: the exit status (negative: the signal), stdout, stderr.
        """
        descriptor = os.pidfd_open(self.pid)
        try:
            ready, _, _ = select.select([descriptor], [], [], timeout)
            if not ready:
                os.kill(self.pid, signal.SIGKILL)
        finally:
            os.close(descriptor)
        _, status = os.waitpid(self.pid, 0)
        texts = []
        for stream in self._streams:
            stream.seek(0)
            texts.append(stream.read().decode(errors="replace"))
            stream.close()
        if not ready:
            raise TimeoutError(f"not ended in {timeout} s:\n{texts[1]}")
        return os.waitstatus_to_exitcode(status), texts[0], texts[1]


def start(
    name: str,
    args: collections.abc.Sequence[str | os.PathLike[str]],
    env: collections.abc.Mapping[str, str] | None = None,
    cwd: pathlib.Path | None = None,
    first: collections.abc.Callable[[], None] | None = None,
) -> Child:
    """Start a command.

    :param name: the command, such as ``load-trove-image``.
    :param env: variables on top of the test's own.
    :param cwd: where to run it.
    :param first: what its process does before the command.
    """
    command = commands.MODULES[name]
    module = importlib.import_module(command)
    for heavy in _HEAVY:
        with contextlib.suppress(ImportError):
            importlib.import_module(heavy)
    streams = (tempfile.TemporaryFile(), tempfile.TemporaryFile())
    # what is buffered here would be printed there, too
    sys.stdout.flush()
    sys.stderr.flush()
    pid = os.fork()
    if pid == 0:
        status = 70
        try:
            _become(streams, env, cwd)
            if first is not None:
                first()
            status = module.main([os.fspath(arg) for arg in args])
        except SystemExit as exc:
            status = exc.code if isinstance(exc.code, int) else 1
        except BaseException:
            traceback.print_exc()
        finally:
            with contextlib.suppress(Exception):
                sys.stdout.flush()
                sys.stderr.flush()
            os._exit(status)
    return Child(pid, typing.cast(typing.Any, streams))


def _become(
    streams: tuple[typing.Any, typing.Any],
    env: collections.abc.Mapping[str, str] | None,
    cwd: pathlib.Path | None,
) -> None:
    """Make this process look like one that was just started."""
    signal.alarm(0)
    for number in (signal.SIGALRM, signal.SIGTERM):
        signal.signal(number, signal.SIG_DFL)
    signal.signal(signal.SIGINT, signal.default_int_handler)
    nothing = os.open(os.devnull, os.O_RDONLY)
    for descriptor, target in (
        (nothing, 0), (streams[0].fileno(), 1), (streams[1].fileno(), 2),
    ):  # fmt: skip
        os.dup2(descriptor, target)
    sys.stdout = open(1, "w", closefd=False)
    sys.stderr = open(2, "w", buffering=1, closefd=False)
    os.environ.update(env or {})
    if cwd is not None:
        os.chdir(cwd)
    time.tzset()
