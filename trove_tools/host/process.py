# SPDX-License-Identifier: Apache-2.0
"""Runs other programs; the only module that does so.

No other module of the package imports :mod:`subprocess`.  A command is always
a list of arguments, standard input is empty unless given, and a failure is
raised once, as an error that shows the command line in a form that can be
pasted into a shell.
"""

import collections.abc
import os
import pathlib
import shlex
import shutil
import signal
import subprocess
import tempfile
import typing

from trove_tools import errors
from trove_tools.host import hosttools

Argument = str | os.PathLike[str]
Child = subprocess.Popen[bytes]

_NOT_FOUND = 127
_SYSTEM_PLACES = ("/usr/local/sbin", "/usr/sbin", "/sbin")
_TAIL_LINES = 15


class Completed(typing.NamedTuple):
    """A child process that has ended."""

    status: int
    stdout: str
    stderr: str


def show(argv: collections.abc.Iterable[Argument]) -> str:
    """Return the command line as a user would type it."""
    return shlex.join(os.fspath(arg) for arg in argv)


def as_root(
    argv: collections.abc.Sequence[Argument],
) -> list[Argument]:
    """Return the command line that runs ``argv`` with root's rights.

    ``sudo -n`` fails instead of prompting: a progress bar would hide the
    prompt for a password, and the command would wait forever.
    """
    if os.geteuid() == 0:
        return list(argv)
    return ["sudo", "-n", *argv]


def require(*tools: str) -> None:
    """Check that programs are installed.

    :raises MissingToolError: lists all missing programs, with their packages.
    """
    missing = [tool for tool in tools if find(tool) is None]
    if missing:
        raise hosttools.missing_error(missing)


def find(tool: str) -> str | None:
    """Return the path of a program, or None if it is not on this host."""
    return shutil.which(tool, path=_search_path())


def _search_path() -> str:
    """Return PATH with the directories of system programs added.

    An ordinary user's PATH in Debian does not have these directories.  They
    hold many programs that run through sudo, and some that need no root.
    """
    directories = os.environ.get("PATH", os.defpath).split(os.pathsep)
    return os.pathsep.join(dict.fromkeys([*directories, *_SYSTEM_PLACES]))


def make_environment(
    extra: collections.abc.Mapping[str, str] | None = None,
    without: collections.abc.Iterable[str] = (),
) -> dict[str, str]:
    """Return the environment of a child process.

    The locale is fixed, because code parses the programs' messages.

    :param extra: variables that are added to this process's environment.
    :param without: variables of this process that the child does not get.
    """
    hidden = set(without)
    ours = {
        name: value
        for name, value in os.environ.items()
        if name not in hidden
    }
    return {
        **ours,
        "PATH": _search_path(),
        "LC_ALL": "C.UTF-8",
        **(extra or {}),
    }


def run(
    argv: collections.abc.Sequence[Argument],
    *,
    env: collections.abc.Mapping[str, str] | None = None,
    cwd: Argument | None = None,
    input: str | None = None,
    timeout: float | None = None,
    check: bool = True,
) -> Completed:
    """Run a program to its end and return its status and output.

    :param argv: the program and its arguments; no shell is involved.
    :param env: variables that are added to this process's environment.
    :param cwd: the program's working directory.
    :param input: text for its standard input; empty when not given.
    :param timeout: seconds after which the program is killed.
    :param check: raise an error if the exit status is not 0.
    :raises MissingToolError: there is no such program.
    :raises CommandError: the program failed, or took too long.
    """
    try:
        done = subprocess.run(
            [os.fspath(arg) for arg in argv],
            env=make_environment(env),
            cwd=cwd,
            input=input or "",
            timeout=timeout,
            capture_output=True,
            encoding="utf-8",
            errors="replace",
        )
    except FileNotFoundError as exc:
        if cwd is not None and not os.path.isdir(cwd):
            raise
        raise hosttools.missing_error([os.fspath(argv[0])]) from exc
    except subprocess.TimeoutExpired as exc:
        raise errors.CommandError(
            f"`{show(argv)}` did not end within {timeout:.0f} s",
            status=-signal.SIGKILL,
        ) from exc
    if check and done.returncode != 0:
        raise make_failure(argv, done.returncode, done.stderr or done.stdout)
    return Completed(done.returncode, done.stdout, done.stderr)


def make_failure(
    argv: collections.abc.Sequence[Argument], status: int, output: str
) -> errors.CommandError:
    """Return the error for a program that ended with ``status``."""
    if status < 0:
        how = f"was killed by {signal.Signals(-status).name}"
    elif status == _NOT_FOUND:
        how = "did not find a program it needs (exit status 127)"
    else:
        how = f"ended with status {status}"
    lines = output.strip().splitlines()[-_TAIL_LINES:]
    tail = "".join(f"\n  {line}" for line in lines)
    return errors.CommandError(
        f"`{show(argv)}` {how}{tail}", status=status, output=output
    )


def start(
    argv: collections.abc.Sequence[Argument],
    *,
    env: collections.abc.Mapping[str, str] | None = None,
    without: collections.abc.Iterable[str] = (),
    cwd: Argument | None = None,
    log: pathlib.Path | None = None,
    pipe: bool = False,
    pass_fds: collections.abc.Sequence[int] = (),
    input: str = "",
) -> Child:
    """Start a program in a new session and return at once.

    A Ctrl-C at the terminal does not reach a program in another session:
    the caller ends it with :func:`stop`.

    :param env: variables that are added to this process's environment.
    :param without: variables of this process that the program does not get.
    :param log: file to which the program's output is appended.
    :param pipe: provide the output as ``child.stdout`` instead.
    :param pass_fds: file descriptors that the program inherits.
    :param input: text for its standard input.
    :raises MissingToolError: there is no such program.
    """
    output: typing.Any = subprocess.PIPE if pipe else subprocess.DEVNULL
    if log is not None:
        output = open(log, "ab")
    # an unnamed file: writing to a pipe would wait until the program reads
    source: typing.Any = tempfile.TemporaryFile() if input else None
    if source is not None:
        source.write(input.encode())
        source.seek(0)
    try:
        return subprocess.Popen(
            [os.fspath(arg) for arg in argv],
            env=make_environment(env, without),
            cwd=cwd,
            stdin=source or subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
            pass_fds=pass_fds,
        )
    except FileNotFoundError as exc:
        raise hosttools.missing_error([os.fspath(argv[0])]) from exc
    finally:
        if source is not None:
            source.close()
        if log is not None:
            output.close()


def stop(
    child: Child, *, grace: float = 10.0, sign: int = signal.SIGTERM
) -> int:
    """End a program that :func:`start` started, and its process group.

    :param grace: seconds after which the process group is killed.
    :param sign: the signal that is sent first.
    :returns: the program's exit status.
    """
    if child.poll() is None:
        _signal_group(child, sign)
        try:
            child.wait(grace)
        except subprocess.TimeoutExpired:
            _signal_group(child, signal.SIGKILL)
    return child.wait()


def _signal_group(child: Child, sign: int) -> None:
    # because of start_new_session, the child's id is its process group's id
    try:
        os.killpg(child.pid, sign)
    except ProcessLookupError:
        pass


def measure_load() -> float:
    """Return the load average divided by the number of processors."""
    return os.getloadavg()[0] / (os.cpu_count() or 1)


def measure_free_memory() -> int:
    """Return the memory that is available without swapping, in bytes."""
    for line in pathlib.Path("/proc/meminfo").read_text().splitlines():
        if line.startswith("MemAvailable:"):
            return int(line.split()[1]) * 1024
    return 0


def scale_timeout(seconds: float) -> float:
    """Return a timeout in seconds, scaled with the load of this host.

    :param seconds: the timeout on an idle host.
    """
    return seconds * max(measure_load(), 1.0)
