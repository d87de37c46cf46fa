# SPDX-License-Identifier: Apache-2.0
"""Provides an image's lower layers: from the cache, or by building them."""

import collections.abc
import contextlib
import dataclasses
import functools
import os
import pathlib
import typing

from trove_tools.artifact import manifest
from trove_tools.build import cache as _cache
from trove_tools.build import containers
from trove_tools.build import dib
from trove_tools.build import remote_cache
from trove_tools.host import debian
from trove_tools.plan import layers
from trove_tools.sources.container import rootfs
from trove_tools.sources.native import prepare as _prepare
from trove_tools.sources.native import sources

#: The number of progress steps of a layer's build, without its containers.
STEPS = len(dib.PHASES)


class Stack:
    """The layers of an image, except the last.

    :param chain: all layers of the image.
    :param cache: the cache of layers.
    :param run: the settings of diskimage-builder.
    :param progress: the progress of the build.
    :param remote: the layers in a registry, if it is used.
    """

    def __init__(
        self,
        chain: collections.abc.Sequence[layers.Layer],
        cache: _cache.Cache,
        run: dib.Run,
        progress: containers.Lanes,
        remote: remote_cache.RemoteCache | None = None,
    ) -> None:
        self.chain = chain
        self._remote = remote
        self._progress = progress
        self._provided: dict[str, manifest.Layer] = {}
        self._roots: dict[str, pathlib.Path] = {}
        self._cache = cache
        self._run = run
        self._conditions = read_conditions(chain[0], run)

    def describe_layers(self) -> list[manifest.Layer]:
        """Return how the image's layers were provided, the lowest first.

        Layers that were not needed, because a higher layer was cached, are
        included if they are still in the cache.
        """
        return [
            self._provided.get(layer.digest) or self._unused(layer)
            for layer in self.chain[:-1]
        ]

    def _unused(self, layer: layers.Layer) -> manifest.Layer:
        entry = self._cache.read(layer.digest)
        if entry is not None:
            return _describe(entry, True)
        return manifest.Layer(layer.name, layer.digest, True)

    @contextlib.contextmanager
    def top(self) -> collections.abc.Iterator[_cache.Entry]:
        """Yield the layer below the last; build it if it is not cached.

        :raises BuildError: the layer cannot be built.
        """
        with self._held(len(self.chain) - 2) as entry:
            yield entry

    @contextlib.contextmanager
    def _held(
        self, number: int
    ) -> collections.abc.Iterator[_cache.Entry]:
        """Yield a layer, built if necessary, and locked against removal."""
        layer = self.chain[number]
        timeline = self._run.timeline
        with self._cache.hold(
            layer.digest,
            functools.partial(self._provide, number),
            lambda: self._progress.state(
                f"{layer.name}: wait for another build of it"
            ),
        ) as (entry, built):
            cached = not built or bool(entry.record.origin)
            self._provided[layer.digest] = _describe(entry, cached)
            if cached:
                timeline.enter("layer", layer.name, cached=True)
                timeline.leave("layer")
            yield entry

    def _provide(self, number: int) -> None:
        """Fetch a layer from the registry, or build it."""
        layer = self.chain[number]
        if self._remote is not None:
            with self._run.timeline.within("step", f"fetch {layer.name}"):
                if self._remote.fetch(
                    layer.digest, self._cache, self._progress.state
                ):
                    return
        self._build(number)

    def _build(self, number: int) -> None:
        layer = self.chain[number]
        timeline = self._run.timeline
        # if a source is not available or not trusted, the build fails before
        # it runs diskimage-builder
        facts: dict[str, typing.Any] = {}
        if layer.natives:
            with timeline.within("step", "packages"):
                facts["natives"] = prepare_natives(
                    layer.natives,
                    self._run,
                    self._conditions.mirrors.archive or "",
                )
        with contextlib.ExitStack() as stack:
            making = None
            archives = containers.Archives(self._cache, self._remote)
            if layer.containers:
                make = functools.partial(
                    containers.prepare,
                    layer.containers,
                    conditions=dataclasses.replace(
                        self._conditions, keep=archives.keep
                    ),
                    progress=self._progress,
                    at_once=self._count_containers(number),
                )
                making = stack.enter_context(
                    containers.beside(self._run, make)
                )
            parent = None
            if number:
                parent = stack.enter_context(self._held(number - 1))
            place = stack.enter_context(self._cache.partial())
            timeline.enter("layer", layer.name)
            self._roots[layer.digest] = self._run.build_layer(
                layer, place / _cache.ARCHIVE, parent and self.root(parent)
            )
            self._progress.state(f"{layer.name}: store it in the cache")
            if making is not None:
                facts["containers"] = [
                    container.as_dict() for container in making.result()
                ]
            below = [*archives.used.values()]
            if parent:
                below.append(parent.record)
            timeline.leave("layer")
            self._cache.put(
                place,
                name=layer.name,
                digest=layer.digest,
                inputs=layer.as_dict(),
                facts=facts,
                timeline=timeline.as_list()[-1],
                unsigned=any(record.unsigned for record in below),
                keys=sorted({key for record in below for key in record.keys}),
                uses=sorted(archives.used),
                **({"since": parent.record.since} if parent else {}),
            )

    def root(self, entry: _cache.Entry) -> pathlib.Path:
        """Return a layer's root file system for the next layer.

        :returns: the directory of the layer's build if this process has just
            built it and not used it yet; otherwise the layer's archive.
        """
        return self._roots.pop(entry.record.digest, entry.archive)

    def _count_containers(self, number: int) -> int:
        """Return how many containers to make at a time.

        The layers below need a processor, too, if they are built meanwhile.

        :param number: the layer that has the containers.
        """
        below = missing(self.chain[: number + 1], self._cache, self._remote)
        return max(1, (os.cpu_count() or 1) - bool(below))


def read_conditions(base: layers.Layer, run: dib.Run) -> rootfs.Conditions:
    """Return what the containers of an image have in common.

    :param base: the lowest layer, which has the mirrors of all.
    """
    known = base.environment
    return rootfs.Conditions(
        run.distribution,
        run.arch,
        debian.Mirrors(
            known.get(layers.MIRROR), known.get(layers.SECURITY_MIRROR)
        ),
        is_snapshot=layers.SNAPSHOT in known,
        epoch=int(known.get(layers.EPOCH, 0)),
    )


def prepare_natives(
    natives: collections.abc.Iterable[sources.Native],
    run: dib.Run,
    mirror: str,
) -> dict[str, str]:
    """Check the sources of native datastores, and prepare files for elements.

    :param mirror: the URL of the distribution's archive.
    :returns: the server's package by datastore, followed by a blank and the
        version if a vendor's installer leaves no package.
    :raises BuildError: a repository or a package is not as expected.
    """
    cache = run.downloads / "apt" / run.distribution
    servers = {}
    for native in natives:
        run.progress.state(f"packages of {native.datastore}")
        _prepare.prepare(
            native, run.natives, cache=cache, mirror=mirror, log=run.write_log
        )
        file = run.natives / native.datastore / "server"
        servers[native.datastore] = file.read_text().strip()
    return servers


def missing(
    chain: collections.abc.Sequence[layers.Layer],
    cache: _cache.Cache,
    remote: remote_cache.RemoteCache | None = None,
) -> list[layers.Layer]:
    """Return the layers below the last that have to be built.

    Another build may add or remove cached layers at any time.

    :param remote: the layers in a registry, which need not be built either.
    """
    found: list[layers.Layer] = []
    for layer in reversed(chain[:-1]):
        entry = cache.read(layer.digest)
        if entry is not None and cache.is_usable(entry.record):
            break
        if remote is not None and remote.find(layer.digest, cache):
            break
        found.append(layer)
    return found


def _describe(entry: _cache.Entry, cached: bool) -> manifest.Layer:
    record = entry.record
    return manifest.Layer(
        record.name, record.digest, cached, record.created, record.size,
        record.origin, record.signed_by, record.unsigned,
    )  # fmt: skip
