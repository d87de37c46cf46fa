# SPDX-License-Identifier: Apache-2.0
"""Runs our commands as a person does: each as a process of its own."""

import collections.abc
import contextlib
import dataclasses
import json
import os
import pathlib
import subprocess
import sys
import typing

from tests import base

#: The module behind each command.
MODULES = {
    "activate-trove-image": "trove_tools.cli.activate",
    "gate-jobs": "gate.command",
    "load-trove-image": "trove_tools.cli.load",
    "minicloud": "minicloud.command",
    "trove-devstack": "trove_tools.cli.devstack",
    "trove-image-builder": "trove_tools.cli.builder",
}
#: Where the modules are that are no part of the package.
TOOLS = base.ROOT / "tools" / "lib"
#: Seconds that a command has to clean up after itself.
_FAREWELL = 60.0


@dataclasses.dataclass(frozen=True)
class Outcome:
    """What a command did: its exit status, and what it printed."""

    status: int
    stdout: str
    stderr: str

    def json(self) -> typing.Any:
        """Return what ``--format json`` printed."""
        return json.loads(self.stdout)


def run(
    name: str,
    *args: str | os.PathLike[str],
    env: collections.abc.Mapping[str, str] | None = None,
    cwd: pathlib.Path | None = None,
    timeout: float = 300.0,
) -> Outcome:
    """Run one of our commands as a process of its own.

    :param name: the command, such as ``load-trove-image``.
    :param env: variables on top of the test's own.
    :param cwd: where to run it.
    """
    with subprocess.Popen(
        command_line(name, *args),
        env={**os.environ, "PYTHONPATH": str(base.ROOT), **(env or {})},
        cwd=cwd,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as child:
        try:
            stdout, stderr = child.communicate(timeout=timeout)
        except BaseException:
            # killed at once, a build would leave its mounts and processes
            child.terminate()
            with contextlib.suppress(subprocess.TimeoutExpired):
                child.communicate(timeout=_FAREWELL)
            child.kill()
            raise
    return Outcome(child.returncode, stdout, stderr)


def command_line(name: str, *args: str | os.PathLike[str]) -> list[str]:
    """Return the line that runs a command of ours with this Python."""
    module = MODULES[name]
    code = (
        f"import sys; sys.path.insert(1, {str(TOOLS)!r});"
        f" import {module} as command; sys.exit(command.main())"
    )
    return [sys.executable, "-c", code, *map(os.fspath, args)]
