# SPDX-License-Identifier: Apache-2.0
"""The control groups of a guest in systemd-nspawn.

The kernel does not take them back when verify is killed.
"""

import collections.abc
import os
import pathlib
import time

#: What their names begin with; the id of verify's process comes next.
PREFIX = "trove-verify-"

_ROOT = pathlib.Path("/sys/fs/cgroup")
# seconds until the kernel has ended what was killed
_END = 20.0
_PAUSE = 0.1


def make(name: str) -> list[pathlib.Path]:
    """Make a control group in each hierarchy that systemd works with."""
    tops = [
        top
        for top in (_ROOT, _ROOT / "unified", _ROOT / "systemd")
        if (top / "cgroup.procs").exists()
    ]
    for top in tops:
        (top / name).mkdir()
    return [top / name for top in tops]


def remove(groups: collections.abc.Iterable[pathlib.Path]) -> None:
    """Remove control groups; a process of theirs may still be ending."""
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
    """Remove the control groups of verifies that were killed.

    :returns: what was removed.
    """
    left = [
        group
        for pattern in (f"{PREFIX}*", f"*/{PREFIX}*")
        for group in _ROOT.glob(pattern)
        if not any(file.read_text() for file in group.rglob("cgroup.procs"))
        and not pathlib.Path(f"/proc/{group.name.split('-')[2]}").exists()
    ]
    remove(left)
    return [group for group in left if not group.exists()]
