# SPDX-License-Identifier: Apache-2.0
"""Which datastores the gate builds and boots, by what the catalog says.

Not every image is built for every change: one of each kind is, a kind being
where the datastore comes from.  The others differ from it in data only, and
are built by whoever asks for all.
"""

import collections.abc

from trove_tools.catalog import model
from trove_tools.catalog import native

#: Where datastores come from, in the order in which they are chosen.
KINDS = (native.DISTRIBUTION, native.REPOSITORY, native.FILE)


def containers(catalog: model.Catalog) -> list[str]:
    """Return the datastores whose containers packages make by default."""
    return [
        entry.name
        for entry in catalog.datastores.values()
        if (runtime := entry.runtimes.get(model.CONTAINER))
        and runtime.container is not None
        and runtime.container.packages_for(entry.default_version, None)
    ]


def natives(catalog: model.Catalog, guest: str) -> dict[str, str]:
    """Return one datastore of each kind, all for one guest system.

    Their ports differ, so that one image can have them all.

    :param guest: the guest system.
    :returns: the datastore by its kind.
    """
    chosen: dict[str, str] = {}
    ports: set[int] = set()
    for kind in KINDS:
        for entry in _made_for(catalog, guest):
            if entry.source(model.NATIVE) == kind and not ports.intersection(
                entry.ports
            ):
                chosen[kind] = entry.name
                ports.update(entry.ports)
                break
    return chosen


def booted(catalog: model.Catalog) -> set[tuple[str, str, str]]:
    """Return what the gate boots: datastores, versions and runtimes."""
    guest = system(catalog)
    found = set()
    for name in containers(catalog):
        entry = catalog.datastore(name)
        found.add((name, entry.default_version, model.CONTAINER))
    for name in natives(catalog, guest).values():
        entry = catalog.datastore(name)
        version = entry.version_for(model.NATIVE, guest)
        assert version is not None
        found.add((name, version.version, model.NATIVE))
    return found


def system(catalog: model.Catalog) -> str:
    """Return the guest system that has a datastore of every kind.

    :raises LookupError: none has.
    """
    for name in catalog.guests:
        if len(natives(catalog, name)) == len(KINDS):
            return name
    raise LookupError("no guest system has a datastore of every kind")


def _made_for(
    catalog: model.Catalog, guest: str
) -> collections.abc.Iterator[model.Datastore]:
    """Yield what a guest system has: what matters, then what is small."""
    for entry in sorted(
        catalog.datastores.values(),
        key=lambda each: (each.manager is None, each.min_ram, each.name),
    ):
        if entry.version_for(model.NATIVE, guest) is not None:
            yield entry
