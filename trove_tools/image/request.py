# SPDX-License-Identifier: Apache-2.0
"""From what a user asked for to what a plan needs to know.

All that a build depends on outside the catalog (the host's mirrors,
diskimage-builder's version, the elements' files, the state of a checkout)
is looked up here, once, so that making the plan is a pure function.
"""

import dataclasses
import importlib.metadata
import os
import pathlib

from trove_tools import errors
from trove_tools import options
from trove_tools.catalog import model
from trove_tools.image import agent
from trove_tools.image import elements
from trove_tools.image import mirrors


@dataclasses.dataclass(frozen=True)
class Request:
    """One image that somebody wants.

    :param disk_size: GiB; the catalog's minimum when not given.
    :param inherited: the ``DIB_*`` variables of our own environment.
    :param name: the image's name; made from its content when not given.
    """

    datastore: model.Datastore
    version: model.Version
    runtime: model.Runtime
    guest: model.Guest
    arch: str
    series: model.Series
    agent: agent.Agent
    mirrors: mirrors.Mirrors
    elements_path: tuple[str, ...]
    elements_digest: str
    further_elements: tuple[str, ...]
    guest_user: str | None
    image_format: str
    compression: str
    partition_table: str
    disk_size: int
    dib_version: str
    inherited: dict[str, str]
    name: str | None


def make(
    word: str, settings: options.Settings, catalog: model.Catalog
) -> Request:
    """Return the request for ``DATASTORE[:VERSION]``.

    :raises UsageError: something named does not exist or does not go
        together.
    """
    datastore_name, _, version_name = word.partition(":")
    datastore = catalog.datastore(datastore_name)
    runtime = datastore.runtime(settings.runtime)
    guest = catalog.guest(settings.guest) if settings.guest else None
    version = _version(datastore, version_name, runtime, guest)
    systems = version.guests.get(runtime.name, ())
    if guest is None:
        # the catalog's order is the order of preference
        guest = next(
            each for each in catalog.guests.values() if each.name in systems
        )
    if guest.name not in systems:
        raise errors.UsageError(
            f"{datastore.name} {version.version} ({runtime.name}) is not"
            f" made for {guest.name}",
            hint=f"guest systems that have it: {', '.join(systems)}",
        )
    if settings.arch not in guest.architectures:
        raise errors.UsageError(
            f"{guest.name} is not made for architecture {settings.arch}",
            hint=f"one of: {', '.join(guest.architectures)}",
        )
    size = settings.disk_size or datastore.min_disk
    if size < datastore.min_disk:
        raise errors.UsageError(
            f"--disk-size {size}: {datastore.name} needs at least"
            f" {datastore.min_disk} GiB"
        )
    places = elements.path(settings.elements_path)
    host = mirrors.of_host(guest.distribution)
    return Request(
        datastore=datastore,
        version=version,
        runtime=runtime,
        guest=guest,
        arch=settings.arch,
        series=catalog.series,
        agent=agent.parse(
            settings.agent, settings.constraints, catalog.series
        ),
        mirrors=mirrors.Mirrors(
            settings.mirror or host.archive,
            settings.security_mirror or host.security,
        ),
        elements_path=places,
        elements_digest=elements.digest(places),
        further_elements=tuple(_exist(settings.element, places)),
        guest_user=settings.guest_user,
        image_format=settings.image_format,
        compression=settings.compression,
        partition_table=settings.partition_table,
        disk_size=size,
        dib_version=importlib.metadata.version("diskimage-builder"),
        inherited={
            name: value
            for name, value in os.environ.items()
            if name.startswith("DIB_")
        },
        name=_name(getattr(settings, "name", None)),
    )


def _version(
    datastore: model.Datastore,
    name: str,
    runtime: model.Runtime,
    guest: model.Guest | None,
) -> model.Version:
    """Return the version named, else the default where the guest has it."""
    version = datastore.version(name or None)
    if name or guest is None:
        return version
    if guest.name in version.guests.get(runtime.name, ()):
        return version
    for other in datastore.versions.values():
        if guest.name in other.guests.get(runtime.name, ()):
            return other
    return version


def _exist(names: list[str], places: tuple[str, ...]) -> list[str]:
    import diskimage_builder.paths

    shipped = diskimage_builder.paths.get_path("elements")
    known = {
        entry.name
        for place in (*places, shipped)
        for entry in pathlib.Path(place).iterdir()
        if entry.is_dir() and not entry.name.startswith("_")
    }
    for name in names:
        if name not in known:
            near = errors.nearest(name, known, "elements")
            raise errors.UsageError(
                f"--element {name}: there is no such element",
                # diskimage-builder alone has over a hundred
                hint=near.partition("known ")[0]
                or f"looked in: {', '.join((*places, shipped))}",
            )
    return names


def _name(name: str | None) -> str | None:
    if name and ("/" in name or name.startswith(".")):
        raise errors.UsageError(
            f"--name {name}: a name, not a path",
            hint="the directory is given with --output-dir",
        )
    return name
