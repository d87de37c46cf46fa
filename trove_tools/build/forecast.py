# SPDX-License-Identifier: Apache-2.0
"""Forecasts builds: what is there, what each needs, and how long it takes.

The forecasts of several plans are a build matrix: a build needs another one
first if that one builds a layer for both.
"""

import collections.abc
import dataclasses
import pathlib
import typing

from trove_tools import errors
from trove_tools.artifact import manifest
from trove_tools.artifact import signature
from trove_tools.build import cache as _cache
from trove_tools.build import cache_maintenance
from trove_tools.build import previous
from trove_tools.build import remote_cache
from trove_tools.build import remote_images
from trove_tools.plan import plan as _plan

#: The seconds of each layer's build on two idle processors, measured with
#: mariadb on debian-13 and an empty cache; the last entry is the rest of the
#: build.
TYPICAL = {"base": 75, "runtime": 45, "datastore": 15, "agent": 35}

#: Where an image or a layer is.
FILE, CACHE, REGISTRY, BUILT, UNUSED = (
    "file", "cache", "registry", "build", "not needed",
)  # fmt: skip


@dataclasses.dataclass(frozen=True)
class Forecast:
    """What a build would do.

    :param image: where the image is: file (in the output directory), registry,
        or build.
    :param layers: where each layer below the last one is, by name: cache,
        registry, build, or not needed.
    :param seconds: the expected duration; 0 if the image is a file.
    :param guessed: the layers whose durations are typical ones, as none was
        built here.
    :param needs: the names of the images that are to be built first.
    """

    image: str
    layers: dict[str, str]
    seconds: float
    guessed: tuple[str, ...]
    needs: tuple[str, ...]

    def as_dict(self) -> dict[str, typing.Any]:
        """Return the forecast as plain data, for a row of a matrix."""
        return {
            "image_in": self.image,
            "layers_in": self.layers,
            "seconds": round(self.seconds),
            "needs": list(self.needs),
        }


class Forecaster:
    """Makes forecasts on this host.

    :param cache: the cache of layers; None if it cannot be used.
    :param output: the directory of the images.
    :param trusted: the keys that must have signed an image that is there.
    :param remote: the layers in a registry, if it is used.
    :param shared: the images in a registry, if it is used.
    """

    def __init__(
        self,
        cache: _cache.Cache | None,
        output: pathlib.Path,
        *,
        trusted: signature.TrustedKeys | None = None,
        remote: remote_cache.RemoteCache | None = None,
        shared: remote_images.SharedImages | None = None,
    ) -> None:
        self.manifests = _read_manifests(output)
        self._cache = cache
        self._output = output
        self._trusted = trusted
        self._remote = remote
        self._shared = shared
        self._known = {
            entry.record.name: float(entry.record.timeline["seconds"])
            for entry in reversed(
                cache_maintenance.entries(cache) if cache else []
            )
            if "seconds" in entry.record.timeline
        }

    def make_forecasts(
        self, plans: collections.abc.Iterable[_plan.Plan]
    ) -> list[Forecast]:
        """Return the forecasts of builds, in the order of the plans."""
        builders: dict[str, str] = {}
        forecasts = []
        for plan in plans:
            image = self._find_image(plan)
            layers = self._find_layers(plan)
            wanted, needs = [], []
            if image == BUILT:
                for layer in plan.layers[:-1]:
                    if layers[layer.name] != BUILT:
                        continue
                    if layer.digest in builders:
                        needs.append(builders[layer.digest])
                    else:
                        builders[layer.digest] = plan.name
                        wanted.append(layer.name)
                wanted.append(plan.layers[-1].name)
            known = self._list_seconds(plan)
            forecasts.append(
                Forecast(
                    image,
                    layers,
                    sum(known.get(name, TYPICAL[name]) for name in wanted),
                    tuple(name for name in wanted if name not in known),
                    tuple(dict.fromkeys(needs)),
                )
            )
        return forecasts

    def _find_image(self, plan: _plan.Plan) -> str:
        if previous.find_current(plan, self._output, self._trusted):
            return FILE
        if self._shared is not None and self._shared.find(plan) is not None:
            return REGISTRY
        return BUILT

    def _find_layers(self, plan: _plan.Plan) -> dict[str, str]:
        """Return where the layers of a plan are, the lowest first."""
        found: dict[str, str] = {}
        for layer in reversed(plan.layers[:-1]):
            if found and set(found.values()) != {BUILT}:
                found[layer.name] = UNUSED
            else:
                found[layer.name] = self._find_layer(layer.digest)
        return dict(reversed(found.items()))

    def _find_layer(self, digest: str) -> str:
        if self._cache is None:
            return BUILT
        entry = self._cache.read(digest)
        if entry is not None and self._cache.is_usable(entry.record):
            return CACHE
        if self._remote and self._remote.find(digest, self._cache):
            return REGISTRY
        return BUILT

    def _list_seconds(self, plan: _plan.Plan) -> dict[str, float]:
        """Return the durations of earlier builds, by layer."""
        last = plan.layers[-1].name
        known = dict(self._known)
        for made in self.manifests[:1]:
            known[last] = sum(
                span["seconds"]
                for span in made.timeline
                if span["kind"] != "layer" or span["name"] == last
            )
        return known


def _read_manifests(output: pathlib.Path) -> list[manifest.Manifest]:
    """Return the manifests of a directory's images, the newest first."""
    manifests = []
    for file in output.glob("*.d/manifest.json"):
        try:
            manifests.append(manifest.load(file))
        except errors.ImageError:
            continue
    return sorted(manifests, key=lambda made: made.created, reverse=True)
