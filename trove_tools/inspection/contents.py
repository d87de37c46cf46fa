# SPDX-License-Identifier: Apache-2.0
"""What is in an image: all that can be read from its root file system.

Nothing of the image is run, and its manifest is not asked.
"""

import dataclasses
import pathlib
import typing

from trove_tools.host import hosttools
from trove_tools.inspection import configuration
from trove_tools.inspection import docker
from trove_tools.inspection import dpkg
from trove_tools.inspection import package
from trove_tools.inspection import sizes
from trove_tools.inspection import venv


@dataclasses.dataclass(frozen=True)
class Contents:
    """What is in an image.

    :param system: id, version, name (in prose) and kernel.
    :param packages: of the guest system.
    :param python: in the guest agent's virtual environment.
    :param directories: bytes in each large directory with all below it.
    :param configuration: what each file in ``/etc`` is, in a word.
    """

    system: dict[str, str]
    packages: tuple[package.Package, ...] = ()
    python: tuple[package.Package, ...] = ()
    containers: tuple[docker.Container, ...] = ()
    directories: dict[str, int] = dataclasses.field(default_factory=dict)
    configuration: dict[str, str] = dataclasses.field(default_factory=dict)

    def as_dict(self) -> dict[str, typing.Any]:
        """Return it as plain data."""
        return dataclasses.asdict(self)

    @property
    def agent(self) -> str:
        """The guest agent's version; empty where there is none."""
        versions = {each.name: each.version for each in self.python}
        return versions.get("trove", "")


def look(root: pathlib.Path) -> Contents:
    """Return what is in a root file system."""
    return Contents(
        system=_system(root),
        packages=dpkg.installed(root),
        python=venv.installed(root / venv.AGENT),
        containers=docker.stored(root),
        directories=sizes.directories(root),
        configuration=configuration.read(root),
    )


def from_dict(data: dict[str, typing.Any]) -> Contents:
    """Return what :meth:`Contents.as_dict` has made plain."""
    return Contents(
        system=data["system"],
        packages=package.from_dicts(data["packages"]),
        python=package.from_dicts(data["python"]),
        containers=tuple(
            docker.Container(
                names=tuple(each["names"]),
                id=each["id"],
                size=each["size"],
                packages=package.from_dicts(each["packages"]),
            )
            for each in data["containers"]
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
