# SPDX-License-Identifier: Apache-2.0
"""Checks the sources of native datastores, and writes files for the elements.

Each datastore has a directory with small files that the elements read, one
item per line: see the README of ``trove-datastore-native``.
"""

import collections.abc
import fnmatch
import pathlib
import re
import typing
import urllib.parse

from trove_tools import errors
from trove_tools.host import debian
from trove_tools.host import digests
from trove_tools.host import hosttools
from trove_tools.sources import fetch
from trove_tools.sources.native import apt
from trove_tools.sources.native import keyring
from trove_tools.sources.native import packagefile
from trove_tools.sources.native import sources

Write = collections.abc.Callable[[str], typing.Any]


def prepare(
    native: sources.Native,
    directory: pathlib.Path,
    *,
    cache: pathlib.Path,
    mirror: str,
    log: Write,
) -> None:
    """Check a native datastore's source, and write the elements' files.

    :param directory: a directory with the datastore's name is created in it.
    :param cache: the directory of diskimage-builder's cached packages.
    :param mirror: the URL of the distribution's mirror; apt must be able to
        distinguish the vendor's repository from it.
    :param log: called with the versions and URLs of the packages.
    :raises BuildError: a repository is not available, not signed, or lacks
        the version.
    :raises UsageError: the user's package is not the wanted one.
    """
    target = directory / native.datastore
    target.mkdir(parents=True)
    _settings(native, target)
    if native.repository is not None:
        with _keys(native) as ring:
            if native.family == "debian":
                pins = _apt(native, ring, cache, mirror, log)
                _deb822(native, target, pins)
                ring.export(target / "key.gpg")
            else:
                _yum(native, ring, target, log)
                ring.export(target / "key.asc", armor=True)
    if native.file is not None:
        _file(native, native.file, target, log)


def _settings(native: sources.Native, directory: pathlib.Path) -> None:
    settings = native.settings
    for name, lines in (
        ("packages", settings.packages),
        ("server", settings.packages[:1]),
        ("services", settings.services),
        ("masked", settings.masked),
        ("identity", settings.identity),
        ("data", [settings.data] if settings.data else []),
        ("sysctl", [f"{k} = {v}" for k, v in settings.sysctl.items()]),
        ("limits", [f"{k}={v}" for k, v in settings.limits.items()]),
    ):
        (directory / name).write_text("".join(f"{line}\n" for line in lines))
    for path, content in settings.config.items():
        file = directory / "config" / path.lstrip("/")
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(content)


def _keys(
    native: sources.Native,
) -> typing.ContextManager[keyring.Keyring]:
    repository = native.repository
    assert repository is not None
    return keyring.open_keyring(
        fetch.read(repository.key, f"{native.datastore}'s key"),
        repository.fingerprints,
        who=native.datastore,
        location=repository.key,
    )


def _urls(base: str, paths: collections.abc.Iterable[str]) -> list[str]:
    return [f"{base}/{path}".rstrip("/") for path in paths]


def _apt(
    native: sources.Native,
    ring: keyring.Keyring,
    cache: pathlib.Path,
    mirror: str,
    log: Write,
) -> str:
    """Check the apt repositories, and download the server's packages.

    :returns: apt_preferences(5) that limit the packages of the repositories.
    """
    repository = native.repository
    assert repository is not None
    read = [
        apt.read(
            url,
            repository.suite,
            repository.components,
            native.arch,
            native.settings.packages,
            ring,
        )
        for url in _urls(repository.base, repository.paths)
    ]
    chosen = _choose(
        native, [package for one in read for package in one.packages]
    )
    for package in chosen:
        log(f"{package.name} {package.version} from {package.url}\n")
        _download(package, cache)
    return "\n".join(
        _pins(repository, chosen, where)
        for where in dict.fromkeys(
            _where(repository, mirror) for repository in read
        )
    )


def _choose(
    native: sources.Native, packages: list[apt.Package]
) -> list[apt.Package]:
    """Return the packages in the repositories that will be installed.

    :param packages: all packages of the repositories.
    :raises BuildError: there is no server of the wanted version.
    """
    assert native.repository is not None
    server, *others = native.settings.packages
    right = [
        package
        for package in packages
        if package.name == server
        and debian.is_of_version(package.version, native.version)
    ]
    chosen = apt.newest(right)
    if chosen is None:
        there = errors.in_order(
            {e.version for e in packages if e.name == server}
        )
        raise errors.BuildError(
            f"{native.repository.base} has no {server} {native.version} for"
            f" {native.arch}, but {', '.join(there) or 'none at all'}",
            hint="build a version that it has, or give --repository"
            f" {native.datastore}=URL with another",
        )
    packages_chosen = [chosen]
    for name in others:
        named = [package for package in packages if package.name == name]
        same = [
            package for package in named if package.version == chosen.version
        ]
        other = apt.newest(same or named)
        # a package that the vendor lacks comes from the distribution
        if other is not None:
            packages_chosen.append(other)
    return packages_chosen


def _download(package: apt.Package, cache: pathlib.Path) -> None:
    """Download a package to apt's cache, unless it is there.

    :raises BuildError: its digest differs from the signed index.
    """
    file = cache / package.file
    cache.mkdir(parents=True, exist_ok=True)
    if digests.is_same(file, package.sha256):
        return
    fetched = file.with_name(f".{file.name}.trove")
    try:
        sha256 = fetch.save(
            package.url, fetched, f"package {package.name}", packages=True
        )
        digests.require(
            package.url,
            sha256,
            package.sha256,
            "nothing was installed; find out who changed it, or use another"
            " mirror (--repository)",
            said="the repository's signed index",
        )
        fetched.rename(file)
    finally:
        fetched.unlink(missing_ok=True)


def _where(read: apt.Repository, mirror: str) -> str:
    """Return a pin of apt_preferences(5) for a repository's packages.

    :raises BuildError: no pin distinguishes them from the distribution's.
    """
    if read.origin not in ("", ".", "Debian", "Ubuntu"):
        label = f",l={read.label}" if read.label else ""
        return f"release o={read.origin}{label}"
    host = urllib.parse.urlsplit(read.url).hostname or ""
    if host and host != urllib.parse.urlsplit(mirror).hostname:
        return f'origin "{host}"'
    raise errors.BuildError(
        f"apt cannot distinguish the packages of {read.url} from the"
        " distribution's: both have the same origin and the same host",
        hint="give the mirror another Origin in its Release file, or another"
        " host name",
    )


def _pins(
    repository: sources.Repository,
    chosen: collections.abc.Iterable[apt.Package],
    where: str,
) -> str:
    """Return apt_preferences(5) for a vendor's repository.

    The chosen versions come first, then other versions of the repository's
    listed packages; its other packages are never installed.

    :param where: the pin for the repository.
    """
    exact = [
        f"Package: {package.name}\nPin: version {package.version}\n"
        "Pin-Priority: 995\n"
        for package in chosen
        if any(fnmatch.fnmatch(package.name, p) for p in repository.packages)
    ]
    return "\n".join(
        [
            *exact,
            f"Package: {' '.join(repository.packages)}\nPin: {where}\n"
            "Pin-Priority: 990\n",
            f"Package: *\nPin: {where}\nPin-Priority: -1\n",
        ]
    )


def _deb822(
    native: sources.Native, directory: pathlib.Path, pins: str
) -> None:
    """Write apt's sources for the build and for guests, and the pins."""
    repository = native.repository
    assert repository is not None
    keys = f"/usr/share/keyrings/trove-{native.datastore}.gpg"

    def stanza(base: str) -> str:
        return (
            "Types: deb\n"
            f"URIs: {' '.join(_urls(base, repository.paths))}\n"
            f"Suites: {repository.suite}\n"
            f"Components: {' '.join(repository.components)}\n"
            f"Architectures: {native.arch}\n"
            f"Signed-By: {keys}\n"
        )

    (directory / "build.sources").write_text(stanza(repository.base))
    (directory / "pin").write_text(pins)
    # guests seldom reach the mirror of the build host, so they get no source
    if repository.base == repository.vendor:
        (directory / "guest.sources").write_text(stanza(repository.vendor))


def _yum(
    native: sources.Native,
    ring: keyring.Keyring,
    directory: pathlib.Path,
    log: Write,
) -> None:
    """Check the signature of yum's repositories, and write yum's sources.

    yum checks the packages itself.
    """
    repository = native.repository
    assert repository is not None
    machine = hosttools.KERNEL_NAMES[native.arch]
    signed = True
    for url in _urls(repository.base, repository.paths):
        index = url.replace("$basearch", machine) + "/repodata/repomd.xml"
        content = fetch.read(
            index, f"{native.datastore}'s repository", packages=True
        )
        try:
            signature = fetch.read(
                f"{index}.asc", "its signature", packages=True
            )
        except fetch.AbsentError:
            # the packages are signed even if the index is not (gpgcheck)
            signed = False
            continue
        ring.require_signature(content, signature, index)
    keys = f"/etc/pki/rpm-gpg/trove-{native.datastore}.asc"

    def stanzas(base: str) -> str:
        return "\n".join(
            f"[trove-{native.datastore}-{number}]\n"
            f"name={native.datastore}\n"
            f"baseurl={url}\n"
            "enabled=1\n"
            "gpgcheck=1\n"
            f"repo_gpgcheck={int(signed)}\n"
            f"gpgkey=file://{keys}\n"
            f"includepkgs={' '.join(repository.packages)}\n"
            for number, url in enumerate(_urls(base, repository.paths))
        )

    (directory / "build.repo").write_text(stanzas(repository.base))
    if repository.base == repository.vendor:
        (directory / "guest.repo").write_text(stanzas(repository.vendor))
    log(f"{native.datastore} from {repository.base}\n")


def _file(
    native: sources.Native,
    file: sources.File,
    directory: pathlib.Path,
    log: Write,
) -> None:
    """Download or copy the user's package, and check it again."""
    wanted = native.settings.file
    assert wanted is not None
    name = pathlib.Path(urllib.parse.urlsplit(file.location).path).name
    # some tools of the elements fail with special characters in names
    here = directory / "file" / re.sub(r"[^A-Za-z0-9._+~-]", "_", name)
    here.parent.mkdir()
    sha256 = fetch.save(file.location, here, f"{native.datastore}'s package")
    sources.require_digest(file.location, sha256, file.sha256)
    package = packagefile.require(
        here,
        wanted,
        datastore=native.datastore,
        version=native.version,
        arch=native.arch,
        family=native.family,
        shown=name,
    )
    log(f"{package.name} {package.version} from {file.location}\n")
    server = package.name
    if file.archive:
        (directory / "installer").write_text(
            f"{package.name}/{file.archive}\n"
        )
        # the guest's list of packages, which has versions, will lack it
        server = f"{package.name} {package.version}"
    (directory / "server").write_text(f"{server}\n")
