# SPDX-License-Identifier: Apache-2.0
"""A datastore that is installed in the guest's own system.

What the catalog says of the runtime ``native`` holds for all versions and
guest systems; a guest system (or its family) and a version say what differs
there.  :func:`resolve` puts the three together.
"""

import collections.abc
import dataclasses
import typing

#: Where a server comes from.
DISTRIBUTION, REPOSITORY, FILE = "distribution", "repository", "file"


@dataclasses.dataclass(frozen=True)
class Repository:
    """A vendor's own package repository.

    :param key: the address of the key, or of a keyring.
    :param fingerprints: of the keys in it that may sign.
    :param packages: wildcards for what may come from there.
    :param base: the part of the address that a mirror replaces.
    :param paths: below it, one for each repository.
    :param suite: for apt; empty for yum.
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
    """A tar archive with an installer of its own.

    :param installer: the program that installs, in the archive's directory.
    :param architectures: for each, a directory that only its archive has.
    :param version: regular expression for the file's name.
    """

    installer: str
    architectures: collections.abc.Mapping[str, str]
    version: str


@dataclasses.dataclass(frozen=True)
class PackageFile:
    """A package that the user brings.

    :param names: what it may be called.
    :param source: where it can be had.
    :param archive: set when it is no package of the guest system.
    """

    names: tuple[str, ...]
    source: str
    archive: Archive | None = None


@dataclasses.dataclass(frozen=True)
class Native:
    """How a version of a datastore is installed in a guest system.

    :param packages: what is installed by name; the first has the version.
    :param services: the server's first.
    :param masked: units that must not start.
    :param data: the directory that may be moved to a volume.
    :param config: content by file in the guest.
    :param identity: wildcards for files that no two guests may share.
    :param limits: by systemd's names, for the first service.
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
        """Where the server comes from."""
        if self.file is not None:
            return FILE
        return DISTRIBUTION if self.repository is None else REPOSITORY

    @property
    def servers(self) -> tuple[str, ...]:
        """Packages by which the server is known; one of them is there."""
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
    :param version: that of the version.
    :param guest: that of the guest system.
    :raises KeyError: the catalog leaves something out; its argument names
        it.
    """
    said = {key: runtime[key] for key in _FIELDS if key in runtime}
    differing = runtime.get("guests", {})
    said = _merge(said, version.get("native", {}))
    for name in (family(guest["distribution"]), guest["name"]):
        said = _merge(said, differing.get(name, {}))
    said = _fill(
        said,
        {
            "{version}": version["version"],
            "{distribution}": guest["distribution"],
            "{release}": guest["release"],
        },
    )
    cluster = said.pop("cluster", {"ports": ()})
    packages = *said.pop("packages", ()), *cluster.get("packages", ())
    repository = said.pop("repository", None)
    file = said.pop("file", None)
    if not packages and file is None:
        raise KeyError("packages")
    return Native(
        packages=packages,
        cluster_ports=tuple(cluster["ports"]),
        repository=_repository(repository) if repository else None,
        file=_file(file) if file else None,
        **_frozen(said),
    )


def family(distribution: str) -> str:
    """Return the family of distributions that one is of."""
    return "debian" if distribution in ("debian", "ubuntu") else "redhat"


_FIELDS = (
    "packages", "services", "masked", "data", "config", "identity", "sysctl",
    "limits", "hugepages", "cluster", "repository", "file",
)  # fmt: skip


def _merge(
    first: collections.abc.Mapping[str, typing.Any],
    then: collections.abc.Mapping[str, typing.Any],
) -> dict[str, typing.Any]:
    """Let ``then`` differ from ``first``: whole, but for a repository.

    Of a repository each field is replaced by itself: its key is the same
    wherever the packages are.
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
            _fill(key, words): _fill(each, words)
            for key, each in value.items()
        }
    if isinstance(value, list):
        return [_fill(each, words) for each in value]
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
