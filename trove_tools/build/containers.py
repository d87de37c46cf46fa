# SPDX-License-Identifier: Apache-2.0
"""Prepares the containers of datastores for their element.

Making a container takes half a minute of processor time and does not depend on
the image's layers or on other containers, so it runs in parallel with them.
The build waits for the containers at the end, so its progress line shows both
its own state and the containers that are still being made.
"""

import collections.abc
import concurrent.futures
import contextlib
import hashlib
import json
import pathlib
import threading
import typing

from trove_tools import console
from trove_tools import errors
from trove_tools.build import cache as _cache
from trove_tools.build import dib
from trove_tools.build import remote_cache
from trove_tools.host import debian
from trove_tools.sources.container import prepare as _prepare
from trove_tools.sources.container import rootfs
from trove_tools.sources.container import sources


class Lanes(console.Progress):
    """Combines several states into one progress line.

    :param shown: the progress line.
    """

    def __init__(self, shown: console.Progress) -> None:
        self._shown = shown
        # several threads change states
        self._lock = threading.Lock()
        self._state = ""
        self._beside: list[Lane] = []

    def state(self, text: str) -> None:
        """Set the state of the build itself."""
        with self._lock:
            self._state = text
            self._show()

    def advance(self, amount: int = 1) -> None:
        """Count finished work in any lane."""
        with self._lock:
            self._shown.advance(amount)

    def beside(self) -> "Lane":
        """Return a lane for parallel work; :meth:`Lane.end` ends it."""
        return Lane(self)

    def set(self, lane: "Lane", text: str) -> None:
        """Set the state of a lane; an empty state ends the lane."""
        with self._lock:
            lane.text = text
            others = [each for each in self._beside if each is not lane]
            self._beside = [*others, lane] if text else others
            self._show()

    def _show(self) -> None:
        text = self._state
        beside = ", ".join(lane.text for lane in self._beside)
        if beside:
            text += f"; in the making: {beside}" if text else beside
        if text:
            self._shown.state(text)


class Lane(console.Progress):
    """The progress of work in parallel with a build."""

    def __init__(self, lanes: Lanes) -> None:
        self._lanes = lanes
        self.text = ""

    def state(self, text: str) -> None:
        """Set the state of this lane."""
        self._lanes.set(self, text)

    def advance(self, amount: int = 1) -> None:
        """Count finished work."""
        self._lanes.advance(amount)

    def end(self) -> None:
        """End this lane."""
        self._lanes.set(self, "")


@contextlib.contextmanager
def beside(
    run: dib.Run,
    make: collections.abc.Callable[[dib.Run], list[_prepare.Prepared]],
) -> collections.abc.Iterator[
    concurrent.futures.Future[list[_prepare.Prepared]]
]:
    """Make archives of containers in parallel while this context lasts.

    The element waits while the file ``.busy`` exists.  If the context ends
    early, it does not wait for the work: cleaning up the workspace ends the
    programs.

    :param make: a call of :func:`prepare` for a run.
    :returns: a future with the result of ``make``.
    :raises BuildError: a container is not available or has another version.
    """
    busy = run.containers / ".busy"
    busy.touch()

    def work() -> list[_prepare.Prepared]:
        try:
            return make(run)
        except BaseException:
            (run.containers / ".failed").touch()
            raise
        finally:
            busy.unlink(missing_ok=True)

    pool = concurrent.futures.ThreadPoolExecutor(1)
    future = pool.submit(work)
    try:
        yield future
    except errors.BuildError:
        # the element failed because the containers failed
        if future.done():
            future.result()
        raise
    finally:
        pool.shutdown(wait=False)


class Archives:
    """Provides archives that containers share, as entries of the cache.

    :param cache: the cache of layers.
    :param remote: the entries in a registry, if it is used.
    """

    def __init__(
        self,
        cache: _cache.Cache,
        remote: remote_cache.RemoteCache | None = None,
    ) -> None:
        self._cache = cache
        self._remote = remote
        #: the records of the entries that were used, by digest
        self.used: dict[str, _cache.Record] = {}

    @contextlib.contextmanager
    def keep(
        self,
        name: str,
        inputs: dict[str, typing.Any],
        make: collections.abc.Callable[[pathlib.Path], None],
    ) -> collections.abc.Iterator[pathlib.Path]:
        """Provide an archive: from the cache, the registry, or made now.

        See :class:`trove_tools.sources.container.rootfs.Keep`.
        """
        text = json.dumps(inputs, sort_keys=True)
        digest = hashlib.sha256(text.encode()).hexdigest()

        def provide() -> None:
            if self._remote and self._remote.fetch(digest, self._cache):
                return
            with self._cache.partial() as place:
                make(place / _cache.ARCHIVE)
                self._cache.put(
                    place, name=name, digest=digest, inputs=inputs,
                    facts={}, timeline={},
                )  # fmt: skip

        with self._cache.hold(digest, provide) as (entry, _):
            self.used[digest] = entry.record
            yield entry.archive


def prepare(
    containers: collections.abc.Iterable[sources.Container],
    run: dib.Run,
    conditions: rootfs.Conditions,
    progress: Lanes,
    at_once: int,
) -> list[_prepare.Prepared]:
    """Make archives of containers.

    :param progress: the progress of the build.
    :param at_once: how many are made at a time.
    :raises BuildError: a container is not available or has another version.
    """

    def obtain(container: sources.Container) -> _prepare.Obtained:
        lane = progress.beside()
        lane.state(container.title)
        try:
            found = _prepare.obtain(
                container, run.containers, conditions, run.write_log
            )
        finally:
            lane.end()
        servers = () if container.backup else container.packages[:1]
        for server in servers:
            debian.require_version(
                server,
                found.installed,
                container.version,
                conditions.mirrors.archive,
            )
        lane.advance()
        return found

    with concurrent.futures.ThreadPoolExecutor(at_once) as pool:
        obtained = list(pool.map(obtain, containers))
    return _prepare.write_archives(obtained, run.containers, conditions)
