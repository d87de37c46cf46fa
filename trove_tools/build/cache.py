# SPDX-License-Identifier: Apache-2.0
"""The cache of layers: content-addressed, shared by all builds of a user.

``CACHE/layers/DIGEST`` holds a layer's root as an archive and, beside it, a
record.  The digest is that of what the layer was made from.  An entry is
written under another name and renamed when it is complete; the record has
the archive's own digest, so that a damaged one is noticed.

``CACHE/locks/DIGEST`` is locked (flock(2)) by all who read or write an
entry, and so by none who was killed.
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
from trove_tools.host import bounds
from trove_tools.host import credentials
from trove_tools.host import digests
from trove_tools.host import trust

ARCHIVE = "root.tar.zst"
_RECORD = "record.json"
_VERSION = 1
PARTIAL = ".partial-"


@dataclasses.dataclass(frozen=True)
class Record:
    """What is known of a layer that was built.

    :param inputs: the layer, as the plan has it.
    :param size: of the archive, bytes.
    :param sha256: of the archive.
    :param created: when it was built, UTC, in ISO 8601.
    :param since: when the first layer of its chain was built: how old the
        packages in it may be.
    :param facts: what the build found out, for the image's manifest.
    :param timeline: what its build did, as a span of kind layer.
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

    def is_valid(self) -> bool:
        """Tell whether each value is of its type, as JSON does not say."""
        try:
            for moment in (self.created, self.since):
                datetime.datetime.fromisoformat(moment).timestamp()
        except (TypeError, ValueError, OverflowError):
            return False
        return (
            self.version == _VERSION
            and all(
                isinstance(text, str)
                for text in (self.name, self.digest, self.sha256)
            )
            and isinstance(self.size, int)
            and all(
                isinstance(mapping, dict)
                for mapping in (self.inputs, self.facts, self.timeline)
            )
        )


class Entry(typing.NamedTuple):
    """A layer in the cache.

    :param used: when it was last used, seconds since 1970.
    """

    directory: pathlib.Path
    record: Record
    used: float

    @property
    def archive(self) -> pathlib.Path:
        """The layer's root."""
        return self.directory / ARCHIVE


class Cache:
    """The cache in a directory.

    :param directory: made if it is not there.
    :param not_before: what was begun earlier is too old to be used, seconds
        since 1970.
    :raises UsageError: it cannot be written to, or others can write to it.
    """

    def __init__(
        self, directory: pathlib.Path, not_before: float = 0
    ) -> None:
        self.directory = directory.absolute()
        self.layers = self.directory / "layers"
        self.downloads = self.directory / "downloads"
        #: links to the workspaces of builds, see :mod:`.workspace`
        self.workspaces = self.directory / "workspaces"
        self.not_before = not_before
        self._locks = self.directory / "locks"
        try:
            self.directory.mkdir(parents=True, exist_ok=True)
            # a link that the user has named is followed, none below it
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
                hint="give --cache-dir a directory that you may write to",
            ) from exc

    @contextlib.contextmanager
    def locked(
        self, digest: str, *, shared: bool = False, wait: bool = True
    ) -> collections.abc.Iterator[bool]:
        """Hold an entry's lock.

        :param shared: with others who only read.
        :param wait: until it can be had; else tell whether it could.
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

    def remove_lock(self, digest: str) -> None:
        """Remove what stands in the place of a lock and is none."""
        (self._locks / digest).unlink(missing_ok=True)

    def find(self, digest: str) -> Entry | None:
        """Return an entry that is whole and not too old.

        Whoever calls holds its lock.  It counts as used now.

        :returns: nothing where there is none, or none that can be used.
        """
        entry = self.read(digest)
        if (
            entry is None
            or self.is_stale(entry)
            or not digests.is_same(entry.archive, entry.record.sha256)
        ):
            return None
        os.utime(entry.directory / _RECORD)
        return entry

    def read(self, digest: str) -> Entry | None:
        """Return an entry as its record describes it.

        Whether its archive is intact is not checked.

        :returns: nothing where there is none, or where another user can have
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

    def is_stale(self, entry: Entry) -> bool:
        """Tell whether the packages in a layer may be too old."""
        since = datetime.datetime.fromisoformat(entry.record.since)
        return since.timestamp() < self.not_before

    @contextlib.contextmanager
    def partial(self) -> collections.abc.Iterator[pathlib.Path]:
        """Give a directory in which an entry is made; remove it if it fails.

        No name is used twice: what a killed build's children still write
        does not get into another's.
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
        """Make an entry of what :meth:`partial` gave; replace an older one.

        Whoever calls holds its lock.

        :param values: the record's, but those of the archive and the time.
        """
        archive = place / ARCHIVE
        created = datetime.datetime.now(datetime.UTC).isoformat()
        record = Record(
            size=archive.stat().st_size,
            sha256=digests.compute(archive, ["sha256"])["sha256"],
            created=created,
            **{"since": created, **values},
        )
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
        """Remove an entry, at once and then its files.

        Whoever calls holds its lock.
        """
        final = self.layers / digest
        if not final.exists():
            return
        place = tempfile.mkdtemp(prefix=PARTIAL, dir=self.layers)
        final.rename(pathlib.Path(place, digest))
        shutil.rmtree(place)


def is_whole(entry: Entry) -> bool:
    """Read an entry's archive, and tell whether it is as it was written."""
    try:
        if entry.archive.stat().st_size != entry.record.size:
            return False
        found = digests.compute(entry.archive, ["sha256"])
    except OSError:
        return False
    return found["sha256"] == entry.record.sha256
