# SPDX-License-Identifier: Apache-2.0
"""Maintains the cache: list, verify, prune, push and fetch entries.

Entries that are in use are locked and are not touched.
"""

import collections.abc
import contextlib
import os
import pathlib

from trove_tools import console
from trove_tools import errors
from trove_tools.build import cache as _cache
from trove_tools.build import remote_cache
from trove_tools.host import cleanup
from trove_tools.sources import downloads
from trove_tools.sources.network import session


def entries(cache: _cache.Cache) -> list[_cache.Entry]:
    """Return all layers in the cache, the most recently used one first."""
    found = []
    for directory in cache.layers.iterdir():
        if not directory.name.startswith("."):
            entry = cache.read(directory.name)
            if entry is not None:
                found.append(entry)
    return sorted(found, key=lambda entry: entry.used, reverse=True)


def size(directory: pathlib.Path) -> int:
    """Return the disk usage of a directory in bytes.

    Hard links to one file count once.
    """
    seen: dict[tuple[int, int], int] = {}
    for place, _, names in os.walk(directory):
        for name in names:
            with contextlib.suppress(OSError):
                status = os.lstat(os.path.join(place, name))
                seen[status.st_dev, status.st_ino] = status.st_blocks * 512
    return sum(seen.values())


def remove_damaged(cache: _cache.Cache) -> collections.abc.Iterator[str]:
    """Check every entry, and remove the damaged ones.

    :returns: the digests of the removed entries.
    """
    for directory in sorted(cache.layers.iterdir()):
        if directory.name.startswith("."):
            continue
        with _locked(cache, directory.name) as free:
            if not free:
                # the process that uses the entry has checked it
                continue
            entry = cache.read(directory.name)
            if entry is not None and _cache.is_whole(entry):
                continue
            cache.remove(directory.name)
            yield directory.name


@contextlib.contextmanager
def _locked(
    cache: _cache.Cache, digest: str
) -> collections.abc.Iterator[bool]:
    """Hold an entry's lock if it is free; remove a lock that is untrusted.

    Yields whether the entry is free: no other process holds its lock.
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
    """Remove the least recently used entries until the layers fit a limit.

    :param limit: the total size of the layers, in bytes.
    :param warn: called with leftovers of a killed build that cannot be
        removed.
    :param stale: also remove entries that are too old to be used.
    :returns: the removed entries.
    """
    abandoned(cache, warn)
    found = entries(cache)
    total = sum(entry.record.size for entry in found)
    for entry in reversed(found):
        if total <= limit and not (stale and cache.is_stale(entry.record)):
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
    """Remove what killed builds left: entries, downloads, network files.

    :param warn: called with each leftover that cannot be removed.
    :returns: the removed directories.
    """
    return [
        *cleanup.remove_dead(cache.layers.glob(f"{_cache.PARTIAL}*"), warn),
        *downloads.abandoned(cache.downloads, warn),
        *session.abandoned(warn),
    ]


def push_layers(
    digests: collections.abc.Iterable[str],
    cache: _cache.Cache,
    remote: remote_cache.RemoteCache,
    screen: console.Console,
) -> list[_cache.Entry]:
    """Write layers, and what they were built on, to the registry.

    Layers that are not in the cache, that are too old, or that another
    process removes at this moment are left out.

    :param digests: the layers' digests.
    :returns: the layers that were written.
    """
    written = []
    with screen.progress("the cache in the registry") as progress:
        for digest in _list_all(digests, cache):
            if not remote.is_usable(remote.target):
                break
            with cache.locked(digest, shared=True, wait=False) as free:
                entry = cache.find(digest) if free else None
                if entry is not None and remote.push(entry, progress.state):
                    written.append(entry)
    return written


def _list_all(
    digests: collections.abc.Iterable[str], cache: _cache.Cache
) -> list[str]:
    """Return the digests of layers and of the entries that they use."""
    found: dict[str, None] = {}
    for digest in digests:
        entry = cache.read(digest)
        if entry is not None:
            found |= dict.fromkeys([*entry.record.uses, digest])
    return list(found)


def fetch_layers(
    cache: _cache.Cache,
    remote: remote_cache.RemoteCache,
    screen: console.Console,
) -> list[_cache.Entry]:
    """Fetch all layers that the local cache does not have.

    :returns: the layers that were fetched.
    :raises RegistryError: a repository cannot be read.
    """
    fetched = []
    with screen.progress("the local cache") as progress:
        for repository in remote.sources:
            for layer in remote.list_layers(repository):
                digest = layer.record.digest
                with cache.locked(digest):
                    if cache.find(digest) is None:
                        entry = remote.fetch(digest, cache, progress.state)
                        if entry is not None:
                            fetched.append(entry)
    return fetched


def prune_target(
    cache: _cache.Cache, remote: remote_cache.RemoteCache
) -> collections.abc.Iterator[remote_cache.RemoteLayer]:
    """Delete the layers of the target that are too old.

    :returns: the deleted layers.
    :raises RegistryError: the registry cannot be read, or does not allow it.
    """
    if remote.target is None:
        return
    for layer in remote.list_layers(remote.target):
        if cache.is_stale(layer.record):
            remote.target.delete_manifest(layer.manifest)
            yield layer
