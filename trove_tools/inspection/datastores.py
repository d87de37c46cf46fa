# SPDX-License-Identifier: Apache-2.0
"""Recognizes the catalog's datastores in the contents of an image."""

import collections.abc
import typing

from trove_tools.catalog import model
from trove_tools.inspection import contents
from trove_tools.inspection import docker
from trove_tools.inspection import package


class Served(typing.NamedTuple):
    """A datastore that is in an image.

    :param version: the version in the catalog; empty if there is none.
    :param installed: the full version of the server's package.
    """

    name: str
    version: str
    runtime: str
    installed: str


def find_datastores(
    found: contents.Contents, catalog: model.Catalog
) -> list[Served]:
    """Return the datastores in an image.

    A native datastore is recognized by the packages of its server; a container
    is recognized by its name, because the guest agent uses this name.
    """
    return [
        each
        for datastore in catalog.datastores.values()
        for runtime in datastore.runtimes.values()
        for each in (
            _contained(found.containers, datastore, runtime.container)
            if runtime.container
            else _native(found.packages, datastore)
        )
    ]


def _contained(
    stored: collections.abc.Iterable[docker.Container],
    datastore: model.Datastore,
    container: model.Container,
) -> collections.abc.Iterator[Served]:
    servers = {
        packages[0]
        for guests in container.packages.values()
        for packages in guests.values()
        if packages
    }
    for each in stored:
        for version in datastore.versions:
            if set(each.names) & set(container.tagged(version)):
                yield Served(
                    datastore.name, version, "container",
                    _installed(each.packages, servers),
                )  # fmt: skip


def _native(
    packages: collections.abc.Iterable[package.Package],
    datastore: model.Datastore,
) -> collections.abc.Iterator[Served]:
    servers = {
        name
        for version in datastore.versions.values()
        for native in version.native.values()
        for name in native.servers
    }
    installed = _installed(packages, servers)
    if installed:
        upstream = installed.rpartition(":")[2]
        version = next(
            (
                each
                for each in datastore.versions
                if upstream == each or upstream.startswith((f"{each}.",
                                                            f"{each}-"))
            ),
            "",
        )
        yield Served(datastore.name, version, model.NATIVE, installed)


def _installed(
    packages: collections.abc.Iterable[package.Package], servers: set[str]
) -> str:
    return next(
        (each.version for each in packages if each.name in servers), ""
    )
