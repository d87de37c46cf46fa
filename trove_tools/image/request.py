# SPDX-License-Identifier: Apache-2.0
"""From what a user asked for to what a plan needs to know.

All that a build depends on outside the catalog (the host's mirrors,
diskimage-builder's version, the elements' files, the state of a checkout)
is looked up here, once, so that making the plan is a pure function.
"""

import collections.abc
import dataclasses
import importlib.metadata
import os
import pathlib

from trove_tools import errors
from trove_tools import options
from trove_tools.catalog import model
from trove_tools.container import lock
from trove_tools.container import sources
from trove_tools.image import agent
from trove_tools.image import elements
from trove_tools.image import mirrors


@dataclasses.dataclass(frozen=True)
class Choice:
    """One datastore that an image is to serve.

    :param container: what it runs in, unless it runs natively.
    """

    datastore: model.Datastore
    version: model.Version
    runtime: model.Runtime
    container: sources.Container | None = None


@dataclasses.dataclass(frozen=True)
class Request:
    """One image that somebody wants.

    :param choices: the datastores; at least one.
    :param disk_size: GiB; the catalog's minimum when not given.
    :param inherited: the ``DIB_*`` variables of our own environment.
    :param name: the image's name; made from its content when not given.
    """

    choices: tuple[Choice, ...]
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
    words: collections.abc.Sequence[str],
    settings: options.Settings,
    catalog: model.Catalog,
) -> Request:
    """Return the request for an image.

    :param words: ``DATASTORE[:VERSION]``, one or several.
    :raises UsageError: something named does not exist or does not go
        together.
    """
    guest = catalog.guest(settings.guest) if settings.guest else None
    choices = [_choice(word, settings, catalog, guest) for word in words]
    guest = guest or _common_guest(choices, catalog)
    for choice in choices:
        _require_guest(choice, guest)
    names = [choice.datastore.name for choice in choices]
    if len(set(names)) < len(names):
        raise errors.UsageError(
            f"an image serves a datastore once: {', '.join(names)}",
            hint="build the versions one by one, without --together",
        )
    if settings.arch not in guest.architectures:
        raise errors.UsageError(
            f"{guest.name} is not made for architecture {settings.arch}",
            hint=f"one of: {', '.join(guest.architectures)}",
        )
    size = _disk_size(settings.disk_size, choices)
    places = elements.path(settings.elements_path)
    host = mirrors.of_host(guest.distribution)
    return Request(
        choices=_with_containers(choices, guest, settings),
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


def _choice(
    word: str,
    settings: options.Settings,
    catalog: model.Catalog,
    guest: model.Guest | None,
) -> Choice:
    name, _, version = word.partition(":")
    datastore = catalog.datastore(name)
    runtime = datastore.runtime(settings.runtime)
    return Choice(
        datastore, _version(datastore, version, runtime, guest), runtime
    )


def _common_guest(
    choices: collections.abc.Iterable[Choice], catalog: model.Catalog
) -> model.Guest:
    """Return the first guest system that has all that is wanted."""
    for guest in catalog.guests.values():
        if all(
            guest.name in each.version.guests.get(each.runtime.name, ())
            for each in choices
        ):
            return guest
    wanted = ", ".join(
        f"{each.datastore.name} {each.version.version}"
        f" ({each.runtime.name})"
        for each in choices
    )
    raise errors.UsageError(
        f"no guest system has {wanted}",
        hint="`trove-image-builder list` names what each guest system has",
    )


def _require_guest(choice: Choice, guest: model.Guest) -> None:
    systems = choice.version.guests.get(choice.runtime.name, ())
    if guest.name not in systems:
        raise errors.UsageError(
            f"{choice.datastore.name} {choice.version.version}"
            f" ({choice.runtime.name}) is not made for {guest.name}",
            hint=f"guest systems that have it: {', '.join(systems) or 'none'}",
        )


def _disk_size(
    wanted: int | None, choices: collections.abc.Iterable[Choice]
) -> int:
    """Return the disk's size, GiB: as wanted, else what is needed."""
    largest = max(choices, key=lambda each: each.datastore.min_disk)
    needed = largest.datastore.min_disk
    if wanted is not None and wanted < needed:
        raise errors.UsageError(
            f"--disk-size {wanted}: {largest.datastore.name} needs at least"
            f" {needed} GiB"
        )
    return wanted or needed


def _with_containers(
    choices: collections.abc.Sequence[Choice],
    guest: model.Guest,
    settings: options.Settings,
) -> tuple[Choice, ...]:
    """Add to each choice where its container comes from."""
    locked = lock.read(settings.locked) if settings.locked else None
    chosen = sources.choose(
        settings.container_source,
        [each.datastore.name for each in choices if each.runtime.container],
    )
    return tuple(
        dataclasses.replace(
            each,
            container=sources.make(
                each.datastore,
                each.version.version,
                each.runtime.container,
                guest.name,
                source=chosen[each.datastore.name],
                mirror=settings.registry_mirror,
                locked=locked,
            ),
        )
        if each.runtime.container
        else each
        for each in choices
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
