# SPDX-License-Identifier: Apache-2.0
"""Removes the leftovers of killed builds.

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
import shutil
import signal
import sys
import tempfile
import time

from trove_tools import errors
from trove_tools.host import loopdevice
from trove_tools.host import mounts
from trove_tools.host import process
from trove_tools.host import trust

#: Called with a message for the user.
Warn = collections.abc.Callable[[str], None]

_HINT = "find who uses it (fuser -vm), then run again"


def remove(directory: pathlib.Path) -> list[str]:
    """End, unmount, detach and delete all that is below a directory.

    A loop device that a process holds is given back by the kernel when that
    process ends.  It is in nobody's way.

    :param directory: a build's own directory; deleted itself, too.
    :returns: what the kernel gives back later, a sentence each.
    :raises BuildError: something cannot be taken down; says what.
    """
    directory = directory.absolute()
    if not os.path.lexists(directory):
        return []
    if not _is_root():
        done = process.run(
            process.as_root(
                [sys.executable, "-m", __name__, os.fspath(directory)]
            ),
            check=False,
        )
        if done.status != 0:
            raise errors.BuildError(done.stderr.strip(), hint=_HINT)
        return done.stdout.splitlines()
    kill(directory)
    devices = loopdevice.find_below(directory)
    numbers = {device: loopdevice.list_devices(device) for device in devices}
    _unmount_all(directory)
    # a file that is attached to a device keeps its file system mounted
    _unmount_all(directory, "--lazy")
    still = mounts.list_below(directory)
    if still:
        listed = ", ".join(str(mount.point) for mount in still)
        raise errors.BuildError(f"cannot unmount {listed}", hint=_HINT)
    # with the directories, the copies of mounts go that processes of other
    # mount namespaces have
    shutil.rmtree(directory)
    return [
        f"{device} is still in use{_by(numbers[device])}; the kernel detaches"
        " it, and frees what the disk took, when that ends"
        for device in devices
        if not _detach(device)
    ]


def _detach(device: str) -> bool:
    try:
        return loopdevice.detach(device)
    except errors.CommandError:
        # its file system is not clean, and will be deleted
        return False


def _by(numbers: collections.abc.Collection[str]) -> str:
    """Name the processes that hold a device's file systems."""
    found = ", ".join(map(str, mounts.find_holders(numbers)))
    return f" by {found}, in another mount namespace" if found else ""


def remove_dead(
    directories: collections.abc.Iterable[pathlib.Path],
    warn: Warn,
) -> list[pathlib.Path]:
    """Take down those of some directories that no process has locked.

    One that cannot be taken down stays, and does not stop the others.

    :param directories: each is locked (flock(2)) as long as it is used.
    :param warn: takes what could not be taken down, and why.
    :returns: what was removed.
    """
    removed = []
    for directory in directories:
        with contextlib.suppress(FileNotFoundError):
            if take_down(directory, remove, warn):
                removed.append(directory)
    return removed


def take_down(
    directory: pathlib.Path,
    how: collections.abc.Callable[[pathlib.Path], list[str]],
    warn: Warn,
) -> bool:
    """Take a directory of a killed build down; only warn if that fails.

    :param how: takes it down, as :func:`remove` does.
    :param warn: as for :func:`remove_dead`.
    :returns: whether it is gone.
    :raises FileNotFoundError: there is no such directory.
    """
    try:
        with is_held(directory) as free:
            if not free:
                # its build runs
                return False
            for text in how(directory):
                warn(f"a killed build in {directory}: {text}")
            return True
    except FileNotFoundError:
        raise
    except (errors.TroveToolsError, OSError) as exc:
        why = getattr(exc, "message", None) or exc
        warn(f"what a killed build left in {directory} stays there: {why}")
        return False


def new_directory(
    parent: pathlib.Path, prefix: str
) -> tuple[pathlib.Path, int]:
    """Make a directory that :func:`remove_dead` leaves alone for now.

    :param prefix: of its name.
    :returns: it, and the descriptor that holds its lock until it is closed.
    """
    while True:
        place = tempfile.mkdtemp(prefix=prefix, dir=parent)
        # before it is locked, another build may take it for a dead one's
        with contextlib.suppress(FileNotFoundError):
            lock = os.open(place, os.O_RDONLY | os.O_DIRECTORY)
            fcntl.flock(lock, fcntl.LOCK_EX)
            if os.path.exists(place):
                return pathlib.Path(place), lock
            os.close(lock)


@contextlib.contextmanager
def is_held(directory: pathlib.Path) -> collections.abc.Iterator[bool]:
    """Hold the lock of a directory, if nobody else does.

    :returns: whether it could be had.
    :raises FileNotFoundError: there is no such directory.
    :raises UsageError: it belongs to another user.
    """
    # root removes what is there, so no link is followed
    lock = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
    try:
        trust.refuse(directory, os.fstat(lock), "the directory")
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


def _unmount_all(directory: pathlib.Path, *options: str) -> None:
    for mount in mounts.list_below(directory):
        process.run(["umount", *options, mount.point], check=False)


if __name__ == "__main__":
    try:
        for line in remove(pathlib.Path(sys.argv[1])):
            print(line)
    except (errors.TroveToolsError, OSError) as exc:
        sys.exit(str(exc))
