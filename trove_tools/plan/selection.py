# SPDX-License-Identifier: Apache-2.0
"""Selects the datastores, versions and guest system of an image."""

import collections.abc
import dataclasses

from trove_tools import errors
from trove_tools.catalog import model
from trove_tools.config import options
from trove_tools.sources.container import lock
from trove_tools.sources.container import skopeo
from trove_tools.sources.container import sources
from trove_tools.sources.native import sources as _native


@dataclasses.dataclass(frozen=True)
class Choice:
    """One datastore of an image.

    :param container: the container that it runs in; None if native.
    :param native: how it is installed; None if it runs in a container.
    :param backup: the backup container, if it is in the image.
    :param reason: why the builder did not choose the default version; empty
        otherwise.
    """

    datastore: model.Datastore
    version: model.Version
    runtime: model.Runtime
    container: sources.Container | None = None
    native: _native.Native | None = None
    backup: sources.Container | None = None
    reason: str = ""

    @property
    def elements(self) -> tuple[str, ...]:
        """The elements that install it: shared ones, then its runtime's."""
        shared = self.native.elements if self.native else ()
        return (*shared, *self.runtime.elements)

    @property
    def packages(self) -> tuple[str, ...]:
        """The packages that have the datastore's version; the server first."""
        if self.container is not None:
            return self.container.packages
        if self.native is None:
            return ()
        brought = [self.native.file.name] if self.native.file else []
        return (*brought, *self.native.settings.packages)


def choose(
    words: collections.abc.Sequence[str],
    settings: options.Settings,
    catalog: model.Catalog,
) -> tuple[tuple[Choice, ...], model.Guest]:
    """Return the requested datastores, and a guest system for all of them.

    :param words: ``DATASTORE[:VERSION]``, one or several.
    :param settings: the user's options.
    :raises UsageError: a name does not exist, or the datastores, the guest
        system and the architecture cannot be combined.
    """
    guest = catalog.guest(settings.guest) if settings.guest else None
    choices = [_choice(word, settings, catalog, guest) for word in words]
    guest = guest or _common_guest(choices, catalog, settings.unsupported)
    for choice in choices:
        _require_guest(choice, guest, settings.unsupported)
    names = [choice.datastore.name for choice in choices]
    if len(set(names)) < len(names):
        raise errors.UsageError(
            "an image contains only one version of a datastore:"
            f" {', '.join(names)}",
            hint="build the versions one by one, without --together",
        )
    _require_ports(choices)
    _require_arch(choices, guest, settings.arch)
    complete = [
        _with_backup(choice, guest, settings, catalog)
        for choice in _with_containers(choices, guest, settings, catalog)
    ]
    return _with_natives(complete, guest, settings, catalog), guest


def _choice(
    word: str,
    settings: options.Settings,
    catalog: model.Catalog,
    guest: model.Guest | None,
) -> Choice:
    name, version = model.split_name(word)
    datastore = catalog.datastore(name)
    runtime = datastore.runtime(settings.runtime)
    choice = Choice(
        datastore,
        _version(datastore, version, runtime, guest, settings.unsupported),
        runtime,
    )
    if version or runtime.container is None:
        return choice
    source = _source_of([datastore], settings, catalog)[name]
    return _within_reach(choice, runtime.container, guest, settings, source)


def _within_reach(
    choice: Choice,
    container: model.Container,
    guest: model.Guest | None,
    settings: options.Settings,
    source: str | None,
) -> Choice:
    """Replace the default version if only packages can be downloaded.

    :param container: the container of the choice's runtime.
    :param guest: the guest system, if the user named one.
    :param source: the container source, if the user named one.
    """
    if source not in (None, "packages") or settings.locked:
        return choice
    default = choice.version.version
    packaged = [
        version
        for version in choice.datastore.versions
        if container.packages_for(version, guest)
    ]
    if default in packaged or not packaged:
        return choice
    why = "no packages make its container"
    if source is None:
        why = skopeo.unreachable(container.image, settings.registry_mirror)
    if not why:
        return choice
    return dataclasses.replace(
        choice,
        version=choice.datastore.version(packaged[0]),
        reason=f"{choice.datastore.name} {packaged[0]} instead of {default},"
        f" the default: {why}",
    )


def _version(
    datastore: model.Datastore,
    name: str,
    runtime: model.Runtime,
    guest: model.Guest | None,
    unsupported: bool,
) -> model.Version:
    """Return the named version, or a default that the guest system has."""
    version = datastore.version(name or None)
    if name or guest is None:
        return version
    supported = datastore.version_for(
        runtime.name, guest.name, unsupported=unsupported
    )
    return supported or version


def _systems(choice: Choice, unsupported: bool) -> tuple[str, ...]:
    """Return the names of the guest systems for a datastore.

    :param unsupported: include guest systems that are not supported.
    """
    runtime = choice.runtime.name
    if unsupported:
        return choice.version.guests.get(runtime, ())
    return choice.version.supported(runtime)


def _common_guest(
    choices: collections.abc.Iterable[Choice],
    catalog: model.Catalog,
    unsupported: bool,
) -> model.Guest:
    """Return the first guest system that supports all datastores.

    :param unsupported: include guest systems that are not supported.
    """
    for guest in catalog.guests.values():
        if all(
            guest.name in _systems(choice, unsupported) for choice in choices
        ):
            return guest
    wanted = ", ".join(
        f"{choice.datastore.name} {choice.version.version}"
        f" ({choice.runtime.name})"
        for choice in choices
    )
    raise errors.UsageError(
        f"no guest system has {wanted}",
        hint="`trove-image-builder list --long` prints the guest systems of"
        " each version",
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
    """Raise an error if two servers would use the same port of one guest.

    Datastores in containers do not conflict: the guest agent starts only one
    of them in each guest.
    """
    owners: dict[int, str] = {}
    for choice in choices:
        if choice.runtime.name != model.NATIVE:
            continue
        for port in choice.datastore.ports:
            if port in owners:
                raise errors.UsageError(
                    f"{owners[port]} and {choice.datastore.name} both listen"
                    f" on port {port}",
                    hint="build an image for each, without --together",
                )
            owners[port] = choice.datastore.name


def _require_arch(
    choices: collections.abc.Iterable[Choice], guest: model.Guest, arch: str
) -> None:
    for who, known in (
        (guest.name, guest.architectures),
        *(
            (f"{choice.datastore.name} ({choice.runtime.name})",
             choice.runtime.architectures)
            for choice in choices
        ),
    ):  # fmt: skip
        if arch not in known:
            raise errors.UsageError(
                f"{who} is not made for architecture {arch}",
                hint=f"one of: {', '.join(known)}",
            )


def _source_of(
    datastores: collections.abc.Iterable[model.Datastore],
    settings: options.Settings,
    catalog: model.Catalog,
) -> dict[str, str | None]:
    """Return the user's container source for each datastore, or None."""
    return sources.choose(
        settings.container_source,
        [datastore.name for datastore in datastores],
        [
            datastore.name
            for datastore in catalog.datastores.values()
            if any(
                runtime.container for runtime in datastore.runtimes.values()
            )
        ],
    )


def _with_containers(
    choices: collections.abc.Sequence[Choice],
    guest: model.Guest,
    settings: options.Settings,
    catalog: model.Catalog,
) -> tuple[Choice, ...]:
    """Add the container to each choice that runs in one."""
    locked = lock.read(settings.locked) if settings.locked else None
    chosen = _source_of(
        [choice.datastore for choice in choices if choice.runtime.container],
        settings,
        catalog,
    )
    return tuple(
        dataclasses.replace(
            choice,
            container=sources.make(
                choice.datastore,
                choice.version.version,
                choice.runtime.container,
                guest,
                source=chosen[choice.datastore.name],
                mirror=settings.registry_mirror,
                locked=locked,
            ),
        )
        if choice.runtime.container
        else choice
        for choice in choices
    )


def _with_backup(
    choice: Choice,
    guest: model.Guest,
    settings: options.Settings,
    catalog: model.Catalog,
) -> Choice:
    """Add the backup container to a datastore in a container.

    By default, it is added if the datastore's container is made from
    packages.

    :raises UsageError: the user requested it, and it cannot be made from
        packages.
    """
    if choice.container is None or settings.with_backup is False:
        return choice
    try:
        backup = sources.make_backup(
            choice.datastore,
            choice.version.version,
            choice.runtime.container,
            guest,
            requirement=catalog.series.requirement,
            constraints=settings.constraints,
        )
    except errors.UsageError as exc:
        if settings.with_backup is None:
            return choice
        exc.message = f"--with-backup: {exc.message}"
        raise
    if settings.with_backup is None and choice.container.source != "packages":
        return choice
    return dataclasses.replace(choice, backup=backup)


def _with_natives(
    choices: collections.abc.Iterable[Choice],
    guest: model.Guest,
    settings: options.Settings,
    catalog: model.Catalog,
) -> tuple[Choice, ...]:
    """Add to each native choice how the datastore is installed."""
    wishes = _native.wishes(settings, catalog.datastores)
    return tuple(
        dataclasses.replace(
            choice,
            native=_native.make(
                choice.datastore, choice.version, guest, settings.arch, wishes
            ),
        )
        if choice.runtime.name == model.NATIVE
        else choice
        for choice in choices
    )
