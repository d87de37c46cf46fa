# SPDX-License-Identifier: Apache-2.0
"""Reads an apt repository as apt does, before a build starts.

Only data that the repository's key has signed is used: the signed Release file
has the digests of the indices, and the indices have the digests of the
packages.  See https://wiki.debian.org/DebianRepository/Format.
"""

import collections.abc
import contextlib
import dataclasses
import datetime
import email.utils
import functools
import hashlib
import lzma
import os
import pathlib
import re
import time
import zlib

from trove_tools import errors
from trove_tools.host import debian
from trove_tools.host import files
from trove_tools.sources import fetch
from trove_tools.sources.native import keyring

_COMPRESSED = (".xz", ".gz", "")

_NAME = re.compile(rb"^Package:[ \t]*(\S+)", re.MULTILINE | re.IGNORECASE)

# seconds after which an unused index leaves the cache
_KEPT = 30 * 86400


@dataclasses.dataclass(frozen=True)
class Package:
    """A package in a repository.

    :param url: the URL of the package.
    :param file: the file name of the package in apt's cache.
    """

    name: str
    version: str
    url: str
    file: str
    sha256: str
    size: int


@dataclasses.dataclass(frozen=True)
class Repository:
    """A repository whose signature is valid.

    :param origin: the field Origin of its Release file; may be empty.
    :param label: the field Label of its Release file; may be empty.
    :param packages: the requested packages that it has.
    """

    url: str
    origin: str
    label: str
    packages: tuple[Package, ...]


def read(
    url: str,
    suite: str,
    components: collections.abc.Sequence[str],
    arch: str,
    names: collections.abc.Container[str],
    ring: keyring.Keyring,
    *,
    cache: pathlib.Path | None = None,
    check_date: bool = True,
) -> Repository:
    """Read a repository and find packages in it.

    :param url: the URL of the repository.
    :param names: the names of the requested packages.
    :param ring: the keys that may sign the repository.
    :param cache: a directory that keeps the indices, by their digests.
    :param check_date: refuse a Release file whose Valid-Until has passed.
    :raises BuildError: there is no repository, it is not signed by one of the
        keys, a file in it was changed, or it has expired.
    """
    place = f"{url}/dists/{suite}"
    release = _Release(_signed(place, ring), place)
    if check_date:
        release.require_current()
    packages = [
        _package(stanza, url)
        for component in components
        for stanza in release.index(component, arch, names, cache)
    ]
    return Repository(
        url,
        release.fields.get("origin", ""),
        release.fields.get("label", ""),
        tuple(packages),
    )


def newest(
    packages: collections.abc.Iterable[Package],
) -> Package | None:
    """Return the package with the highest version; None if there is none."""
    key = functools.cmp_to_key(compare)
    return max(packages, key=lambda each: key(each.version), default=None)


def _signed(place: str, ring: keyring.Keyring) -> str:
    """Return the text of the Release file after checking its signature."""
    what = "package repository"
    try:
        content = fetch.read(f"{place}/InRelease", what, packages=True)
        return ring.signed_text(content, f"{place}/InRelease")
    except fetch.AbsentError:
        pass
    try:
        content = fetch.read(f"{place}/Release", what, packages=True)
    except fetch.AbsentError as exc:
        raise errors.BuildError(
            f"there is no package repository at {place}",
            hint="check --repository; the suite in it must be"
            f" {place.partition('/dists/')[2]}",
        ) from exc
    try:
        signature = fetch.read(f"{place}/Release.gpg", what, packages=True)
    except fetch.AbsentError:
        signature = b""
    ring.require_signature(content, signature, f"{place}/Release")
    return content.decode(errors="replace")


class _Release:
    """A Release file."""

    def __init__(self, text: str, place: str) -> None:
        (self.fields, *_) = (*debian.parse_paragraphs(text), {})
        self._place = place

    def require_current(self) -> None:
        """Raise an error if Valid-Until has passed: it may be a replay."""
        until = self.fields.get("valid-until")
        if until is None:
            return
        moment = email.utils.parsedate_to_datetime(until)
        if moment.tzinfo is None:
            moment = moment.replace(tzinfo=datetime.UTC)
        if moment < datetime.datetime.now(datetime.UTC):
            raise errors.BuildError(
                f"the package repository {self._place} was valid until"
                f" {until}",
                hint="bring the mirror up to date",
            )

    def index(
        self,
        component: str,
        arch: str,
        names: collections.abc.Container[str],
        cache: pathlib.Path | None,
    ) -> collections.abc.Iterator[dict[str, str]]:
        """Yield the fields of the requested packages of a component."""
        digests = {
            name: digest
            for digest, _, name in (
                line.split()
                for line in self.fields.get("sha256", "").splitlines()
                if line.strip()
            )
        }
        stem = f"{component}/binary-{arch}/Packages"
        for ending in _COMPRESSED:
            if stem + ending in digests:
                break
        else:
            raise errors.BuildError(
                f"the package repository {self._place} has no component"
                f" {component} for {arch}",
                hint="check --repository, --arch and the version",
            )
        name = stem + ending
        content = self._read_index(name, digests[name], cache)
        if ending == ".xz":
            content = lzma.decompress(content)
        elif ending == ".gz":
            content = zlib.decompress(content, wbits=31)
        # an index has up to a hundred thousand packages, so only the requested
        # ones are parsed
        for paragraph in content.split(b"\n\n"):
            match = _NAME.search(paragraph)
            if match and match[1].decode(errors="replace") in names:
                text = paragraph.decode(errors="replace")
                yield from debian.parse_paragraphs(text)

    def _read_index(
        self, name: str, digest: str, cache: pathlib.Path | None
    ) -> bytes:
        """Return an index, from the cache if it is there."""
        kept = cache and cache / digest
        if kept and kept.is_file():
            content = kept.read_bytes()
            if hashlib.sha256(content).hexdigest() == digest:
                os.utime(kept)
                return content
        content = fetch.read(
            f"{self._place}/{name}", "package repository", packages=True
        )
        if hashlib.sha256(content).hexdigest() != digest:
            raise errors.BuildError(
                f"{self._place}/{name} is not what the repository's signed"
                " Release file says",
                hint="nothing was installed; a mirror may be in the middle of"
                " an update: try again, or find out who changed it",
            )
        if kept:
            _keep(kept, content)
        return content


def _keep(file: pathlib.Path, content: bytes) -> None:
    """Write an index to the cache, and remove those long unused."""
    file.parent.mkdir(parents=True, exist_ok=True)
    with files.replace_file(file) as stream:
        stream.write(content)
    for other in file.parent.iterdir():
        with contextlib.suppress(FileNotFoundError):
            if time.time() - other.stat().st_mtime > _KEPT:
                other.unlink()


def _package(stanza: dict[str, str], url: str) -> Package:
    try:
        name, version = stanza["package"], stanza["version"]
        architecture = stanza["architecture"]
        quoted = version.replace(":", "%3a")
        return Package(
            name,
            version,
            f"{url}/{stanza['filename']}",
            f"{name}_{quoted}_{architecture}.deb",
            stanza["sha256"],
            int(stanza["size"]),
        )
    except (KeyError, ValueError) as exc:
        raise errors.BuildError(
            f"the package repository {url} describes a package without {exc}"
        ) from exc


def compare(one: str, other: str) -> int:
    """Compare two versions by the rules of deb-version(7).

    :returns: a number less than, equal to or greater than 0.
    """
    if one == other:
        # as most installed packages are, compared with a repository
        return 0
    for first, second in zip(_parts(one), _parts(other), strict=True):
        if result := _compare_part(first, second):
            return result
    return 0


def _parts(version: str) -> tuple[str, str, str]:
    epoch, separator, rest = version.partition(":")
    if not separator:
        epoch, rest = "0", version
    upstream, _, revision = rest.rpartition("-")
    return (epoch, upstream, revision) if upstream else (epoch, rest, "")


def _order(character: str) -> int:
    if character == "~":
        return -1
    return ord(character) if character.isalpha() else ord(character) + 256


def _magnitude(digits: str) -> tuple[int, str]:
    """Return the sort key of a natural number of any length."""
    digits = digits.lstrip("0")
    return len(digits), digits


def _beginning(pattern: str, *texts: str) -> list[str]:
    return [match[0] for text in texts if (match := re.match(pattern, text))]


def _compare_part(one: str, other: str) -> int:
    while one or other:
        first, second = _beginning("[^0-9]*", one, other)
        for index in range(max(len(first), len(second))):
            left = _order(first[index]) if index < len(first) else 0
            right = _order(second[index]) if index < len(second) else 0
            if left != right:
                return left - right
        one, other = one[len(first) :], other[len(second) :]
        first, second = _beginning("[0-9]*", one, other)
        a, b = _magnitude(first), _magnitude(second)
        if a != b:
            return 1 if a > b else -1
        one, other = one[len(first) :], other[len(second) :]
    return 0
