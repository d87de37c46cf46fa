# SPDX-License-Identifier: Apache-2.0
"""Keeps the downloads of builds for later and for concurrent builds.

apt locks its archive directory while it installs, and a second apt that uses
the directory fails instead of waiting.  So each run of diskimage-builder gets
a separate archive directory with hard links to the stored packages.  At its
end, the packages that it has downloaded are stored, too.  Concurrent builds
can share all other downloads.

apt checks only the name and the size of a package that it finds there.  So
the digest of each package is stored after apt has fetched the package and
compared it with the signed index.  A package whose digest has changed is
removed, and apt fetches it again.
"""

import collections.abc
import contextlib
import json
import os
import pathlib
import shutil

from trove_tools.host import bounds
from trove_tools.host import cleanup
from trove_tools.host import digests
from trove_tools.host import files
from trove_tools.host import process
from trove_tools.host import trust

_PREFIX = ".run-"
_APT = "apt"
_DIGESTS = ".sha256.json"


@contextlib.contextmanager
def own(
    shared: pathlib.Path, distribution: str
) -> collections.abc.Iterator[pathlib.Path]:
    """Create the ``DIB_IMAGE_CACHE`` of one run of diskimage-builder.

    :param shared: the directory with the downloads of all builds.
    :param distribution: the guest system's distribution.
    :returns: a directory that is removed when this context ends.
    """
    archives = shared / _APT / distribution
    archives.mkdir(parents=True, exist_ok=True)
    directory, lock = cleanup.new_directory(shared, _PREFIX)
    try:
        mine = directory / _APT / distribution
        mine.mkdir(parents=True)
        _note(archives, check=True)
        _link(archives, mine)
        for entry in shared.iterdir():
            if entry.name != _APT and not entry.name.startswith("."):
                (directory / entry.name).symlink_to(entry)
        try:
            yield directory
        finally:
            _keep(mine.glob("*.deb"), archives)
            _note(archives, check=False)
            _keep(directory.iterdir(), shared)
    finally:
        try:
            shutil.rmtree(directory)
        except PermissionError:
            cleanup.remove(directory)
        os.close(lock)


def _note(archives: pathlib.Path, *, check: bool) -> None:
    """Store the digests of new packages.

    :param check: also remove known packages whose digest has changed.
    """
    known = _noted(archives)
    found = {}
    for archive in archives.glob("*.deb"):
        wanted = known.get(archive.name)
        # another build may replace the package at this moment
        with contextlib.suppress(OSError):
            if check or wanted is None:
                digest = digests.sha256(archive)
                if digest != (wanted or digest):
                    archive.unlink()
                    continue
                wanted = digest
            found[archive.name] = wanted
    if found != known:
        # if this fails, the next build stores them
        with contextlib.suppress(OSError):
            files.write_file(archives / _DIGESTS, json.dumps(found))


def _noted(archives: pathlib.Path) -> dict[str, str]:
    """Return the stored digests of packages, by file name."""
    file = archives / _DIGESTS
    try:
        known = bounds.read_json(file) if trust.is_own(file) else {}
    except (OSError, ValueError):
        return {}
    return known if isinstance(known, dict) else {}


def _link(archives: pathlib.Path, mine: pathlib.Path) -> None:
    try:
        for archive in archives.glob("*.deb"):
            os.link(archive, mine / archive.name)
    except PermissionError:
        # apt's files belong to root, and another user may not link them
        process.run(
            process.as_root(
                ["find", archives, "-maxdepth", "1", "-name", "*.deb",
                 "-exec", "ln", "--force", "-t", mine, "{}", "+"]
            )
        )  # fmt: skip


def _keep(
    found: collections.abc.Iterable[pathlib.Path], directory: pathlib.Path
) -> None:
    """Move files to a directory, unless it has a file of that name."""
    for entry in list(found):
        kept = directory / entry.name
        if entry.is_symlink() or entry.name == _APT or kept.exists():
            continue
        # if this fails, the next build fetches the file again
        with contextlib.suppress(OSError):
            entry.rename(kept)


def abandoned(
    shared: pathlib.Path, warn: cleanup.Warn
) -> list[pathlib.Path]:
    """Remove the download directories that killed builds have left.

    :param shared: the directory with the downloads of all builds.
    :param warn: called for each directory that cannot be removed.
    :returns: the directories that were removed.
    """
    return cleanup.remove_dead(shared.glob(f"{_PREFIX}*"), warn)
