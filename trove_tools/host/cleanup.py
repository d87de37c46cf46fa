# SPDX-License-Identifier: Apache-2.0
"""Removes the leftovers of killed builds.

All resources of a build lie below the build's directory: its mounts, the
files of its loop devices, and the root directories of its processes.  Only
these resources are removed.

Removing them needs root.  When another user calls :func:`remove`, it runs
this module again through sudo.
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
    """Delete a build's directory, with its processes, mounts, loop devices.

    The kernel detaches a loop device that a process still uses when that
    process ends.  Such a device does not disturb other builds.

    :param directory: the build's directory.
    :returns: one sentence for each loop device that is detached later.
    :raises BuildError: something cannot be removed; the message names it.
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
    # deleting a directory also removes the mounts on it that processes in
    # other mount namespaces hold
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
        # its file system is not clean; that is harmless, as it is deleted
        return False


def _by(numbers: collections.abc.Collection[str]) -> str:
    """Return the part of a message that names a device's users."""
    holders = ", ".join(map(str, mounts.find_holders(numbers)))
    return f" by {holders}, in another mount namespace" if holders else ""


def remove_dead(
    directories: collections.abc.Iterable[pathlib.Path],
    warn: Warn,
) -> list[pathlib.Path]:
    """Remove the build directories that no process has locked.

    A directory that cannot be removed is kept; the others are removed.

    :param directories: a running build locks its directory with flock(2).
    :param warn: called for each failure with the directory and the reason.
    :returns: the directories that were removed.
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
    """Remove the directory of a killed build; only warn if that fails.

    :param how: the function that removes it, such as :func:`remove`.
    :param warn: as for :func:`remove_dead`.
    :returns: whether it was removed.
    :raises FileNotFoundError: there is no such directory.
    """
    try:
        with is_held(directory) as free:
            if not free:
                # its build is still running
                return False
            for text in how(directory):
                warn(f"a killed build in {directory}: {text}")
            return True
    except FileNotFoundError:
        raise
    except (errors.TroveToolsError, OSError) as exc:
        why = getattr(exc, "message", None) or exc
        warn(f"the leftovers of a killed build stay in {directory}: {why}")
        return False


def new_directory(
    parent: pathlib.Path, prefix: str
) -> tuple[pathlib.Path, int]:
    """Create a locked directory, which :func:`remove_dead` does not remove.

    :param prefix: the beginning of the directory's name.
    :returns: the directory, and the file descriptor that holds its lock
        until it is closed.
    """
    while True:
        directory = tempfile.mkdtemp(prefix=prefix, dir=parent)
        # another build may remove the directory before it is locked
        with contextlib.suppress(FileNotFoundError):
            lock = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
            fcntl.flock(lock, fcntl.LOCK_EX)
            if os.path.exists(directory):
                return pathlib.Path(directory), lock
            os.close(lock)


@contextlib.contextmanager
def is_held(directory: pathlib.Path) -> collections.abc.Iterator[bool]:
    """Hold the lock of a directory, if no other process holds it.

    :returns: whether the lock was acquired.
    :raises FileNotFoundError: there is no such directory.
    :raises UsageError: another user owns it, or may write to it.
    """
    # root deletes the content, so no link is followed
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
    """Kill processes with a root or working directory below a directory."""
    for _ in range(50):
        pids = _processes(directory)
        if not pids:
            return
        for pid in pids:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        time.sleep(0.1)


def _processes(directory: pathlib.Path) -> list[int]:
    pids = []
    for entry in pathlib.Path("/proc").iterdir():
        if not entry.name.isdigit() or int(entry.name) == os.getpid():
            continue
        with contextlib.suppress(OSError):
            roots = [os.readlink(entry / "root"), os.readlink(entry / "cwd")]
            if any(
                pathlib.Path(root).is_relative_to(directory) for root in roots
            ):
                pids.append(int(entry.name))
    return pids


def _unmount_all(directory: pathlib.Path, *options: str) -> None:
    for mount in mounts.list_below(directory):
        process.run(["umount", *options, mount.point], check=False)


if __name__ == "__main__":
    try:
        for line in remove(pathlib.Path(sys.argv[1])):
            print(line)
    except (errors.TroveToolsError, OSError) as exc:
        sys.exit(str(exc))
