# SPDX-License-Identifier: Apache-2.0
"""Finds and reads diskimage-builder's elements."""

import collections.abc
import dataclasses
import functools
import hashlib
import os
import pathlib
import re

from trove_tools.host import paths

#: Inside the package, so that a wheel and an editable install both have the
#: elements.
DIRECTORY = pathlib.Path(__file__).parent.parent / "elements"

#: The guest's system configuration, the agent, and the agent's environment.
GUEST, AGENT, VENV = (
    "trove-guest", "trove-guest-agent", "trove-guest-agent-venv",
)  # fmt: skip
#: What an installation of Python packages needs from the build host.
PIP = "trove-pip"
#: Serves the manifests of the image's containers to the guest's engine.
LOCAL_MANIFESTS = "trove-local-manifests"
#: The boot loader's packages.
BIOS, EFI = "trove-boot-bios", "trove-boot-efi"
#: Lets a developer log in with an SSH key.
DEV = "trove-dev"
#: Adds certificate authorities that guests trust.
GUEST_CA = "trove-guest-ca"
#: Makes guests install security updates automatically.
UPGRADES = "trove-unattended-upgrades"
#: ROOT unpacks the root of the layer below; END ends a layer that makes no
#: disk.
ROOT, END = "trove-layer-root", "trove-layer-end"
#: The last elements of every layer, and of the image.
CLEAN, FINISH = "trove-guest-clean", ("trove-apt-sources", "vm", "manifests")
#: Upgrades the packages of the layers below.
REFRESH = "trove-refresh"
#: Gives every layer the proxies and trusted authorities of this host.
NETWORK = "trove-build-network"
#: Elements that are not in the catalog.
ALWAYS = (
    GUEST, AGENT, VENV, DEV, ROOT, END, CLEAN, REFRESH, NETWORK,
    GUEST_CA, UPGRADES, *FINISH,
)  # fmt: skip

_VARIABLE = re.compile(r"\bDIB_\w+")


@dataclasses.dataclass(frozen=True)
class Element:
    """The properties of an element that its files show.

    :param digest: the digest of all its files.
    :param needs: the elements that it depends on.
    :param provides: the names of other elements that it replaces.
    :param variables: the ``DIB_*`` variables that its files contain, except
        for its documentation.  A name that ends with an underscore is the
        prefix of names that are composed at run time, see :func:`reads`.
    :param exports: the ``DIB_*`` variables in its files in
        ``environment.d``, which also apply to all later layers.
    """

    digest: str
    needs: tuple[str, ...] = ()
    provides: tuple[str, ...] = ()
    variables: frozenset[str] = frozenset()
    exports: frozenset[str] = frozenset()


Library = collections.abc.Mapping[str, Element]


def reads(variables: collections.abc.Collection[str], name: str) -> bool:
    """Return whether a variable is among those that files contain.

    :param variables: variables and prefixes, as in :class:`Element`.
    :param name: the variable.
    """
    return name in variables or any(
        name.startswith(known) for known in variables if known.endswith("_")
    )


@functools.cache
def variables_of_core() -> frozenset[str]:
    """Return the variables that diskimage-builder reads without elements."""
    import diskimage_builder

    found: set[str] = set()
    package = pathlib.Path(diskimage_builder.__path__[0])
    # its elements are most of its files
    for file in _files(package, without=("elements", "tests")):
        found.update(_VARIABLE.findall(file.read_text(errors="replace")))
    return frozenset(found)


def path(further: str | None = None) -> tuple[str, ...]:
    """Return the directories with elements, in the order of precedence.

    :param further: the user's directories, separated by colons.
    :raises UsageError: one of them does not exist.
    """
    named = [part for part in (further or "").split(":") if part]
    for directory in named:
        paths.require_directory(
            pathlib.Path(directory),
            "--elements-path",
            "correct --elements-path or ELEMENTS_PATH",
        )
    resolved = [str(pathlib.Path(part).resolve()) for part in named]
    return (*resolved, str(DIRECTORY))


def disk(partition_table: str) -> str:
    """Return the element that creates a disk's partitions.

    :param partition_table: mbr, gpt or efi.
    """
    return f"block-device-trove-{partition_table}"


def boot_loader(partition_table: str) -> str:
    """Return the element with a boot loader's packages.

    :param partition_table: as for :func:`disk`.
    """
    return EFI if partition_table == "efi" else BIOS


def shipped_path() -> str:
    """Return the directory with diskimage-builder's own elements."""
    import diskimage_builder.paths

    return str(diskimage_builder.paths.get_path("elements"))


def find(
    name: str, directories: collections.abc.Iterable[str | pathlib.Path]
) -> pathlib.Path | None:
    """Return an element's directory, from the first directory with it."""
    for directory in map(pathlib.Path, directories):
        if (directory / name).is_dir():
            return directory / name
    return None


def names(
    directories: collections.abc.Iterable[str | pathlib.Path],
) -> set[str]:
    """Return the names of all elements in some directories."""
    return {
        entry.name
        for directory in directories
        for entry in pathlib.Path(directory).iterdir()
        if entry.is_dir() and not entry.name.startswith("_")
    }


def read(
    names: collections.abc.Iterable[str],
    directories: collections.abc.Sequence[str | pathlib.Path],
) -> dict[str, Element]:
    """Read elements and all elements that they depend on.

    Names without a directory are omitted: other elements provide them.

    :param names: the names of the elements.
    :param directories: directories with elements, in order of precedence.
    """
    library: dict[str, Element] = {}
    queue = list(names)
    while queue:
        name = queue.pop()
        directory = find(name, directories)
        if name in library or directory is None:
            continue
        library[name] = _read(directory)
        queue.extend(library[name].needs)
    return library


def reach(
    names: collections.abc.Iterable[str],
    library: Library,
    *,
    without: collections.abc.Collection[str] = (),
) -> set[str]:
    """Return elements and all elements that they depend on.

    :param without: elements that are omitted, with their dependencies.
    """
    provided: set[str] = set()
    found: set[str] = set()
    queue = [name for name in names if name not in without]
    while queue:
        name = queue.pop()
        if name in found or name not in library:
            continue
        found.add(name)
        provided.update(library[name].provides)
        queue.extend(set(library[name].needs).difference(without))
    return found - provided


def digest(directory: pathlib.Path) -> str:
    """Return a digest of all files below a directory.

    The digest covers each file's path below the directory, its content, and
    whether it is executable: all properties that can affect a build.
    """
    total = hashlib.sha256()
    for file in _files(directory):
        run = "x" if file.stat().st_mode & 0o100 else "-"
        name = file.relative_to(directory)
        content = hashlib.sha256(file.read_bytes()).hexdigest()
        total.update(f"{name} {run} {content}\n".encode())
    return total.hexdigest()


def _files(
    directory: pathlib.Path,
    without: collections.abc.Collection[str] = (),
) -> collections.abc.Iterator[pathlib.Path]:
    """Yield all files below a directory, sorted by the parts of their paths.

    :param without: names of directories that are left out.
    """
    found = []
    for where, below, names in os.walk(directory):
        below[:] = [
            name
            for name in below
            if name != "__pycache__" and name not in without
        ]
        found += [os.path.join(where, name) for name in names]
    for path in sorted(found, key=lambda path: path.split(os.sep)):
        if os.path.isfile(path):
            yield pathlib.Path(path)


def _read(directory: pathlib.Path) -> Element:
    variables: set[str] = set()
    exports: set[str] = set()
    for file in _files(directory):
        if file.name == "README.rst":
            continue
        named = _VARIABLE.findall(file.read_text(errors="replace"))
        variables.update(named)
        if file.parent.name == "environment.d":
            exports.update(named)
    return Element(
        digest=digest(directory),
        needs=_lines(directory / "element-deps"),
        provides=_lines(directory / "element-provides"),
        variables=frozenset(variables),
        exports=frozenset(exports),
    )


def _lines(file: pathlib.Path) -> tuple[str, ...]:
    try:
        return tuple(sorted(file.read_text().split()))
    except FileNotFoundError:
        return ()
