# SPDX-License-Identifier: Apache-2.0
"""Identifies a package that the user supplies, without installing it.

For a Debian package, the control file is read (deb(5): an ar archive that
contains a tar archive); for an RPM package, its lead (name, version and
architecture); for a tar archive, the names of its files.
"""

import io
import lzma
import pathlib
import re
import tarfile
import typing
import zlib

from trove_tools import errors
from trove_tools.catalog import native
from trove_tools.host import debian
from trove_tools.host import process

_RPM_MAGIC = b"\xed\xab\xee\xdb"
_AR_MAGIC = b"!<arch>\n"


class Package(typing.NamedTuple):
    """The name, version and architecture of a package."""

    name: str
    version: str
    architecture: str


def require(
    file: pathlib.Path,
    wanted: native.PackageFile,
    *,
    datastore: str,
    version: str,
    arch: str,
    family: str,
    shown: str,
) -> Package:
    """Raise an error unless a file is the wanted package.

    :param wanted: the catalog's description of the package.
    :param version: the version of the datastore.
    :param arch: the architecture of the image.
    :param family: the family of the guest system: debian or redhat.
    :param shown: the user's name of the file, for errors.
    :returns: the package's name, version and architecture.
    :raises UsageError: the file is not a package, or another package.
    """
    kind = "deb" if family == "debian" else "rpm"
    try:
        if wanted.archive is not None:
            found = _archive(file, wanted, arch, shown)
        elif kind == "deb":
            found = _deb(file)
        else:
            found = _rpm(file, arch)
    except (tarfile.TarError, EOFError, ValueError,
            lzma.LZMAError, zlib.error) as exc:  # fmt: skip
        what = "archive" if wanted.archive else f"{kind} package"
        raise errors.UsageError(
            f"{shown} is not an intact {what}: {exc}",
            hint=f"get it again from {wanted.source}",
        ) from exc
    if found.name not in wanted.names:
        raise errors.UsageError(
            f"{shown} is a package of {found.name}, not of"
            f" {' or '.join(wanted.names)}",
            hint=f"{datastore} can be had from {wanted.source}",
        )
    if found.architecture not in (arch, "all"):
        raise errors.UsageError(
            f"{shown} is for architecture {found.architecture}, and the image"
            f" for {arch}",
            hint=f"get the package for {arch}, or give --arch",
        )
    upstream = found.version.rpartition(":")[2]
    if not re.match(rf"{re.escape(version)}(?![0-9])", upstream):
        raise errors.UsageError(
            f"{shown} has {datastore} {found.version}, not {version}",
            hint=f"get version {version}, or build"
            f" {datastore}:VERSION with one that the catalog has",
        )
    return found


def _archive(
    file: pathlib.Path, wanted: native.PackageFile, arch: str, shown: str
) -> Package:
    """Return the version and architecture of a tar archive.

    The version comes from the archive's name; the architecture is known from
    a directory in the archive.
    """
    assert wanted.archive is not None
    named = re.search(wanted.archive.version, pathlib.Path(shown).name)
    if named is None:
        raise ValueError(
            "its name does not contain the version (expected:"
            f" {wanted.archive.version})"
        )
    marks = wanted.archive.architectures
    missing = {wanted.archive.installer, *marks.values()}
    found: set[str] = set()
    architecture, top = "another one", ""
    with tarfile.open(file) as content:
        for member in content:
            name = member.name.removeprefix("./")
            directory, _, inside = name.partition("/")
            top = top or directory
            found |= {
                path
                for path in missing - found
                if inside == path or inside.startswith(f"{path}/")
            }
            for name, mark in marks.items():
                if mark in found:
                    architecture = name
            # the rest of the archive is large, and decompressing it is slow
            if wanted.archive.installer in found and architecture == arch:
                break
    if wanted.archive.installer not in found:
        raise ValueError(f"there is no {wanted.archive.installer} in it")
    return Package(top, named[1], architecture)


def _deb(file: pathlib.Path) -> Package:
    fields, *_ = (*debian.parse_paragraphs(_control(file)), {})
    try:
        return Package(
            fields["package"], fields["version"], fields["architecture"]
        )
    except KeyError as exc:
        raise ValueError(f"its control file has no {exc}") from exc


def _control(file: pathlib.Path) -> str:
    with open(file, "rb") as stream:
        if stream.read(len(_AR_MAGIC)) != _AR_MAGIC:
            raise ValueError("it is not an ar archive")
        while header := stream.read(60):
            name = header[:16].decode("ascii", "replace").strip().rstrip("/")
            size = int(header[48:58])
            if name.startswith("control.tar"):
                content = stream.read(size)
                if len(content) < size:
                    raise ValueError("it is truncated")
                return _member(content, name)
            stream.seek(size + size % 2, io.SEEK_CUR)
    raise ValueError("it has no control file")


def _member(content: bytes, name: str) -> str:
    if name.endswith(".zst"):
        # Python's standard library does not support zstd
        content = _unzstd(content)
    with tarfile.open(fileobj=io.BytesIO(content)) as archive:
        for member in archive:
            if member.name.removeprefix("./") == "control":
                stream = archive.extractfile(member)
                if stream is not None:
                    return stream.read().decode(errors="replace")
    raise ValueError("it has no control file")


def _unzstd(content: bytes) -> bytes:
    import tempfile

    with tempfile.TemporaryDirectory(prefix="trove-package-") as directory:
        packed = pathlib.Path(directory, "control.tar.zst")
        packed.write_bytes(content)
        process.run(["zstd", "--decompress", "--quiet", packed])
        return packed.with_suffix("").read_bytes()


def _rpm(file: pathlib.Path, arch: str) -> Package:
    """Read the lead of an RPM package: name-version-release, architecture."""
    with open(file, "rb") as stream:
        lead = stream.read(96)
    if len(lead) < 96 or not lead.startswith(_RPM_MAGIC):
        raise ValueError("it is not an RPM package")
    text = lead[10:76].split(b"\0")[0].decode("ascii", "replace")
    name, version, _ = text.rsplit("-", 2)
    # the lead's number for the architecture: 1 is x86, including x86_64
    number = int.from_bytes(lead[8:10], "big")
    machines = {1: "amd64", 19: "arm64"}
    return Package(name, version, machines.get(number, str(number)))
