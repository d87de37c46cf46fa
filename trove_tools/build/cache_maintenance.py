# SPDX-License-Identifier: Apache-2.0
"""Keeping the cache small and sound: list, verify, prune.

Entries that somebody uses are locked, and left alone.
"""

import collections.abc
import contextlib
import os
import pathlib

from trove_tools import errors
from trove_tools.build import cache as _cache
from trove_tools.host import cleanup
from trove_tools.sources import downloads
from trove_tools.sources.network import session


def entries(cache: _cache.Cache) -> list[_cache.Entry]:
    """Return all layers in the cache, the one used last first."""
    found = []
    for directory in cache.layers.iterdir():
        if not directory.name.startswith("."):
            entry = cache.read(directory.name)
            if entry is not None:
                found.append(entry)
    return sorted(found, key=lambda entry: entry.used, reverse=True)


def size(directory: pathlib.Path) -> int:
    """Return what the files below a directory take on disk, bytes.

    A file with several names counts once.
    """
    seen: dict[tuple[int, int], int] = {}
    for place, _, names in os.walk(directory):
        for name in names:
            with contextlib.suppress(OSError):
                status = os.lstat(os.path.join(place, name))
                seen[status.st_dev, status.st_ino] = status.st_blocks * 512
    return sum(seen.values())


def damaged(
    cache: _cache.Cache, *, remove: bool = True
) -> collections.abc.Iterator[str]:
    """Look at every entry; yield the digests of those that are not whole.

    :param remove: and remove them.
    """
    for directory in sorted(cache.layers.iterdir()):
        if directory.name.startswith("."):
            continue
        with _locked(cache, directory.name) as free:
            if not free:
                # who uses it has checked it, too
                continue
            entry = cache.read(directory.name)
            if entry is not None and _cache.is_whole(entry):
                continue
            if remove:
                cache.remove(directory.name)
            yield directory.name


@contextlib.contextmanager
def _locked(
    cache: _cache.Cache, digest: str
) -> collections.abc.Iterator[bool]:
    """Hold an entry's lock if nobody else does, and if it can be trusted.

    One lock that cannot be used must not stop the work on all other entries.
    """
    with contextlib.ExitStack() as stack:
        free = True
        try:
            free = stack.enter_context(cache.locked(digest, wait=False))
        except errors.UsageError:
            cache.remove_lock(digest)
        yield free


def prune(
    cache: _cache.Cache,
    limit: int,
    warn: cleanup.Warn,
    *,
    stale: bool = False,
) -> collections.abc.Iterator[_cache.Entry]:
    """Remove entries until the layers take no more than a limit.

    What was used longest ago goes first.

    :param limit: bytes.
    :param warn: takes what a killed build left and cannot be removed.
    :param stale: remove what is too old to be used as well.
    :returns: what was removed.
    """
    abandoned(cache, warn)
    found = entries(cache)
    total = sum(entry.record.size for entry in found)
    for entry in reversed(found):
        if total <= limit and not (stale and cache.is_stale(entry)):
            continue
        with _locked(cache, entry.record.digest) as free:
            if not free:
                continue
            cache.remove(entry.record.digest)
        total -= entry.record.size
        yield entry


def abandoned(
    cache: _cache.Cache, warn: cleanup.Warn
) -> list[pathlib.Path]:
    """Remove what killed builds have left half-made.

    :param warn: takes what cannot be removed.
    :returns: what was removed.
    """
    return [
        *cleanup.remove_dead(cache.layers.glob(f"{_cache.PARTIAL}*"), warn),
        *downloads.abandoned(cache.downloads, warn),
        *session.abandoned(warn),
    ]
