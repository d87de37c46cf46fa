# SPDX-License-Identifier: Apache-2.0
"""Makes and removes the control groups of a guest in systemd-nspawn.

The kernel does not remove them when verify is killed.
"""

import collections.abc
import contextlib
import os
import pathlib
import signal
import time

#: The prefix of their names; the id of verify's process follows it.
PREFIX = "trove-verify-"

_ROOT = pathlib.Path("/sys/fs/cgroup")
# maximum seconds until the kernel has ended killed processes
_END = 20.0
_PAUSE = 0.1


def make(name: str) -> list[pathlib.Path]:
    """Make a control group in each hierarchy that systemd uses."""
    tops = [
        top
        for top in (_ROOT, _ROOT / "unified", _ROOT / "systemd")
        if (top / "cgroup.procs").exists()
    ]
    for top in tops:
        (top / name).mkdir()
    return [top / name for top in tops]


def remove(groups: collections.abc.Iterable[pathlib.Path]) -> None:
    """Remove control groups, and wait for processes in them to end."""
    deadline = time.monotonic() + _END
    for group in groups:
        while group.is_dir():
            try:
                for directory, _, _ in os.walk(group, topdown=False):
                    os.rmdir(directory)
            except OSError:
                if time.monotonic() > deadline:
                    break
                time.sleep(_PAUSE)


def remove_left() -> list[pathlib.Path]:
    """Remove the control groups of killed verify processes.

    Processes in such a group are killed: the guest's processes may outlive
    verify for some seconds, and no other verify uses the group.

    :returns: the control groups that were removed.
    """
    left = [
        group
        for pattern in (f"{PREFIX}*", f"*/{PREFIX}*")
        for group in _ROOT.glob(pattern)
        if not pathlib.Path(f"/proc/{group.name.split('-')[2]}").exists()
    ]
    for group in left:
        _kill(group)
    remove(left)
    return [group for group in left if not group.exists()]


def _kill(group: pathlib.Path) -> None:
    """Send SIGKILL to all processes in a control group and below it."""
    for file in group.rglob("cgroup.procs"):
        for pid in file.read_text().split():
            # 0 stands for a process outside of this pid namespace
            if pid != "0":
                with contextlib.suppress(ProcessLookupError):
                    os.kill(int(pid), signal.SIGKILL)
