# SPDX-License-Identifier: Apache-2.0
"""Selects the datastores that the gate builds and boots.

For most changes, the gate builds only one image of each kind; the kind is the
source of the datastore.  The other images of a kind differ only in data; the
gate builds them with ``--all``.
"""

import collections.abc

from trove_tools.catalog import model
from trove_tools.catalog import native

#: The sources of native datastores, in the order in which they are chosen.
KINDS = (native.DISTRIBUTION, native.REPOSITORY, native.FILE)


def list_containers(catalog: model.Catalog) -> list[str]:
    """Return datastores with packages for the default version's container."""
    return [
        entry.name
        for entry in catalog.datastores.values()
        if (runtime := entry.runtimes.get(model.CONTAINER))
        and runtime.container is not None
        and runtime.container.packages_for(entry.default_version, None)
    ]


def list_natives(catalog: model.Catalog, guest: str) -> dict[str, str]:
    """Return one native datastore of each kind for a guest system.

    Their ports differ, so that one image can contain all of them.

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


def list_booted(catalog: model.Catalog) -> set[tuple[str, str, str]]:
    """Return the datastores, versions and runtimes that the gate boots."""
    guest = find_system(catalog)
    booted = set()
    for name in list_containers(catalog):
        entry = catalog.datastore(name)
        booted.add((name, entry.default_version, model.CONTAINER))
    for name in list_natives(catalog, guest).values():
        entry = catalog.datastore(name)
        version = entry.version_for(model.NATIVE, guest)
        assert version is not None
        booted.add((name, version.version, model.NATIVE))
    return booted


def find_system(catalog: model.Catalog) -> str:
    """Return the guest system that has a datastore of every kind.

    :raises LookupError: there is no such guest system.
    """
    for name in catalog.guests:
        if len(list_natives(catalog, name)) == len(KINDS):
            return name
    raise LookupError("no guest system has a datastore of every kind")


def _made_for(
    catalog: model.Catalog, guest: str
) -> collections.abc.Iterator[model.Datastore]:
    """Yield a guest system's datastores: supported ones, then small ones."""
    for entry in sorted(
        catalog.datastores.values(),
        key=lambda datastore: (
            datastore.manager is None,
            datastore.min_ram,
            datastore.name,
        ),
    ):
        if entry.version_for(model.NATIVE, guest) is not None:
            yield entry
