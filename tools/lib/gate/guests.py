# SPDX-License-Identifier: Apache-2.0
"""The jobs with a guest: images that are built, scenarios that are played.

Both are made of the catalog: an image for each datastore, runtime and guest
system; a scenario for each that a datastore passes.
"""

import collections.abc
import dataclasses
import functools

from gate import rules
from trove_tools.catalog import gate
from trove_tools.catalog import model
from trove_tools.catalog import native
from trove_tools.plan import elements as _elements
from trove_tools.sources.native import sources

#: Kinds of images, in the order in which representatives are chosen.
KINDS = (model.CONTAINER, *gate.KINDS)

_EXPERIMENTAL = "experimental"


@dataclasses.dataclass(frozen=True)
class Guest:
    """A job in which a guest runs.

    :param kind: where the datastore comes from, or which scenario.
    :param version: the datastore's.
    :param runtime: how the datastore runs in the guest.
    :param system: the guest system.
    :param named: elements that the datastore itself asks for.
    :param elements: all of this project's elements in the image.
    :param touched: which of the rules' words concern it.
    :param voting: whether a failure keeps a change out.
    """

    name: str
    kind: str
    datastore: model.Datastore
    version: str
    runtime: str
    system: model.Guest
    named: frozenset[str]
    elements: frozenset[str]
    touched: frozenset[str]
    voting: bool = True

    @property
    def scenario(self) -> bool:
        """Whether it plays a scenario in a cloud."""
        return rules.CLOUD in self.touched

    def own(self) -> tuple[rules.Matcher, ...]:
        """Return the files that are about its datastore."""
        store = self.datastore
        found = [
            rules.Matcher(
                rf"^trove_tools/catalog/datastores/{store.name}\.yaml$",
                f"the catalog's entry of {store.name}",
            )
        ]
        container = store.runtimes[self.runtime].container
        if container is not None and container.recipe:
            found.append(
                rules.Matcher(
                    f"^trove_tools/sources/container/recipes/{container.recipe}/",
                    f"the recipe of {store.name}'s container",
                )
            )
        return tuple(found)


def images(catalog: model.Catalog) -> tuple[Guest, ...]:
    """Return the jobs that build and verify an image."""
    found = []
    for store in catalog.datastores.values():
        for runtime in store.runtimes:
            for system in catalog.guests.values():
                version = store.version_for(runtime, system.name)
                kind = store.source(runtime)
                # there is no stand-in of a vendor's package for these
                given = kind == native.FILE and system.family != "debian"
                if version is None or given:
                    continue
                found.append(_image(store, version, runtime, system, kind))
    return tuple(found)


def scenarios(catalog: model.Catalog) -> tuple[Guest, ...]:
    """Return the jobs that play a scenario with a datastore's own image."""
    found = []
    for store in catalog.datastores.values():
        image = next(
            (each for each in images(catalog) if each.datastore == store), None
        )
        for scenario in store.scenarios if image else ():
            assert image is not None
            found.append(
                dataclasses.replace(
                    image,
                    name=f"trove-tools-scenario-{scenario}-{store.name}",
                    kind=scenario,
                    version=store.default_version,
                    touched=image.touched | {rules.CLOUD},
                )
            )
    return tuple(found)


def _image(
    store: model.Datastore,
    version: model.Version,
    runtime: str,
    system: model.Guest,
    kind: str,
) -> Guest:
    way = store.runtimes[runtime]
    shared, wanted = set(way.shared_elements), set(way.elements)
    if runtime == model.NATIVE:
        settings = version.native[system.name]
        file = settings.file
        needed = sources.elements(
            settings,
            repository=settings.repository is not None,
            package=file is not None and file.archive is None,
        )
        shared.update(needed)
        # the datastore asks for it, as for those it names
        wanted.update({sources.HUGEPAGES}.intersection(needed))
    else:
        shared.add(_elements.LOCAL_MANIFESTS)
    library = _library()
    everything = (
        *_elements.ALWAYS, _elements.disk("mbr"),
        _elements.boot_loader("mbr"),
        *system.elements, *shared, *wanted,
    )  # fmt: skip
    words = ["trove-tools-image", store.name]
    if len(store.runtimes) > 1 and runtime == model.NATIVE:
        words.append(runtime)
    return Guest(
        name="-".join([*words, system.name]),
        kind=kind,
        datastore=store,
        version=version.version,
        runtime=runtime,
        system=system,
        named=frozenset(wanted.intersection(library)),
        elements=frozenset(_elements.reach(everything, library)),
        touched=frozenset({rules.IMAGES, kind}),
        voting=system.tier != _EXPERIMENTAL,
    )


@functools.cache
def _library() -> _elements.Library:
    """Return this project's elements; no others are in the tree."""
    places = (_elements.DIRECTORY,)
    return _elements.read(_elements.names(places), places)


def known() -> frozenset[str]:
    """Return the names of this project's elements."""
    return frozenset(_library())


def representatives(
    jobs: collections.abc.Iterable[Guest],
) -> dict[str, Guest]:
    """Return one job of each kind.

    As far as there are enough, no two have the same guest system, and no
    two the same datastore, so that a few jobs see much.
    """
    chosen: dict[str, Guest] = {}
    by_kind: dict[str, list[Guest]] = {}
    for job in jobs:
        if job.voting:
            by_kind.setdefault(job.kind, []).append(job)
    order = [kind for kind in KINDS if kind in by_kind]
    order += [kind for kind in by_kind if kind not in order]
    for kind in order:
        systems = {each.system.name for each in chosen.values()}
        stores = {each.datastore.name for each in chosen.values()}
        chosen[kind] = min(
            by_kind[kind],
            key=lambda job: (
                job.system.name in systems, job.datastore.name in stores
            ),
        )  # fmt: skip
    return chosen
