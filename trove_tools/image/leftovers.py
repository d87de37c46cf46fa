# SPDX-License-Identifier: Apache-2.0
"""Takes down what a build that did not end by itself has left behind.

Everything that diskimage-builder mounts or attaches lies below the build's
own directory: mounts, loop devices whose file is there, processes whose root
is there.  That makes them ours without any doubt, and nothing else is ever
touched.

All of it needs root.  Run as another user, :func:`remove` runs this same
module again through sudo.
"""

import collections.abc
import contextlib
import fcntl
import os
import pathlib
import re
import shutil
import signal
import sys
import time

from trove_tools import errors
from trove_tools import process

_SYS_BLOCK = pathlib.Path("/sys/class/block")


def remove(directory: pathlib.Path) -> None:
    """End, unmount, detach and delete all that is below a directory.

    :param directory: a build's own directory; deleted itself, too.
    :raises BuildError: something cannot be taken down; says what.
    """
    directory = directory.absolute()
    if not os.path.lexists(directory):
        return
    if not _is_root():
        process.run(
            process.as_root(
                [sys.executable, "-m", __name__, os.fspath(directory)]
            )
        )
        return
    kill(directory)
    devices = loops(directory)
    _unmount_all(directory)
    for device in devices:
        detach(device)
    _unmount_all(directory)
    still = [*map(str, mounts(directory)), *loops(directory)]
    if still:
        raise errors.BuildError(
            f"cannot be taken down: {', '.join(still)}",
            hint="find who uses them (fuser -vm), then run again",
        )
    shutil.rmtree(directory)


def remove_dead(
    directories: collections.abc.Iterable[pathlib.Path],
) -> list[pathlib.Path]:
    """Take down those of some directories that no process has locked.

    :param directories: each is locked (flock(2)) as long as it is used.
    :returns: what was removed.
    :raises BuildError: something cannot be taken down; says what.
    """
    removed = []
    for directory in directories:
        with contextlib.suppress(FileNotFoundError), held(directory) as free:
            if free:
                remove(directory)
                removed.append(directory)
    return removed


@contextlib.contextmanager
def held(directory: pathlib.Path) -> collections.abc.Iterator[bool]:
    """Hold the lock of a directory, if nobody else does.

    :returns: whether it could be had.
    :raises FileNotFoundError: there is no such directory.
    """
    lock = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
    try:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            yield False
        else:
            yield True
    finally:
        os.close(lock)


def _is_root() -> bool:
    return os.geteuid() == 0


def mounts(directory: pathlib.Path) -> list[pathlib.Path]:
    """Return what is mounted below a directory, the innermost first."""
    found = []
    with open("/proc/self/mountinfo") as stream:
        for line in stream:
            # proc(5): blanks and others are written as \ooo
            point = re.sub(
                r"\\([0-7]{3})",
                lambda match: chr(int(match[1], 8)),
                line.split()[4],
            )
            path = pathlib.Path(point)
            if path.is_relative_to(directory):
                found.append(path)
    # later mounts lie on top of earlier ones
    return found[::-1]


def loops(directory: pathlib.Path) -> list[str]:
    """Return the loop devices whose file lies below a directory."""
    found = []
    for device in sorted(_SYS_BLOCK.glob("loop*")):
        with contextlib.suppress(OSError):
            file = (device / "loop/backing_file").read_text().strip()
            file = file.removesuffix(" (deleted)")
            if pathlib.Path(file).is_relative_to(directory):
                found.append(f"/dev/{device.name}")
    return found


def detach(device: str) -> None:
    """Detach a loop device, its partitions first.

    Detaching alone leaves the nodes of the partitions behind.
    """
    name = pathlib.Path(device).name
    if any((_SYS_BLOCK / name).glob(f"{name}p*")):
        process.run(["partx", "--delete", device], check=False)
    process.run(["losetup", "--detach", device], check=False)


def kill(directory: pathlib.Path) -> None:
    """Kill what runs with its root or its work below a directory."""
    for _ in range(50):
        found = _processes(directory)
        if not found:
            return
        for pid in found:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        time.sleep(0.1)


def _processes(directory: pathlib.Path) -> list[int]:
    found = []
    for entry in pathlib.Path("/proc").iterdir():
        if not entry.name.isdigit() or int(entry.name) == os.getpid():
            continue
        with contextlib.suppress(OSError):
            roots = [os.readlink(entry / "root"), os.readlink(entry / "cwd")]
            if any(
                pathlib.Path(root).is_relative_to(directory) for root in roots
            ):
                found.append(int(entry.name))
    return found


def _unmount_all(directory: pathlib.Path) -> None:
    for point in mounts(directory):
        process.run(["umount", point], check=False)


if __name__ == "__main__":
    try:
        remove(pathlib.Path(sys.argv[1]))
    except errors.TroveToolsError as exc:
        sys.exit(exc.message)
