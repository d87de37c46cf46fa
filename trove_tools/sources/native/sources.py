# SPDX-License-Identifier: Apache-2.0
"""Chooses the source of a native datastore from the user's options."""

import collections.abc
import dataclasses
import pathlib
import re
import typing
import urllib.parse

from trove_tools import errors
from trove_tools.catalog import model
from trove_tools.catalog import native
from trove_tools.config import options
from trove_tools.host import credentials
from trove_tools.host import digests
from trove_tools.host import paths
from trove_tools.sources.native import packagefile

#: The elements that install native datastores, by purpose.
REPOSITORY, FILE, HUGEPAGES, NATIVE = (
    "trove-package-repository", "trove-package-file", "trove-hugepages-off",
    "trove-datastore-native",
)  # fmt: skip

_FINGERPRINT = re.compile(r"[0-9A-F]{40}")
_SHA256 = re.compile(r"[0-9a-f]{64}")
_ASSIGNED = re.compile(r"([a-z][a-z0-9-]*)=(.+)", re.DOTALL)


@dataclasses.dataclass(frozen=True)
class Repository:
    """The vendor's package repository, or a mirror of it.

    :param vendor: the URL of the vendor's repository, which guests use.
    :param base: the URL that the build uses.
    :param key: the key's URL, or its path on this host.
    """

    vendor: str
    base: str
    paths: tuple[str, ...]
    suite: str
    components: tuple[str, ...]
    key: str
    fingerprints: tuple[str, ...]
    packages: tuple[str, ...]


@dataclasses.dataclass(frozen=True)
class File:
    """The package file that the user supplies.

    :param location: a URL, or a path on this host.
    :param name: the name in the package; empty for a URL.
    :param archive: the path of the installer in a tar archive; empty for a
        package.
    """

    location: str
    sha256: str
    name: str = ""
    version: str = ""
    archive: str = ""


@dataclasses.dataclass(frozen=True)
class Native:
    """One datastore that is installed in the guest system.

    :param family: the family of the guest system: debian or redhat.
    :param settings: the catalog's settings for the elements.
    """

    datastore: str
    version: str
    family: str
    arch: str
    settings: native.Native
    repository: Repository | None = None
    file: File | None = None

    @property
    def elements(self) -> tuple[str, ...]:
        """The shared elements that this datastore needs."""
        return elements(
            self.settings,
            repository=self.repository is not None,
            package=self.file is not None and not self.file.archive,
        )


def elements(
    settings: native.Native, *, repository: bool, package: bool
) -> tuple[str, ...]:
    """Return the elements that install a native datastore.

    :param repository: whether it comes from a vendor's repository.
    :param package: whether it comes from a package that the user supplies.
    """
    wanted = {
        REPOSITORY: repository,
        FILE: package,
        HUGEPAGES: settings.hugepages == "never",
        NATIVE: True,
    }
    return tuple(name for name, needed in wanted.items() if needed)


def without_places(
    data: collections.abc.Mapping[str, typing.Any],
) -> dict[str, typing.Any]:
    """Return a :class:`Native`, as plain data, without paths and URLs.

    Digests and fingerprints identify the content.  The result records whether
    a mirror is used, because guests have no repository then.
    """
    plain = dict(data)
    if plain["repository"] is not None:
        plain["repository"] = {
            name: value
            for name, value in plain["repository"].items()
            if name not in ("key", "base")
        }
        repository = data["repository"]
        plain["mirror"] = repository["base"] != repository["vendor"]
    if plain["file"] is not None:
        plain["file"] = {
            name: value
            for name, value in plain["file"].items()
            if name != "location"
        }
    return plain


@dataclasses.dataclass(frozen=True)
class Wishes:
    """The user's options for native datastores, by datastore.

    :param packages: paths or URLs; the key is empty for the only datastore
        that needs a package.
    """

    repositories: dict[str, str]
    keys: dict[str, str]
    fingerprints: dict[str, str]
    packages: dict[str, str]
    digests: dict[str, str]


def wishes(
    settings: options.Settings, known: collections.abc.Collection[str]
) -> Wishes:
    """Parse the options for native datastores.

    :param known: the names of all datastores in the catalog.
    :raises UsageError: a value is invalid.
    """
    result = Wishes(
        read_assignments("--repository", settings.repository, known),
        read_assignments("--repository-key", settings.repository_key, known),
        {
            name: value.replace(" ", "").upper()
            for name, value in read_assignments(
                "--repository-fingerprint",
                settings.repository_fingerprint,
                known,
            ).items()
        },
        read_assignments("--package", settings.package, known, alone=True),
        {
            name: value.lower()
            for name, value in read_assignments(
                "--package-sha256", settings.package_sha256, known, alone=True
            ).items()
        },
    )
    for name, url in result.repositories.items():
        credentials.refuse(
            url,
            f"--repository {name}",
            "let the mirror serve this host without a password",
        )
        parts = urllib.parse.urlsplit(url)
        if parts.scheme not in ("http", "https") or not parts.netloc:
            raise errors.UsageError(
                f"--repository {name}={url}: this is not an http or https URL",
            )
    for name, value in result.fingerprints.items():
        if not _FINGERPRINT.fullmatch(value):
            raise errors.UsageError(
                f"--repository-fingerprint {name}={value}: a fingerprint has"
                " 40 hexadecimal digits",
                hint="`gpg --show-keys FILE` prints it",
            )
    for value in result.digests.values():
        if not _SHA256.fullmatch(value):
            raise errors.UsageError(
                f"--package-sha256 {value}: a sha256 has 64 hexadecimal"
                " digits",
                hint="`sha256sum FILE` prints it",
            )
    return result


def make(
    datastore: model.Datastore,
    version: model.Version,
    guest: model.Guest,
    arch: str,
    wishes: Wishes,
) -> Native:
    """Return how a datastore is installed in the guest system.

    A package on this host is checked here, so that a wrong package is
    reported before the build starts.

    :param wishes: the user's options.
    :raises UsageError: an option does not apply to the datastore, or a
        package is missing or wrong.
    """
    settings = version.native[guest.name]
    name = datastore.name
    if settings.repository is None:
        for flag, values in (
            ("--repository", wishes.repositories),
            ("--repository-key", wishes.keys),
            ("--repository-fingerprint", wishes.fingerprints),
        ):
            if name in values:
                raise errors.UsageError(
                    f"{flag} {name}={values[name]}: {name} does not come from"
                    " a vendor's repository",
                    hint="the distribution's mirror is given with --mirror",
                )
    if settings.file is None and name in wishes.packages:
        raise errors.UsageError(
            f"--package {name}={wishes.packages[name]}: {name} is not"
            " installed from a file",
            hint="leave it out",
        )
    return Native(
        datastore=name,
        version=version.version,
        family=guest.family,
        arch=arch,
        settings=settings,
        repository=_repository(name, settings.repository, wishes)
        if settings.repository
        else None,
        file=_file(datastore, version.version, guest, arch, settings, wishes)
        if settings.file
        else None,
    )


def _repository(
    name: str, known: native.Repository, wishes: Wishes
) -> Repository:
    key = wishes.keys.get(name, known.key)
    if not paths.is_url(key):
        path = pathlib.Path(key).expanduser()
        paths.require_file(
            path,
            f"--repository-key {name}: file",
            "name the vendor's public key, as a file or a URL",
        )
        key = str(path.resolve())
    fingerprint = wishes.fingerprints.get(name)
    return Repository(
        vendor=known.base,
        base=wishes.repositories.get(name, known.base).rstrip("/"),
        paths=known.paths,
        suite=known.suite,
        components=known.components,
        key=key,
        fingerprints=(fingerprint,) if fingerprint else known.fingerprints,
        packages=known.packages,
    )


def _file(
    datastore: model.Datastore,
    version: str,
    guest: model.Guest,
    arch: str,
    settings: native.Native,
    wishes: Wishes,
) -> File:
    wanted = settings.file
    assert wanted is not None
    name = datastore.name
    location = wishes.packages.get(name) or wishes.packages.get("")
    digest = wishes.digests.get(name) or wishes.digests.get("", "")
    if not location:
        raise errors.UsageError(
            f"{name} is installed from a package that its vendor gives to"
            " you, and none was named",
            hint=f"get it from {wanted.source}, and name it:"
            f" --package {name}=FILE|URL",
        )
    archive = wanted.archive.installer if wanted.archive else ""
    if paths.is_url(location):
        credentials.refuse(
            location, f"--package {name}", "fetch it, and name the file",
            query=True,
        )  # fmt: skip
        if not digest:
            raise errors.UsageError(
                f"--package {location}: what a URL serves can be trusted only"
                " by its digest",
                hint=f"give --package-sha256 {name}=DIGEST, as the vendor"
                " states it",
            )
        return File(location, digest, archive=archive)
    path = pathlib.Path(location).expanduser()
    paths.require_file(path, "--package", f"get it from {wanted.source}")
    sha256 = digests.sha256(path)
    require_digest(location, sha256, digest)
    package = packagefile.require(
        path,
        wanted,
        datastore=name,
        version=version,
        arch=arch,
        family=guest.family,
        shown=path.name,
    )
    return File(
        str(path.resolve()), sha256, package.name, package.version, archive
    )


def require_digest(location: str, sha256: str, wanted: str) -> None:
    """Raise an error if a package has another digest than the expected one.

    :param location: the URL or path of the package, for the error.
    :param sha256: the package's sha256.
    :param wanted: the expected sha256; any is accepted if empty.
    :raises UsageError: the digests differ.
    """
    digests.require(
        location,
        sha256,
        wanted,
        "get the file again, and the digest from its vendor; build again if"
        " it was replaced while the build ran",
        said="--package-sha256, or else the plan,",
        kind=errors.UsageError,
    )


def read_assignments(
    flag: str,
    words: collections.abc.Iterable[str],
    known: collections.abc.Collection[str],
    *,
    alone: bool = False,
) -> dict[str, str]:
    """Parse ``DATASTORE=VALUE`` and return the values by datastore.

    :param flag: the option, for errors.
    :param known: the names of all datastores in the catalog.
    :param alone: a value without a datastore is allowed; its key is empty.
    :raises UsageError: a value has no datastore, or an unknown one.
    """
    values: dict[str, str] = {}
    for word in words:
        match = _ASSIGNED.fullmatch(word)
        if match is None and alone:
            values[""] = word
        elif match is None:
            raise errors.UsageError(
                f"{flag} {word}: it does not say of which datastore",
                hint=f"write {flag} DATASTORE={word}",
            )
        elif match[1] not in known:
            raise errors.UsageError(
                f"{flag} {word}: unknown datastore {match[1]!r}",
                hint=errors.nearest(match[1], known, "datastores"),
            )
        else:
            values[match[1]] = match[2]
    return values
