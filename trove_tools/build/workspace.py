# SPDX-License-Identifier: Apache-2.0
"""Manages the temporary directory of a build.

An image is built in ``OUTPUT/.NAME.partial``, next to its final name, so that
the last step is a rename. The directory is locked while a build runs in it. An
unlocked directory belongs to a build that was killed; the next build of that
name removes it first. diskimage-builder and mmdebstrap only support paths of
plain characters. For a path with other characters (a blank, a quote), they get
another path to the same directory.
"""

import collections.abc
import contextlib
import fcntl
import hashlib
import os
import pathlib
import re
import tempfile

from trove_tools import errors
from trove_tools.artifact import manifest
from trove_tools.host import cleanup
from trove_tools.host import files
from trove_tools.host import paths
from trove_tools.host import process
from trove_tools.host import trust

#: The image's name for diskimage-builder, independent of its final name.
STEM = "image"

#: The variable that keeps diskimage-builder from mounting a tmpfs.
NO_TMPFS = "DIB_NO_TMPFS"
# bytes of memory for a root file system and a disk with the same content
_MEMORY = 4 * 1024**3

# prefixes of directories in --work-dir, and of additional paths to a directory
_PREFIX = "trove-image-"
# links in a workspace to these directories, in the order of removal
_LINKS = ("work-plain", "plain", "work")

_WORKSPACE = re.compile(r"\..+\.partial", re.DOTALL)
_PLAIN = re.compile(r"/[A-Za-z0-9/._+-]*")


def is_plain(path: pathlib.Path) -> bool:
    """Return whether an absolute path has plain characters only."""
    return _PLAIN.fullmatch(os.fspath(path)) is not None


class Workspace:
    """The directory of one running build.

    :param directory: ``OUTPUT/.NAME.partial``.
    :param file: the image's final file name.
    :param plain: a path to the same directory with plain characters only.
    :param work: the work directory of diskimage-builder, a path with plain
        characters only.
    """

    def __init__(
        self,
        directory: pathlib.Path,
        file: str,
        plain: pathlib.Path,
        work: pathlib.Path,
    ) -> None:
        self.directory = directory
        self.image = directory / file
        self.sidecar = manifest.sidecar(self.image)
        self.log = self.sidecar / "build.log"
        self.work = work
        # the files of diskimage-builder, in memory if possible
        self.stem = work / "disk" / STEM
        self.containers = plain / "containers"
        self.natives = plain / "natives"
        self.temporary = plain / "tmp"
        self._plain = plain

    def mount_memory(self) -> None:
        """Mount a tmpfs on the work directory, if there is enough memory.

        diskimage-builder alone would mount several: one for the root file
        system of each run, and one for the disk.  With a single tmpfs, a
        rename passes the root file system to the next run, and the disk to
        the conversion.  It is unmounted when the workspace is removed.

        :raises CommandError: a tmpfs cannot be mounted.
        """
        if os.environ.get(NO_TMPFS, "0") not in ("", "0"):
            return
        free = process.measure_free_memory()
        if free < _MEMORY:
            return
        options = (
            f"mode=0755,uid={os.geteuid()},gid={os.getegid()},size={free}"
        )
        process.run(
            process.as_root(
                ["mount", "-t", "tmpfs", "-o", options, "trove-image",
                 self.work]
            )
        )  # fmt: skip

    def plain(self, directory: pathlib.Path) -> pathlib.Path:
        """Return a path to a directory that has plain characters only.

        :param directory: a directory that is not a mount point.
        """
        if is_plain(directory):
            return directory
        number = len(list(self._plain.glob("named-*")))
        link = self._plain / f"named-{number}"
        link.symlink_to(directory)
        return link

    def publish(self, output: pathlib.Path) -> pathlib.Path:
        """Rename the image and its sidecar directory to their final names.

        An old image is removed first, and the new one is renamed last, so that
        a visible image is always complete and has its sidecar directory.

        :returns: the image.
        """
        image = output / self.image.name
        sidecar = manifest.sidecar(image)
        if image.exists():
            image.rename(self.directory / "replaced-image")
        if sidecar.exists():
            sidecar.rename(self.directory / "replaced")
        self.sidecar.rename(sidecar)
        self.image.rename(image)
        return image

    def keep_log(self, output: pathlib.Path) -> pathlib.Path:
        """Save the log of a failed build beside the image's path.

        :returns: the path of the log; it is in the user's state directory if
            the directory beside the image belongs to another user.
        """
        sidecar = manifest.sidecar(output / self.image.name)
        with contextlib.suppress(FileExistsError):
            sidecar.mkdir()
        if not trust.is_own(sidecar):
            sidecar = paths.user_state() / "build" / sidecar.stem
            sidecar.mkdir(parents=True, exist_ok=True)
        kept = sidecar / "build-failed.log"
        if self.log.exists():
            files.write_file(kept, self.log.read_bytes())
        return kept


def take_down_dead(
    register: pathlib.Path, warn: cleanup.Warn
) -> list[pathlib.Path]:
    """Remove the workspaces of builds that were killed.

    :param register: as for :func:`open_workspace`.
    :param warn: called with a message about each workspace that cannot be
        removed.
    :returns: the workspaces that were removed.
    """
    taken = []
    for link in sorted(register.glob("*")):
        directory = _registered(link)
        if directory is None:
            warn(
                f"{link} is ignored: it does not refer to a workspace of a"
                " build; remove it"
            )
            continue
        try:
            if not cleanup.take_down(directory, _take_down, warn):
                continue
            taken.append(directory)
        except FileNotFoundError:
            pass
        link.unlink(missing_ok=True)
    return taken


def _registered(link: pathlib.Path) -> pathlib.Path | None:
    """Return the workspace that an entry of the register refers to.

    Root removes the workspace, so the entry must have the form that
    :func:`enter` creates.

    :returns: None if the entry has another form.
    """
    try:
        directory = pathlib.Path(os.readlink(link))
    except OSError:
        return None
    if (
        link.lstat().st_uid not in (0, os.geteuid())
        or link.name != _entry_name(directory)
        or not _WORKSPACE.fullmatch(directory.name)
    ):
        return None
    return directory


def _entry_name(directory: pathlib.Path) -> str:
    return hashlib.sha256(os.fsencode(directory)).hexdigest()[:16]


def enter(register: pathlib.Path, directory: pathlib.Path) -> pathlib.Path:
    """Register a workspace, so that it is removed if its build is killed."""
    register.mkdir(parents=True, exist_ok=True)
    link = register / _entry_name(directory)
    link.unlink(missing_ok=True)
    link.symlink_to(directory)
    return link


@contextlib.contextmanager
def open_workspace(
    output: pathlib.Path,
    file: str,
    work_dir: pathlib.Path | None,
    register: pathlib.Path,
    warn: cleanup.Warn,
) -> collections.abc.Iterator[Workspace]:
    """Create the workspace of a build, and always remove it at the end.

    :param output: the directory for the image; created if absent.
    :param file: the image's file name.
    :param work_dir: the work directory of diskimage-builder; by default in the
        workspace.
    :param register: a directory with links to all workspaces.
    :param warn: called with a message if the workspace cannot be removed,
        which does not fail the build.
    :raises UsageError: a directory cannot be used.
    :raises BuildError: another build of this image runs.
    """
    output = paths.make_directory(output, "--output-dir")
    name = manifest.sidecar(pathlib.Path(file)).stem
    directory = output / f".{name}.partial"
    link = enter(register, directory)
    usual = tempfile.tempdir
    while True:
        with contextlib.suppress(FileExistsError):
            directory.mkdir()
        # another user may have created it, or a link in its place
        trust.require_own(directory, "the workspace")
        lock = trust.open_own(
            directory, os.O_RDONLY | os.O_DIRECTORY, "the workspace"
        )
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(lock)
            raise errors.BuildError(
                f"another build of {name} runs in {output}",
                hint="wait for it, or give --output-dir or --name",
            ) from None
        if _same(lock, directory) and not any(directory.iterdir()):
            break
        # the directory belongs to a killed build, or another process removed
        # it before it was locked
        for text in _take_down(directory):
            warn(f"the build of {name} that was killed: {text}")
        os.close(lock)
    try:
        plain = _named_plainly(directory, directory / "plain")
        work = plain / "work"
        if work_dir is None:
            work.mkdir()
        else:
            # the link lets the next build find the directory if this build is
            # killed
            place = tempfile.mkdtemp(
                prefix=_PREFIX,
                dir=paths.make_directory(work_dir, "--work-dir"),
            )
            (directory / "work").symlink_to(place)
            work = _named_plainly(
                pathlib.Path(place), directory / "work-plain"
            )
        space = Workspace(directory, file, plain, work)
        space.sidecar.mkdir()
        space.containers.mkdir()
        space.natives.mkdir()
        space.temporary.mkdir()
        # mounts in this directory are removed with the workspace
        tempfile.tempdir = os.fspath(space.temporary)
        yield space
    finally:
        tempfile.tempdir = usual
        try:
            for text in _take_down(directory):
                warn(text)
            link.unlink(missing_ok=True)
        except (errors.TroveToolsError, OSError) as exc:
            # the link is kept, so that the next build can find the directory
            why = getattr(exc, "message", None) or exc
            warn(f"this build's own files in {directory} stay there: {why}")
        os.close(lock)


def _take_down(directory: pathlib.Path) -> list[str]:
    """Remove a workspace and the directories that its links refer to.

    This runs with root's rights in a directory that may be writable by others,
    so it must not remove another user's workspace or the target of another
    user's link.

    :returns: the leftovers that the kernel releases later.
    """
    later: list[str] = []
    for place in _linked(directory):
        if place.name.startswith(_PREFIX) and trust.is_own(place):
            later += cleanup.remove(place)
    return later + cleanup.remove(directory)


def _linked(directory: pathlib.Path) -> list[pathlib.Path]:
    """Return the targets of a workspace's links.

    The links are read through the descriptor of the directory that was
    checked, in case the directory is replaced.

    :raises UsageError: another user may have created the directory.
    """
    found = []
    descriptor = trust.open_own(
        directory, os.O_RDONLY | os.O_DIRECTORY, "the workspace"
    )
    try:
        for name in _LINKS:
            with contextlib.suppress(OSError):
                found.append(os.readlink(name, dir_fd=descriptor))
    finally:
        os.close(descriptor)
    return [pathlib.Path(place) for place in found]


def _named_plainly(
    directory: pathlib.Path, link: pathlib.Path
) -> pathlib.Path:
    """Return a path to a directory that all tools support.

    :param link: created as a link to the new path, which the next build
        removes if this build is killed.
    """
    if is_plain(directory):
        return directory
    usual = pathlib.Path(tempfile.gettempdir()).resolve()
    # mkdtemp(3) creates a directory that only this user can access
    parent = usual if is_plain(usual) else pathlib.Path("/tmp")  # noqa: S108
    place = pathlib.Path(tempfile.mkdtemp(prefix=_PREFIX, dir=parent))
    link.symlink_to(place)
    # a symbolic link does not work: diskimage-builder looks for mounts at this
    # path
    process.run(
        process.as_root(
            ["mount", "--bind", "--make-private", directory, place]
        )
    )
    return place


def _same(descriptor: int, directory: pathlib.Path) -> bool:
    try:
        return os.path.samestat(os.fstat(descriptor), directory.stat())
    except FileNotFoundError:
        return False
