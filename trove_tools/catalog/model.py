# SPDX-License-Identifier: Apache-2.0
"""The immutable data classes of the catalog."""

import collections.abc
import dataclasses
import re

from trove_tools import errors
from trove_tools.catalog import native as _native

CONTAINER, NATIVE = "container", "native"


def split_name(word: str) -> tuple[str, str]:
    """Split ``DATASTORE[:VERSION]`` into its parts.

    :returns: the name and the version, which is empty if none is given.
    :raises UsageError: a part is missing.
    """
    name, colon, version = word.partition(":")
    if not name or (colon and not version):
        raise errors.UsageError(
            f"{word!r} names no datastore version",
            hint=(
                "write DATASTORE or DATASTORE:VERSION, for example"
                " mariadb:11.8"
            ),
        )
    return name, version


@dataclasses.dataclass(frozen=True)
class Series:
    """The Trove series that this tree serves.

    :param name: OpenStack's name of the series.
    :param trove: Trove's major version in it.
    :param requirement: the requirement on the guest agent, for pip.
    """

    name: str
    trove: str
    git_url: str
    git_ref: str
    requirement: str

    @property
    def previous(self) -> tuple[str, ...]:
        """The series that can be upgraded to this one, the latest first.

        The first series of a year can also be upgraded to the first series of
        the next year:
        https://governance.openstack.org/tc/resolutions/20220210-release-cadence-adjustment.html
        """
        year, number = map(int, self.name.split("."))
        if number == 2:
            return (f"{year}.1",)
        return (f"{year - 1}.2", f"{year - 1}.1")


@dataclasses.dataclass(frozen=True)
class Guest:
    """A guest operating system.

    :param release: the distribution's name of the release (DIB_RELEASE).
    :param elements: the elements of the base system.
    :param package_elements: the elements that every layer needs to install
        packages.
    :param tier: supported, untested or experimental.
    """

    name: str
    distribution: str
    version: str
    release: str
    elements: tuple[str, ...]
    package_elements: tuple[str, ...]
    architectures: tuple[str, ...]
    tier: str

    @property
    def family(self) -> str:
        """The family of the distribution: debian or redhat."""
        return _native.find_family(self.distribution)


@dataclasses.dataclass(frozen=True)
class Health:
    """A query that only a working server answers correctly.

    :param protocol: mysql, postgresql, tcp or http.
    :param port: the TCP port in the guest.
    :param expect: a regular expression that the answer must match.
    :param query: SQL, the text to send, or the path of a URL.
    :param setup: commands that root runs in the guest before the query;
        ``{user}`` and ``{password}`` in them are replaced.
    """

    protocol: str
    port: int
    expect: str
    query: str = ""
    setup: tuple[str, ...] = ()


@dataclasses.dataclass(frozen=True)
class Container:
    """The container that a datastore runs in.

    :param image: the repository in a registry, without a tag.
    :param names: other names that a cloud's configuration may use.
    :param variable: the environment variable that contains the version.
    :param packages: by version and guest system, the packages that the
        container can be made from; the first one has the version.
    :param suites: by version, the distribution's suite with these packages, if
        it differs from the guest system's suite.
    :param recipe: the recipe for making the container.
    :param command: the command that it runs, if there is no recipe.
    :param data: the directory with its data, if there is no recipe.
    """

    image: str
    names: tuple[str, ...]
    variable: str
    packages: collections.abc.Mapping[
        str, collections.abc.Mapping[str, tuple[str, ...]]
    ]
    suites: collections.abc.Mapping[str, str] = dataclasses.field(
        default_factory=dict
    )
    recipe: str = ""
    command: tuple[str, ...] = ()
    data: str = ""

    def tagged(self, version: str) -> tuple[str, ...]:
        """Return all names of the container with the tag of a version."""
        return tuple(f"{name}:{version}" for name in (*self.names, self.image))

    def packages_for(
        self, version: str, guest: Guest | None
    ) -> tuple[str, ...]:
        """Return the packages that the container is made from.

        :param guest: the guest system; None for any guest system.
        :returns: empty if the container cannot be made from packages.
        """
        known = self.packages.get(version, {})
        if guest is None:
            return next(iter(known.values()), ())
        return known.get(guest.name, ())


@dataclasses.dataclass(frozen=True)
class Runtime:
    """A way in which a datastore runs in the guest.

    :param shared_elements: the elements of all datastores with this runtime.
    :param elements: the elements of this datastore, which follow the shared
        ones.
    :param architectures: the supported architectures.
    :param container: the container, if any.
    """

    name: str
    elements: tuple[str, ...]
    health: Health
    shared_elements: tuple[str, ...] = ()
    architectures: tuple[str, ...] = ("amd64",)
    container: Container | None = None


@dataclasses.dataclass(frozen=True)
class Version:
    """A version of a datastore.

    :param guests: the guest systems by runtime.
    :param native: how it is installed natively, by guest system.
    :param unsupported: the reasons, by guest system, why the vendor does not
        support this version although it can be installed.
    :param refused: the reasons, by guest system, why it is not available.
    """

    version: str
    guests: collections.abc.Mapping[str, tuple[str, ...]]
    native: collections.abc.Mapping[str, _native.Native] = dataclasses.field(
        default_factory=dict
    )
    unsupported: collections.abc.Mapping[str, str] = dataclasses.field(
        default_factory=dict
    )
    refused: collections.abc.Mapping[str, str] = dataclasses.field(
        default_factory=dict
    )

    def supported(self, runtime: str) -> tuple[str, ...]:
        """Return the guest systems where the vendor supports this version."""
        systems = self.guests.get(runtime, ())
        if runtime != NATIVE:
            return systems
        return tuple(name for name in systems if name not in self.unsupported)


@dataclasses.dataclass(frozen=True)
class Datastore:
    """A datastore in the catalog.

    :param tier: supported, or image-only.
    :param manager: the guest agent's manager, if this series has one.
    :param runtimes: the runtimes by name; the first is the default.
    :param min_ram: the minimum memory of a guest, in MiB.
    :param min_disk: the minimum disk of a guest, in GiB.
    :param scenarios: the tests of trove-tempest-plugin that it passes.
    :param licence: the vendor's licence terms, if relevant to operators.
    """

    name: str
    title: str
    summary: str
    tier: str
    manager: str | None
    default_version: str
    ports: tuple[int, ...]
    min_ram: int
    min_disk: int
    versions: collections.abc.Mapping[str, Version]
    runtimes: collections.abc.Mapping[str, Runtime]
    scenarios: tuple[str, ...] = ()
    licence: str = ""

    def version(self, name: str | None = None) -> Version:
        """Return a version; the default version if none is named.

        :raises UsageError: there is no such version.
        """
        name = name or self.default_version
        if name not in self.versions:
            raise errors.UsageError(
                f"{self.name} has no version {name} in the catalog",
                hint=errors.nearest(
                    name, self.versions, f"versions of {self.name}"
                ),
            )
        return self.versions[name]

    def runtime(self, name: str | None = None) -> Runtime:
        """Return a runtime; the default runtime if none is named.

        :raises UsageError: there is no such runtime.
        """
        name = name or next(iter(self.runtimes))
        if name not in self.runtimes:
            raise errors.UsageError(
                f"{self.name} has no runtime {name}",
                hint=errors.nearest(name, self.runtimes, "runtimes"),
            )
        return self.runtimes[name]

    def version_for(
        self, runtime: str, guest: str, *, unsupported: bool = False
    ) -> Version | None:
        """Return a version for a guest system, preferably the default.

        :param unsupported: accept versions that the vendor does not support.
        :returns: None if there is no version.
        """
        for version in (self.version(), *self.versions.values()):
            systems = version.supported(runtime)
            if unsupported:
                systems = version.guests.get(runtime, ())
            if guest in systems:
                return version
        return None

    def health(self, runtime: str | None, version: str) -> Health:
        """Return the health query for a version.

        :raises UsageError: there is no such runtime.
        """
        health = self.runtime(runtime).health
        return dataclasses.replace(
            health,
            expect=health.expect.replace("{version}", re.escape(version)),
        )

    def source(self, runtime: str) -> str:
        """Return the source of the server in a runtime.

        :returns: ``container``, or a source in
            :mod:`trove_tools.catalog.native`.
        """
        if runtime == CONTAINER:
            return CONTAINER
        return next(
            installation.source
            for version in self.versions.values()
            for installation in version.native.values()
        )


@dataclasses.dataclass(frozen=True)
class Catalog:
    """All datastores, all guest systems, and the series."""

    series: Series
    guests: collections.abc.Mapping[str, Guest]
    datastores: collections.abc.Mapping[str, Datastore]

    def datastore(self, name: str) -> Datastore:
        """Return a datastore.

        :raises UsageError: there is no such datastore.
        """
        if name not in self.datastores:
            raise errors.UsageError(
                f"unknown datastore {name!r}",
                hint=errors.nearest(name, self.datastores, "datastores"),
            )
        return self.datastores[name]

    def guest(self, name: str) -> Guest:
        """Return a guest system.

        :raises UsageError: there is no such guest system.
        """
        if name not in self.guests:
            raise errors.UsageError(
                f"unknown guest system {name!r}",
                hint=errors.nearest(name, self.guests, "guest systems"),
            )
        return self.guests[name]
