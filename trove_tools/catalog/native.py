# SPDX-License-Identifier: Apache-2.0
"""The installation of native datastores.

The catalog's entry of the runtime ``native`` applies to all versions and guest
systems; entries for a guest system (or its family) and for a version override
it. :func:`resolve` merges the three.
"""

import collections.abc
import dataclasses
import typing

#: The sources of a server.
DISTRIBUTION, REPOSITORY, FILE = "distribution", "repository", "file"


@dataclasses.dataclass(frozen=True)
class Repository:
    """A vendor's own package repository.

    :param key: the URL of the key or keyring.
    :param fingerprints: the fingerprints of the accepted keys.
    :param packages: wildcards for the packages that may come from there.
    :param base: the part of the URL that a mirror replaces.
    :param paths: the paths of the repositories below it.
    :param suite: the suite for apt; empty for yum.
    """

    key: str
    fingerprints: tuple[str, ...]
    packages: tuple[str, ...]
    base: str
    paths: tuple[str, ...] = ("",)
    suite: str = ""
    components: tuple[str, ...] = ()


@dataclasses.dataclass(frozen=True)
class Archive:
    """A tar archive with an installer.

    :param installer: the path of the installer in the archive.
    :param architectures: for every architecture, a directory that only its
        archive contains.
    :param version: a regular expression for the version in the file's name.
    """

    installer: str
    architectures: collections.abc.Mapping[str, str]
    version: str


@dataclasses.dataclass(frozen=True)
class PackageFile:
    """A package that the user supplies.

    :param names: the accepted package names.
    :param source: where users can get the file, for messages.
    :param archive: how to install the file if it is no package of the guest
        system; otherwise None.
    """

    names: tuple[str, ...]
    source: str
    archive: Archive | None = None


@dataclasses.dataclass(frozen=True)
class Native:
    """How a version of a datastore is installed in a guest system.

    :param packages: the packages to install; the first has the version.
    :param services: the systemd services, the server's first.
    :param masked: units that must not start.
    :param data: the data directory, which can be moved to a volume.
    :param config: the content of configuration files, by path.
    :param identity: wildcards for files that must differ between guests.
    :param limits: resource limits of the first service, by systemd's names.
    :param hugepages: ``never``, or ``kernel`` to leave the kernel's default.
    :param cluster_ports: TCP ports between the members of a cluster.
    """

    packages: tuple[str, ...]
    services: tuple[str, ...]
    masked: tuple[str, ...] = ()
    data: str = ""
    config: collections.abc.Mapping[str, str] = dataclasses.field(
        default_factory=dict
    )
    identity: tuple[str, ...] = ()
    sysctl: collections.abc.Mapping[str, int] = dataclasses.field(
        default_factory=dict
    )
    limits: collections.abc.Mapping[str, int | str] = dataclasses.field(
        default_factory=dict
    )
    hugepages: str = "kernel"
    cluster_ports: tuple[int, ...] = ()
    repository: Repository | None = None
    file: PackageFile | None = None

    @property
    def source(self) -> str:
        """The source of the server: distribution, repository or file."""
        if self.file is not None:
            return FILE
        return DISTRIBUTION if self.repository is None else REPOSITORY

    @property
    def servers(self) -> tuple[str, ...]:
        """The packages that identify the server; one of them is installed."""
        if self.file is None:
            return self.packages[:1]
        return () if self.file.archive else self.file.names


def resolve(
    runtime: collections.abc.Mapping[str, typing.Any],
    version: collections.abc.Mapping[str, typing.Any],
    guest: collections.abc.Mapping[str, typing.Any],
) -> Native:
    """Return how a version is installed in a guest system.

    :param runtime: the catalog's entry of the runtime.
    :param version: the catalog's entry of the version.
    :param guest: the catalog's entry of the guest system.
    :raises KeyError: the catalog lacks a property; the argument of the error
        is the property's name.
    """
    entry = {key: runtime[key] for key in _FIELDS if key in runtime}
    differing = runtime.get("guests", {})
    entry = _merge(entry, version.get("native", {}))
    for name in (find_family(guest["distribution"]), guest["name"]):
        entry = _merge(entry, differing.get(name, {}))
    entry = _fill(
        entry,
        {
            "{version}": version["version"],
            "{distribution}": guest["distribution"],
            "{release}": guest["release"],
        },
    )
    cluster = entry.pop("cluster", {"ports": ()})
    packages = *entry.pop("packages", ()), *cluster.get("packages", ())
    repository = entry.pop("repository", None)
    file = entry.pop("file", None)
    if not packages and file is None:
        raise KeyError("packages")
    return Native(
        packages=packages,
        cluster_ports=tuple(cluster["ports"]),
        repository=_repository(repository) if repository else None,
        file=_file(file) if file else None,
        **_frozen(entry),
    )


def find_family(distribution: str) -> str:
    """Return the family of a distribution."""
    return "debian" if distribution in ("debian", "ubuntu") else "redhat"


_FIELDS = (
    "packages", "services", "masked", "data", "config", "identity", "sysctl",
    "limits", "hugepages", "cluster", "repository", "file",
)  # fmt: skip


def _merge(
    first: collections.abc.Mapping[str, typing.Any],
    then: collections.abc.Mapping[str, typing.Any],
) -> dict[str, typing.Any]:
    """Merge two entries: properties of ``then`` replace those of ``first``.

    A repository is merged field by field, because its key is the same for all
    packages.
    """
    merged = {**first, **then}
    if "repository" in first and "repository" in then:
        merged["repository"] = {**first["repository"], **then["repository"]}
    return merged


def _fill(value: typing.Any, words: dict[str, str]) -> typing.Any:
    if isinstance(value, str):
        for word, text in words.items():
            value = value.replace(word, text)
        return value
    if isinstance(value, dict):
        return {
            _fill(key, words): _fill(inner, words)
            for key, inner in value.items()
        }
    if isinstance(value, list):
        return [_fill(inner, words) for inner in value]
    return value


def _frozen(
    data: collections.abc.Mapping[str, typing.Any],
) -> dict[str, typing.Any]:
    return {
        key: tuple(value) if isinstance(value, list) else value
        for key, value in data.items()
    }


def _repository(data: dict[str, typing.Any]) -> Repository:
    for field in ("key", "fingerprints", "packages", "base"):
        if field not in data:
            raise KeyError(f"repository.{field}")
    return Repository(**_frozen(data))


def _file(data: dict[str, typing.Any]) -> PackageFile:
    archive = data.get("archive")
    return PackageFile(
        names=tuple(data["names"]),
        source=data["source"],
        archive=Archive(**archive) if archive else None,
    )
