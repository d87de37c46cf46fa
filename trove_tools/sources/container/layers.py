# SPDX-License-Identifier: Apache-2.0
"""Puts the files that several containers have in common into shared layers.

Containers that are made from packages of one suite have most of the system in
common, and backup containers also have Python and Trove's program in common.
Docker stores a layer once for all images that have it and the same layers
below it.
"""

import collections.abc
import dataclasses
import pathlib
import tarfile
import typing

from trove_tools.host import digests

# bytes
_BLOCK = 1024 * 1024

# the metadata and the content of a path
_Entry = tuple[typing.Any, ...]


@dataclasses.dataclass(frozen=True)
class Root:
    """The root of a container.

    :param archive: a tar archive; a directory precedes its contents, and a
        file its hard links.
    :param family: the names of the groups that this container belongs to, the
        largest group first.  Containers whose families begin with the same
        names have files in common.
    """

    archive: pathlib.Path
    family: tuple[str, ...]


def split(
    roots: collections.abc.Sequence[Root], directory: pathlib.Path
) -> collections.abc.Iterator[list[pathlib.Path]]:
    """Split the roots into layers, with the shared layers at the bottom.

    A layer for each group has what is the same in all roots of the group. The
    top layer has the rest of a root, or all of a root that shares nothing.

    :param directory: the directory for the layers.
    :returns: the layers of each root, as tar archives, the lowest first.  An
        archive of a root is removed when its layers are written, because it
        may be in memory; the caller may remove the top layer.
    """
    entries = [_read(root.archive) for root in roots]
    written: dict[tuple[str, ...], pathlib.Path] = {}
    for number, root in enumerate(roots):
        rest = dict(entries[number])
        chain = []
        for length in range(1, len(root.family) + 1):
            group = root.family[:length]
            members = [
                entries[other]
                for other, each in enumerate(roots)
                if each.family[:length] == group
            ]
            if len(members) == 1:
                break
            common = {
                name
                for name, entry in rest.items()
                if all(member.get(name) == entry for member in members)
            }
            if not common:
                continue
            for name in common:
                del rest[name]
            if group not in written:
                file = directory / f"{'-'.join(group)}.tar"
                written[group] = file
                _write(root.archive, file, common)
            chain.append(written[group])
        top = root.archive
        if chain:
            top = directory / f"{number}.tar"
            _write(root.archive, top, rest.keys())
            root.archive.unlink()
        yield [*chain, top]


def _read(archive: pathlib.Path) -> dict[str, _Entry]:
    """Return the entries of an archive by name.

    Files that are hard links to each other are only equal to files with the
    same links, so that all of them come into the same layer.
    """
    entries: dict[str, _Entry] = {}
    links: dict[str, list[str]] = {}
    with tarfile.open(archive) as opened:
        for member in opened:
            if member.islnk():
                links.setdefault(member.linkname, []).append(member.name)
            entries[member.name] = (
                member.type, member.mode, member.uid, member.gid,
                member.mtime, member.linkname, member.devmajor,
                member.devminor, sorted(member.pax_headers.items()),
                _digest(opened, member),
            )  # fmt: skip
    for target, names in links.items():
        for name in (target, *names):
            entries[name] = (*entries[name], names)
    return entries


def _digest(archive: tarfile.TarFile, member: tarfile.TarInfo) -> str:
    """Return the digest of a regular file; empty for others."""
    if not member.isreg():
        return ""
    stream = archive.extractfile(member)
    assert stream is not None
    blocks = iter(lambda: stream.read(_BLOCK), b"")
    return digests.compute_blocks(blocks, ["sha256"])["sha256"]


def _write(
    archive: pathlib.Path,
    file: pathlib.Path,
    names: collections.abc.Collection[str],
) -> None:
    """Write a layer with some of an archive's entries.

    The layer also has the directories above them: for a directory that a layer
    does not describe, Docker would choose the owner and the mode.
    """
    above = {
        str(parent)
        for name in names
        for parent in pathlib.PurePosixPath(name).parents
    }
    with (
        tarfile.open(archive) as opened,
        tarfile.open(file, "w", format=tarfile.PAX_FORMAT) as layer,
    ):
        for member in opened:
            inside = str(pathlib.PurePosixPath(member.name))
            if member.name in names or (member.isdir() and inside in above):
                layer.addfile(
                    member,
                    opened.extractfile(member) if member.isreg() else None,
                )
