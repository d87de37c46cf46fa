# SPDX-License-Identifier: Apache-2.0
"""The cache of layers: content-addressed, shared by all builds of a user.

``CACHE/layers/DIGEST`` contains the root file system of a layer as an archive,
and a record. DIGEST covers the inputs of the layer. The archives that the
containers of several images share are entries, too. An entry is written under
a temporary name and renamed when it is complete; the record contains the
digest of the archive, so that damage is detected. Readers and writers of an
entry lock ``CACHE/locks/DIGEST`` with flock(2), so a killed process leaves no
lock behind.
"""

import collections.abc
import contextlib
import dataclasses
import datetime
import fcntl
import json
import os
import pathlib
import shutil
import tempfile
import time
import typing

from trove_tools import errors
from trove_tools.artifact import signature
from trove_tools.host import bounds
from trove_tools.host import credentials
from trove_tools.host import digests
from trove_tools.host import trust

ARCHIVE = "root.tar.zst"
_RECORD = "record.json"
_VERSION = 1
PARTIAL = ".partial-"
# seconds
_PAUSE = 0.1


@dataclasses.dataclass(frozen=True)
class Record:
    """The record of a layer, or of another archive, in the cache.

    :param inputs: the layer, as in the plan.
    :param size: the size of the archive, in bytes.
    :param sha256: the digest of the archive.
    :param created: the time of the layer's build, UTC, in ISO 8601.
    :param since: the time of the lowest layer's build, UTC, in ISO 8601; the
        packages were downloaded no earlier.
    :param facts: facts from the build for the image's manifest.
    :param timeline: the timeline of its build, as a span of kind layer.
    :param origin: the repository that it was fetched from; empty if it was
        built on this host.
    :param signed_by: the fingerprint of the key that signed it there.
    :param unsigned: it, or an entry that it was built on, was fetched without
        a signature of a trusted key.
    :param keys: the fingerprints of the keys that signed it, or an entry that
        it was built on; empty if nothing was fetched.
    :param uses: the digests of the entries that it was built on, without the
        layer below.
    """

    name: str
    digest: str
    inputs: dict[str, typing.Any]
    size: int
    sha256: str
    created: str
    since: str
    facts: dict[str, typing.Any]
    timeline: dict[str, typing.Any]
    version: int = _VERSION
    origin: str = ""
    signed_by: str = ""
    unsigned: bool = False
    keys: list[str] = dataclasses.field(default_factory=list)
    uses: list[str] = dataclasses.field(default_factory=list)

    def is_valid(self) -> bool:
        """Return whether all values read from JSON have the right types."""
        try:
            for moment in (self.created, self.since):
                datetime.datetime.fromisoformat(moment).timestamp()
        except (TypeError, ValueError, OverflowError):
            return False
        return (
            self.version == _VERSION
            and all(
                isinstance(text, str)
                for text in (
                    self.name, self.digest, self.sha256, self.origin,
                    self.signed_by,
                )
            )
            and isinstance(self.size, int)
            and isinstance(self.unsigned, bool)
            and bounds.is_list_of(self.keys, str)
            and bounds.is_list_of(self.uses, str)
            and all(
                isinstance(mapping, dict)
                for mapping in (self.inputs, self.facts, self.timeline)
            )
        )


class Entry(typing.NamedTuple):
    """A layer in the cache.

    :param used: the time of the last use, in seconds since 1970.
    """

    directory: pathlib.Path
    record: Record
    used: float

    @property
    def archive(self) -> pathlib.Path:
        """The archive of the layer's root file system."""
        return self.directory / ARCHIVE


class Cache:
    """The cache in a directory.

    :param directory: the directory; created if it does not exist.
    :param not_before: seconds since 1970; entries whose lowest layer was built
        earlier are too old to be used.
    :param allow_unsigned: use layers that were fetched, whoever signed them.
    :param trusted: the keys whose layers are used; layers that were built on
        this host need none.
    :raises UsageError: the directory is not writable, or is writable by other
        users.
    """

    def __init__(
        self,
        directory: pathlib.Path,
        not_before: float = 0,
        allow_unsigned: bool = False,
        trusted: signature.TrustedKeys | None = None,
    ) -> None:
        self.directory = directory.absolute()
        self.layers = self.directory / "layers"
        self.downloads = self.directory / "downloads"
        #: links to the workspaces of builds, see :mod:`.workspace`
        self.workspaces = self.directory / "workspaces"
        self.not_before = not_before
        self.allow_unsigned = allow_unsigned
        self.trusted = trusted
        self._locks = self.directory / "locks"
        try:
            self.directory.mkdir(parents=True, exist_ok=True)
            # symbolic links in the user's path are followed, but not those
            # in the cache itself
            for place in (
                self.directory.resolve(), self.layers, self.downloads,
                self._locks, self.workspaces,
            ):  # fmt: skip
                place.mkdir(exist_ok=True)
                trust.require_own(place, "the cache")
            trust.require_own_place(self.directory.resolve(), "the cache")
            with tempfile.TemporaryFile(dir=self.layers):
                pass
        except OSError as exc:
            raise errors.UsageError(
                f"the cache {self.directory} cannot be used: {exc.strerror}",
                hint="set --cache-dir to a directory that you can write to",
            ) from exc

    def at(self, directory: pathlib.Path) -> "Cache":
        """Return the same cache by another path."""
        return Cache(
            directory, self.not_before, self.allow_unsigned, self.trusted
        )

    @contextlib.contextmanager
    def locked(
        self, digest: str, *, shared: bool = False, wait: bool = True
    ) -> collections.abc.Iterator[bool]:
        """Hold an entry's lock.

        :param shared: share the lock with other readers.
        :param wait: wait for the lock; otherwise yield whether it was
            acquired.
        """
        kind = fcntl.LOCK_SH if shared else fcntl.LOCK_EX
        descriptor = trust.open_own(
            self._locks / digest, os.O_RDWR | os.O_CREAT, "the lock"
        )
        try:
            try:
                fcntl.flock(descriptor, kind | (0 if wait else fcntl.LOCK_NB))
            except BlockingIOError:
                yield False
            else:
                yield True
        finally:
            os.close(descriptor)

    @contextlib.contextmanager
    def hold(
        self,
        digest: str,
        make: collections.abc.Callable[[], None],
        wait: collections.abc.Callable[[], None] = lambda: None,
    ) -> collections.abc.Iterator[tuple[Entry, bool]]:
        """Yield an entry that is locked against removal; make it if needed.

        :param make: puts the entry into the cache; called with its lock held.
        :param wait: called before this waits for another build of the entry.
        :returns: the entry, and whether it was made now.
        """
        made = False
        while True:
            with self.locked(digest, shared=True, wait=False) as free:
                if not free:
                    wait()
            with self.locked(digest, shared=True):
                entry = self.find(digest)
                if entry is not None:
                    yield entry, made
                    return
            # waiting for this lock would be waiting for all readers, too
            with self.locked(digest, wait=False) as alone:
                if alone and self.find(digest) is None:
                    make()
                    made = True
            if not alone:
                time.sleep(_PAUSE)

    def remove_lock(self, digest: str) -> None:
        """Remove an entry's lock file, which another user may have written."""
        (self._locks / digest).unlink(missing_ok=True)

    def find(self, digest: str) -> Entry | None:
        """Return an entry that is intact and not too old; mark it as used.

        The caller must hold its lock.

        :returns: None if there is no usable entry.
        """
        entry = self.read(digest)
        if (
            entry is None
            or not self.is_usable(entry.record)
            or not digests.is_same(entry.archive, entry.record.sha256)
        ):
            return None
        os.utime(entry.directory / _RECORD)
        return entry

    def read(self, digest: str) -> Entry | None:
        """Return an entry without checking that its archive is intact.

        :returns: None if there is no entry, or if another user may have
            written it.
        """
        directory = self.layers / digest
        file = directory / _RECORD
        if not all(
            trust.is_own(path)
            for path in (directory, file, directory / ARCHIVE)
        ):
            return None
        try:
            record = Record(**bounds.read_json(file))
            if not record.is_valid() or record.digest != digest:
                return None
            return Entry(directory, record, file.stat().st_mtime)
        except (OSError, ValueError, TypeError):
            return None

    def is_stale(self, record: Record) -> bool:
        """Return whether the packages in a layer may be too old."""
        since = datetime.datetime.fromisoformat(record.since)
        return since.timestamp() < self.not_before

    def is_usable(self, record: Record) -> bool:
        """Return whether a layer is neither too old nor untrusted.

        A key that was trusted when a layer was fetched may have been removed
        since.
        """
        if self.is_stale(record):
            return False
        known = self.trusted.keys if self.trusted else ()
        return self.allow_unsigned or not (
            record.unsigned
            or set(record.keys) - {key.fingerprint for key in known}
        )

    @contextlib.contextmanager
    def partial(self) -> collections.abc.Iterator[pathlib.Path]:
        """Yield a directory for a new entry; remove it if the build fails.

        Names are never reused, so children of a killed build cannot write into
        the entry of another build.
        """
        place = tempfile.mkdtemp(prefix=PARTIAL, dir=self.layers)
        lock = os.open(place, os.O_RDONLY | os.O_DIRECTORY)
        try:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield pathlib.Path(place)
        finally:
            shutil.rmtree(place, ignore_errors=True)
            os.close(lock)

    def put(self, place: pathlib.Path, **values: typing.Any) -> Entry:
        """Create or replace an entry from the directory of :meth:`partial`.

        The caller must hold the entry's lock.

        :param values: the values of the record, except size, sha256 and
            created.
        """
        archive = place / ARCHIVE
        created = datetime.datetime.now(datetime.UTC).isoformat()
        record = Record(
            size=archive.stat().st_size,
            sha256=digests.compute(archive, ["sha256"])["sha256"],
            created=created,
            **{"since": created, **values},
        )
        return self.adopt(place, record)

    def adopt(self, place: pathlib.Path, record: Record) -> Entry:
        """Create or replace an entry whose record is known.

        The caller must hold the entry's lock.

        :param place: the directory of :meth:`partial`, with the archive.
        """
        file = place / _RECORD
        with open(file, "w") as stream:
            content = credentials.hide_all(dataclasses.asdict(record))
            json.dump(content, stream, indent=2)
            stream.flush()
            os.fsync(stream.fileno())
        final = self.layers / record.digest
        self.remove(record.digest)
        place.rename(final)
        return Entry(final, record, time.time())

    def remove(self, digest: str) -> None:
        """Remove an entry: rename it first, then delete its files.

        The caller must hold its lock.
        """
        final = self.layers / digest
        if not final.exists():
            return
        place = tempfile.mkdtemp(prefix=PARTIAL, dir=self.layers)
        final.rename(pathlib.Path(place, digest))
        shutil.rmtree(place)


def is_whole(entry: Entry) -> bool:
    """Read an entry's archive and return whether it is intact."""
    try:
        if entry.archive.stat().st_size != entry.record.size:
            return False
        found = digests.compute(entry.archive, ["sha256"])
    except OSError:
        return False
    return found["sha256"] == entry.record.sha256
