# SPDX-License-Identifier: Apache-2.0
"""The place in which an image comes into being.

Everything happens in ``OUTPUT/.NAME.partial``, next to the final name, so
that the last step is a rename.  The directory is locked while a build runs
in it.  One that is there and not locked belonged to a build that was
killed; the next build of that name takes it down first.

diskimage-builder and mmdebstrap work only with paths of plain characters.
Where a path has others (a blank, a quote), they are given another name of the
same directory.
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

#: What diskimage-builder calls the image, whatever its name will be.
STEM = "image"

# of directories made for --work-dir, and of other names of a directory
_PREFIX = "trove-image-"
# links in a workspace to such directories, in the order of their removal
_LINKS = ("work-plain", "plain", "work")

_WORKSPACE = re.compile(r"\..+\.partial", re.DOTALL)
_PLAIN = re.compile(r"/[A-Za-z0-9/._+-]*")


def is_plain(path: pathlib.Path) -> bool:
    """Tell whether any tool can work with an absolute path."""
    return _PLAIN.fullmatch(os.fspath(path)) is not None


class Workspace:
    """The directory of one running build.

    :param directory: ``OUTPUT/.NAME.partial``.
    :param file: the image's final file name.
    :param plain: the same directory, under a name with plain characters.
    :param work: where diskimage-builder works, under such a name.
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
        # what diskimage-builder makes, in memory if that can be
        self.stem = work / "disk" / STEM
        self.containers = plain / "containers"
        self.natives = plain / "natives"
        self.temporary = plain / "tmp"
        self._plain = plain

    def plain(self, directory: pathlib.Path) -> pathlib.Path:
        """Return a name of a directory that has plain characters only.

        :param directory: nothing is mounted there.
        """
        if is_plain(directory):
            return directory
        number = len(list(self._plain.glob("named-*")))
        link = self._plain / f"named-{number}"
        link.symlink_to(directory)
        return link

    def publish(self, output: pathlib.Path) -> pathlib.Path:
        """Give image and sidecar their final names.

        The image comes last, and goes first: whoever sees one sees a
        complete one with what belongs to it, at any moment.

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
        """Save the log of a failed build beside where the image would be.

        :returns: where it is now: in this user's directory for state if
            what is beside the image belongs to another user.
        """
        sidecar = manifest.sidecar(output / self.image.name)
        with contextlib.suppress(FileExistsError):
            sidecar.mkdir()
        if not trust.is_own(sidecar):
            sidecar = paths.user_state() / "build" / sidecar.stem
            sidecar.mkdir(parents=True, exist_ok=True)
        kept = sidecar / "build-failed.log"
        if self.log.exists():
            files.write(kept, self.log.read_bytes())
        return kept


def take_down_dead(
    register: pathlib.Path, warn: cleanup.Warn
) -> list[pathlib.Path]:
    """Take down what builds that were killed have left.

    :param register: as for :func:`open_workspace`.
    :param warn: takes what cannot be taken down, and why.
    :returns: the workspaces that were taken down.
    """
    taken = []
    for link in sorted(register.glob("*")):
        directory = _registered(link)
        if directory is None:
            warn(
                f"{link} is ignored: it leads to no workspace of a build;"
                " remove it"
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
    """Return the workspace that an entry of the register leads to.

    Root removes it, so the entry must be what :func:`enter` makes.

    :returns: nothing where it is something else.
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
    """Note where a workspace is, for when its build is killed."""
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
    """Make the workspace of a build; take it down whatever happens.

    :param output: the directory that gets the image; made if absent.
    :param file: the image's file name.
    :param work_dir: where diskimage-builder works; in the workspace when
        not given.
    :param register: a directory with links to all workspaces.
    :param warn: takes what cannot be taken down in the end, and why: the
        build's own outcome does not depend on it.
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
        # another user may have made it, or a link in its place
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
        # of a build that was killed, or removed while we took the lock
        for text in _take_down(directory):
            warn(f"the build of {name} that was killed: {text}")
        os.close(lock)
    try:
        plain = _named_plainly(directory, directory / "plain")
        work = plain / "work"
        if work_dir is None:
            work.mkdir()
        else:
            # the link leads the next build there if this one is killed
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
        # what is mounted in such a directory goes with the workspace
        tempfile.tempdir = os.fspath(space.temporary)
        yield space
    finally:
        tempfile.tempdir = usual
        try:
            for text in _take_down(directory):
                warn(text)
            link.unlink(missing_ok=True)
        except (errors.TroveToolsError, OSError) as exc:
            # the link leads the next build there
            why = getattr(exc, "message", None) or exc
            warn(f"this build's own files in {directory} stay there: {why}")
        os.close(lock)


def _take_down(directory: pathlib.Path) -> list[str]:
    """Remove a workspace, and what its link leads to.

    With root's rights, in a directory where others may write: so neither
    another user's workspace is removed, nor what a link of theirs names.

    :returns: as :func:`leftovers.remove` does.
    """
    later: list[str] = []
    for place in _linked(directory):
        if place.name.startswith(_PREFIX) and trust.is_own(place):
            later += cleanup.remove(place)
    return later + cleanup.remove(directory)


def _linked(directory: pathlib.Path) -> list[pathlib.Path]:
    """Return what the links of a workspace lead to.

    They are read from the directory that was checked, whatever stands in its
    place meanwhile.

    :raises UsageError: another user can have made it.
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
    """Return a name of a directory with which any tool can work.

    :param link: is made where the directory gets another name, and leads
        there, for when this build is killed.
    """
    if is_plain(directory):
        return directory
    usual = pathlib.Path(tempfile.gettempdir()).resolve()
    # mkdtemp(3) makes a directory of this user's alone
    parent = usual if is_plain(usual) else pathlib.Path("/tmp")  # noqa: S108
    place = pathlib.Path(tempfile.mkdtemp(prefix=_PREFIX, dir=parent))
    link.symlink_to(place)
    # a link would not do: diskimage-builder looks for what is mounted there
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
