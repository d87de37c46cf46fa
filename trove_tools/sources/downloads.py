# SPDX-License-Identifier: Apache-2.0
"""What builds download: kept for the next ones, and for others meanwhile.

apt locks the directory of its archives for as long as it installs, and an
apt that comes second does not wait: it fails.  So each run of
diskimage-builder gets a directory of its own for them, with links to those
that are there, and what it has fetched is kept in the end.  The rest of
what is downloaded can be used by several at a time.

apt takes a package that is there by its name and its size.  So the digest that
a package had when apt had fetched it, and compared it with the signed index,
is kept, and one that has another by now is removed: apt fetches it again.
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
    """Give a run of diskimage-builder its ``DIB_IMAGE_CACHE``.

    :param shared: where downloads are kept.
    :param distribution: the guest's.
    :returns: a directory that lasts as long as this context.
    """
    archives = shared / _APT / distribution
    archives.mkdir(parents=True, exist_ok=True)
    place, lock = cleanup.new_directory(shared, _PREFIX)
    try:
        mine = place / _APT / distribution
        mine.mkdir(parents=True)
        _note(archives, check=True)
        _link(archives, mine)
        for entry in shared.iterdir():
            if entry.name != _APT and not entry.name.startswith("."):
                (place / entry.name).symlink_to(entry)
        try:
            yield place
        finally:
            _keep(mine.glob("*.deb"), archives)
            _note(archives, check=False)
            _keep(place.iterdir(), shared)
    finally:
        try:
            shutil.rmtree(place)
        except PermissionError:
            cleanup.remove(place)
        os.close(lock)


def _note(archives: pathlib.Path, *, check: bool) -> None:
    """Note the digests of new packages.

    :param check: compare those that are known, and remove what has changed.
    """
    known = _noted(archives)
    found = {}
    for archive in archives.glob("*.deb"):
        wanted = known.get(archive.name)
        # another build may replace it at this moment
        with contextlib.suppress(OSError):
            if check or wanted is None:
                digest = digests.sha256(archive)
                if digest != (wanted or digest):
                    archive.unlink()
                    continue
                wanted = digest
            found[archive.name] = wanted
    if found != known:
        # without it, the next build notes them
        with contextlib.suppress(OSError):
            files.write_file(archives / _DIGESTS, json.dumps(found))


def _noted(archives: pathlib.Path) -> dict[str, str]:
    """Return the digests that packages had when they were fetched, by name."""
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
        # apt runs as root, and other users may not link its files
        process.run(
            process.as_root(
                ["find", archives, "-maxdepth", "1", "-name", "*.deb",
                 "-exec", "ln", "--force", "-t", mine, "{}", "+"]
            )
        )  # fmt: skip


def _keep(
    found: collections.abc.Iterable[pathlib.Path], place: pathlib.Path
) -> None:
    """Move what is not there yet to where it stays."""
    for entry in list(found):
        kept = place / entry.name
        if entry.is_symlink() or entry.name == _APT or kept.exists():
            continue
        # without it, the next build fetches it again
        with contextlib.suppress(OSError):
            entry.rename(kept)


def abandoned(
    shared: pathlib.Path, warn: cleanup.Warn
) -> list[pathlib.Path]:
    """Remove what killed builds have left.

    :param shared: where downloads are kept.
    :param warn: takes what cannot be removed.
    :returns: what was removed.
    """
    return cleanup.remove_dead(shared.glob(f"{_PREFIX}*"), warn)
