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

from trove_tools import errors
from trove_tools import options
from trove_tools.catalog import model
from trove_tools.container import lock
from trove_tools.container import sources
from trove_tools.image import agent
from trove_tools.image import devkey
from trove_tools.image import elements
from trove_tools.image import mirrors
from trove_tools.image import snapshot
from trove_tools.native import sources as _native


@dataclasses.dataclass(frozen=True)
class Choice:
    """One datastore that an image is to serve.

    :param container: what it runs in, unless it runs natively.
    :param native: how it is installed, if it does.
    """

    datastore: model.Datastore
    version: model.Version
    runtime: model.Runtime
    container: sources.Container | None = None
    native: _native.Native | None = None

    @property
    def elements(self) -> tuple[str, ...]:
        """What puts it into the image: shared elements, then its own."""
        shared = self.native.elements if self.native else ()
        return (*shared, *self.runtime.elements)

    @property
    def packages(self) -> tuple[str, ...]:
        """The packages that have its version; the server's first."""
        if self.container is not None:
            return self.container.packages
        if self.native is None:
            return ()
        brought = [self.native.file.name] if self.native.file else []
        return (*brought, *self.native.settings.packages)


@dataclasses.dataclass(frozen=True)
class Request:
    """One image that somebody wants.

    :param choices: the datastores; at least one.
    :param library: all elements that may take part.
    :param refresh_packages: whether packages of cached layers are upgraded.
    :param disk_size: GiB; the catalog's minimum when not given.
    :param snapshot: the date of the packages, as an address has it.
    :param epoch: seconds since 1970 that no file is newer than.
    :param inherited: the ``DIB_*`` variables of our own environment.
    :param dev_key: the public key of who develops with the image, if it is
        for that.
    :param name: the image's name; made from its content when not given.
    """

    choices: tuple[Choice, ...]
    guest: model.Guest
    arch: str
    series: model.Series
    agent: agent.Agent
    mirrors: mirrors.Mirrors
    elements_path: tuple[str, ...]
    library: elements.Library
    further_elements: tuple[str, ...]
    guest_user: str | None
    dev_key: str
    image_format: str
    compression: str
    partition_table: str
    disk_size: int
    dib_version: str
    inherited: dict[str, str]
    name: str | None
    refresh_packages: bool = False
    snapshot: str = ""
    epoch: int | None = None


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
    guest = guest or _common_guest(choices, catalog, settings.unsupported)
    for choice in choices:
        _require_guest(choice, guest, settings.unsupported)
    names = [choice.datastore.name for choice in choices]
    if len(set(names)) < len(names):
        raise errors.UsageError(
            f"an image serves a datastore once: {', '.join(names)}",
            hint="build the versions one by one, without --together",
        )
    _require_ports(choices)
    _require_arch(choices, guest, settings.arch)
    size = _disk_size(settings.disk_size, choices)
    places = elements.path(settings.elements_path)
    further = tuple(_exist(settings.element, places))
    host = mirrors.of_host(guest.distribution)
    complete = _with_natives(
        _with_containers(choices, guest, settings), guest, settings, catalog
    )
    found = mirrors.Mirrors(
        settings.mirror or host.archive,
        settings.security_mirror or host.security,
    )
    epoch, date = settings.source_date_epoch, None
    if settings.snapshot:
        date = _date(settings.snapshot)
        found = snapshot.of_all(found, guest, date)
        epoch = date.epoch if epoch is None else epoch
    return Request(
        choices=complete,
        guest=guest,
        arch=settings.arch,
        series=catalog.series,
        agent=agent.parse(
            settings.agent, settings.constraints, catalog.series
        ),
        mirrors=found,
        snapshot=date.identity if date else "",
        epoch=epoch,
        elements_path=places,
        library=_library(complete, guest, further, settings, places),
        further_elements=further,
        guest_user=settings.guest_user,
        dev_key=devkey.read(settings.dev) if settings.dev else "",
        image_format=settings.image_format,
        compression=settings.compression,
        partition_table=_partition_table(settings),
        disk_size=size,
        dib_version=importlib.metadata.version("diskimage-builder"),
        inherited={
            name: value
            for name, value in os.environ.items()
            if name.startswith("DIB_")
        },
        name=_name(getattr(settings, "name", None)),
        refresh_packages=getattr(settings, "refresh_packages", False),
    )


def _date(text: str) -> snapshot.Date:
    try:
        return snapshot.date(text)
    except ValueError as exc:
        raise errors.UsageError(
            f"--snapshot {text}: not a date", hint=f"give {exc}"
        ) from exc


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
        datastore,
        _version(datastore, version, runtime, guest, settings.unsupported),
        runtime,
    )


def _systems(choice: Choice, unsupported: bool) -> tuple[str, ...]:
    """Return the guest systems that a datastore can be put into."""
    runtime = choice.runtime.name
    if unsupported:
        return choice.version.guests.get(runtime, ())
    return choice.version.supported(runtime)


def _common_guest(
    choices: collections.abc.Iterable[Choice],
    catalog: model.Catalog,
    unsupported: bool,
) -> model.Guest:
    """Return the first guest system that has all that is wanted."""
    for guest in catalog.guests.values():
        if all(
            guest.name in _systems(each, unsupported) for each in choices
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


def _require_guest(
    choice: Choice, guest: model.Guest, unsupported: bool
) -> None:
    systems = _systems(choice, unsupported)
    if guest.name in systems:
        return
    why, further = "", ""
    if choice.runtime.name == model.NATIVE:
        why = choice.version.refused.get(guest.name, "")
        if guest.name in choice.version.unsupported:
            why = choice.version.unsupported[guest.name]
            further = "; with --unsupported it is made all the same"
    raise errors.UsageError(
        f"{choice.datastore.name} {choice.version.version}"
        f" ({choice.runtime.name}) is not made for {guest.name}"
        + (f": {why}" if why else ""),
        hint=f"guest systems that have it: {', '.join(systems) or 'none'}"
        + further,
    )


def _require_ports(choices: collections.abc.Sequence[Choice]) -> None:
    """Refuse two servers that would want the same port of one guest.

    Those in containers are started by the guest agent, one in each guest.
    """
    owners: dict[int, str] = {}
    for each in choices:
        if each.runtime.name != model.NATIVE:
            continue
        for port in each.datastore.ports:
            if port in owners:
                raise errors.UsageError(
                    f"{owners[port]} and {each.datastore.name} both listen on"
                    f" port {port}",
                    hint="build an image for each, without --together",
                )
            owners[port] = each.datastore.name


def _require_arch(
    choices: collections.abc.Iterable[Choice], guest: model.Guest, arch: str
) -> None:
    for who, known in (
        (guest.name, guest.architectures),
        *(
            (f"{each.datastore.name} ({each.runtime.name})",
             each.runtime.architectures)
            for each in choices
        ),
    ):  # fmt: skip
        if arch not in known:
            raise errors.UsageError(
                f"{who} is not made for architecture {arch}",
                hint=f"one of: {', '.join(known)}",
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


def _partition_table(settings: options.Settings) -> str:
    """Return how the disk is laid out: as the machine's firmware needs it."""
    wanted: str | None = settings.partition_table
    if settings.arch == "amd64":
        return wanted or "mbr"
    if wanted not in (None, "efi"):
        raise errors.UsageError(
            f"--partition-table {wanted}: machines of {settings.arch} start"
            " with UEFI only",
            hint="leave it out, or give --partition-table efi",
        )
    return "efi"


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


def _with_natives(
    choices: collections.abc.Iterable[Choice],
    guest: model.Guest,
    settings: options.Settings,
    catalog: model.Catalog,
) -> tuple[Choice, ...]:
    """Add to each choice how it is installed, where it is."""
    said = _native.wishes(settings, catalog.datastores)
    return tuple(
        dataclasses.replace(
            each,
            native=_native.make(
                each.datastore, each.version, guest, settings.arch, said
            ),
        )
        if each.runtime.name == model.NATIVE
        else each
        for each in choices
    )


def _version(
    datastore: model.Datastore,
    name: str,
    runtime: model.Runtime,
    guest: model.Guest | None,
    unsupported: bool,
) -> model.Version:
    """Return the version named, else the default where the guest has it."""
    version = datastore.version(name or None)
    if name or guest is None:
        return version
    found = datastore.version_for(
        runtime.name, guest.name, unsupported=unsupported
    )
    return found or version


def _library(
    choices: collections.abc.Iterable[Choice],
    guest: model.Guest,
    further: collections.abc.Iterable[str],
    settings: options.Settings,
    places: collections.abc.Sequence[str],
) -> elements.Library:
    """Read what takes part, and no other of some hundred elements."""
    named = [
        *guest.elements,
        *guest.package_elements,
        *elements.ALWAYS,
        elements.disk(settings.partition_table),
        *further,
    ]
    for each in choices:
        named += [*each.runtime.shared_elements, *each.elements]
    return elements.read(named, (*places, elements.shipped()))


def _exist(names: list[str], places: tuple[str, ...]) -> list[str]:
    everywhere = (*places, elements.shipped())
    for name in names:
        if elements.find(name, everywhere) is None:
            known = elements.names(everywhere)
            near = errors.nearest(name, known, "elements")
            raise errors.UsageError(
                f"--element {name}: there is no such element",
                # diskimage-builder alone has over a hundred
                hint=near.partition("known ")[0]
                or f"looked in: {', '.join(everywhere)}",
            )
    return names


def _name(name: str | None) -> str | None:
    if name and ("/" in name or name.startswith(".")):
        raise errors.UsageError(
            f"--name {name}: a name, not a path",
            hint="the directory is given with --output-dir",
        )
    return name
