# SPDX-License-Identifier: Apache-2.0
"""Reads the contents of an image from its root file system.

It runs nothing from the image, and does not use its manifest.
"""

import collections.abc
import dataclasses
import os
import pathlib
import stat
import typing

from trove_tools.catalog import model
from trove_tools.host import debian
from trove_tools.host import hosttools
from trove_tools.inspection import docker
from trove_tools.inspection import package
from trove_tools.inspection import rootfile

#: Smaller directories, in bytes, are not listed.
LEAST_DIRECTORY = 512 * 1024
#: The names below this directory have no meaning and differ in each build.
_NAMELESS = "/var/lib/docker/"
# generated from files of packages, and changed together with them
_DERIVED = {"/etc/ssl/certs", "/etc/ld.so.cache"}
_DIGITS = 16


@dataclasses.dataclass(frozen=True)
class Contents:
    """The contents of an image.

    :param system: the guest system's id, version, name (in prose) and kernel.
    :param packages: the packages of the guest system.
    :param python: the packages in the guest agent's virtual environment.
    :param directories: bytes in each large directory, including all below it.
    :param configuration: the state of each file in ``/etc``, as one text.
    """

    system: dict[str, str]
    packages: tuple[package.Package, ...] = ()
    python: tuple[package.Package, ...] = ()
    containers: tuple[docker.Container, ...] = ()
    directories: dict[str, int] = dataclasses.field(default_factory=dict)
    configuration: dict[str, str] = dataclasses.field(default_factory=dict)

    def as_dict(self) -> dict[str, typing.Any]:
        """Return the contents as plain data."""
        return dataclasses.asdict(self)

    @property
    def agent(self) -> str:
        """The guest agent's version; empty if there is no agent."""
        versions = {
            distribution.name: distribution.version
            for distribution in self.python
        }
        return versions.get("trove", "")


def read_contents(root: pathlib.Path) -> Contents:
    """Return the contents of a root file system."""
    return Contents(
        system=_system(root),
        packages=package.read_dpkg(root),
        python=package.read_python(root / package.AGENT_VENV),
        containers=docker.read_containers(root),
        directories=measure_directories(root),
        configuration=read_configuration(root),
    )


def from_dict(data: dict[str, typing.Any]) -> Contents:
    """Restore contents from the data of :meth:`Contents.as_dict`."""
    return Contents(
        system=data["system"],
        packages=package.from_dicts(data["packages"]),
        python=package.from_dicts(data["python"]),
        containers=tuple(
            docker.Container(
                names=tuple(container["names"]),
                id=container["id"],
                size=container["size"],
                packages=package.from_dicts(container["packages"]),
                system=container["system"],
            )
            for container in data["containers"]
        ),
        directories=data["directories"],
        configuration=data["configuration"],
    )


def _system(root: pathlib.Path) -> dict[str, str]:
    release = hosttools.os_release(root)
    kernels = sorted(
        file.name.removeprefix("vmlinuz-")
        for file in (root / "boot").glob("vmlinuz-*")
    )
    return {
        "id": release.get("ID", ""),
        "version": release.get("VERSION_ID", ""),
        "name": release.get("PRETTY_NAME", ""),
        "kernel": kernels[-1] if kernels else "",
    }


def measure_directories(root: pathlib.Path) -> dict[str, int]:
    """Return the bytes in each directory, including all below it.

    A file with several hard links counts once, in the first directory.

    :returns: the bytes by the path in the guest; directories that are smaller
        than :data:`LEAST_DIRECTORY` are left out, except ``/``.
    """
    totals: dict[str, int] = {}
    met: set[tuple[int, int]] = set()
    top = os.fspath(root)
    # subdirectories come first, so that their totals are known
    for directory, below, files in os.walk(top, topdown=False):
        total = 0
        for name in sorted(files):
            status = os.lstat(os.path.join(directory, name))
            if stat.S_ISREG(status.st_mode) and status.st_nlink > 1:
                if (status.st_dev, status.st_ino) in met:
                    continue
                met.add((status.st_dev, status.st_ino))
            total += status.st_size
        total += sum(totals.get(os.path.join(directory, name), 0)
                     for name in below)  # fmt: skip
        totals[directory] = total
    sizes = {
        "/" + os.path.relpath(directory, top)
        if directory != top
        else "/": total
        for directory, total in sorted(totals.items())
        if total >= LEAST_DIRECTORY or directory == top
    }
    return {
        path: total for path, total in sizes.items()
        if not path.startswith(_NAMELESS)
    }  # fmt: skip


def read_configuration(root: pathlib.Path) -> dict[str, str]:
    """Return the state of each file in ``/etc``, by its path.

    :returns: the texts of :func:`trove_tools.inspection.rootfile.describe`,
        with the beginning of the digest.
    """
    states = {}
    for directory, below, names in os.walk(root / "etc"):
        links = [
            each
            for each in below
            if os.path.islink(os.path.join(directory, each))
        ]
        for name in (*names, *links):
            file = pathlib.Path(directory, name)
            path = f"/{file.relative_to(root)}"
            if path not in _DERIVED:
                states[path] = rootfile.describe(file, _DIGITS)
        below[:] = [
            each for each in below
            if f"/{pathlib.Path(directory, each).relative_to(root)}"
            not in _DERIVED
        ]  # fmt: skip
    return dict(sorted(states.items()))


class Served(typing.NamedTuple):
    """A datastore that is in an image.

    :param version: the version in the catalog; empty if there is none.
    :param installed: the full version of the server's package.
    """

    name: str
    version: str
    runtime: str
    installed: str


def find_datastores(
    image: Contents, catalog: model.Catalog
) -> list[Served]:
    """Return the datastores in an image.

    A native datastore is recognized by the packages of its server; a container
    is recognized by its name, because the guest agent uses this name.
    """
    return [
        served
        for datastore in catalog.datastores.values()
        for runtime in datastore.runtimes.values()
        for served in (
            _contained(image.containers, datastore, runtime.container)
            if runtime.container
            else _native(image.packages, datastore)
        )
    ]


def _contained(
    stored: collections.abc.Iterable[docker.Container],
    datastore: model.Datastore,
    container: model.Container,
) -> collections.abc.Iterator[Served]:
    servers = {
        packages[0]
        for guests in container.packages.values()
        for packages in guests.values()
        if packages
    }
    for image in stored:
        for version in datastore.versions:
            if set(image.names) & set(container.tagged(version)):
                yield Served(
                    datastore.name, version, "container",
                    _installed(image.packages, servers),
                )  # fmt: skip


def _native(
    packages: collections.abc.Iterable[package.Package],
    datastore: model.Datastore,
) -> collections.abc.Iterator[Served]:
    servers = {
        name
        for version in datastore.versions.values()
        for native in version.native.values()
        for name in native.servers
    }
    installed = _installed(packages, servers)
    if installed:
        matches = (
            name
            for name in datastore.versions
            if debian.is_of_version(installed, name)
        )
        version = next(matches, "")
        yield Served(datastore.name, version, model.NATIVE, installed)


def _installed(
    packages: collections.abc.Iterable[package.Package], servers: set[str]
) -> str:
    return next(
        (entry.version for entry in packages if entry.name in servers), ""
    )
