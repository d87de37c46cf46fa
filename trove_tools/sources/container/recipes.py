# SPDX-License-Identifier: Apache-2.0
"""Recipes for making containers from a guest system's packages.

``recipes/NAME`` contains ``recipe.yaml`` and ``rootfs``, a directory with
files that are added to the packages': the entrypoint and the health check.
"""

import collections.abc
import dataclasses
import io
import pathlib
import tarfile
import typing

import yaml

from trove_tools import errors

DIRECTORY = pathlib.Path(__file__).parent / "recipes"

#: The directory of the backup program and its requirements in a container;
#: inspect recognizes Python packages by the directory's name.
LIBRARIES = "opt/trove/site-packages"
#: The directory in which the guest agent runs ``python3 main.py``.
PROGRAM = f"{LIBRARIES}/backup"

# The packages that Trove's backup program needs.  Binary modules of the
# package index (manylinux) expect the C++ library, which the package python3
# does not install: greenlet, which oslo.service imports, is linked with it.
_PROGRAM_PACKAGES = ("python3", "libstdc++6", "dumb-init")

#: A script that runs outside the container's root after all packages are
#: installed in it.
FINISH = DIRECTORY / "finish"


@dataclasses.dataclass(frozen=True)
class Recipe:
    """The differences between a container and its packages.

    :param directory: the recipe's directory; None if it has no files.
    :param command: the default arguments of the entrypoint.
    :param environment: the container's variables; the datastore's version
        replaces ``{version}`` in their values.
    :param exclude: patterns of dpkg for files that are not unpacked.
    :param remove: patterns of dpkg-query for packages that are not needed.
    :param delete: patterns of the shell for files that are not needed.
    :param data: directories that the server writes to.
    :param packages: the packages of the container, if they are not in the
        catalog.
    :param program: the directory of Trove's backup program in a backup
        container; empty otherwise.  The caller of such a container gives the
        command.
    """

    directory: pathlib.Path | None
    command: tuple[str, ...]
    environment: dict[str, str]
    port: int
    stop_signal: str
    exclude: tuple[str, ...]
    remove: tuple[str, ...]
    delete: tuple[str, ...]
    data: tuple[str, ...] = ()
    packages: tuple[str, ...] = ()
    program: str = ""

    def files(self) -> collections.abc.Iterator[tuple[str, pathlib.Path]]:
        """Yield the recipe's files: the path in the container, the file."""
        if self.directory is None:
            return
        root = self.directory / "rootfs"
        for file in sorted(root.rglob("*")):
            if file.is_file():
                yield str(file.relative_to(root)), file

    def configuration(self, version: str) -> dict[str, typing.Any]:
        """Return the ``config`` of the container's image."""
        environment = [
            f"{name}={value.replace('{version}', version)}"
            for name, value in self.environment.items()
        ]
        if self.program:
            return {
                "Entrypoint": ["dumb-init", "--single-child", "--"],
                "Env": environment,
                "WorkingDir": f"/{self.program}",
            }
        return {
            # arguments of `docker run` replace Cmd, the default arguments of
            # an entrypoint; without an entrypoint script, the command is the
            # entrypoint, so that the arguments follow it
            **(
                {
                    "Entrypoint": ["docker-entrypoint.sh"],
                    "Cmd": list(self.command),
                }
                if self.directory
                else {"Entrypoint": list(self.command)}
            ),
            "Env": environment,
            "ExposedPorts": {f"{self.port}/tcp": {}},
            "StopSignal": self.stop_signal,
            "User": "1001:1001",
        }

    def write_overlay(self, file: pathlib.Path) -> None:
        """Write a reproducible tar archive of the recipe's files."""
        with tarfile.open(file, "w") as archive:
            for name, source in self.files():
                content = source.read_bytes()
                member = tarfile.TarInfo(name)
                member.size = len(content)
                # the mode in a checkout depends on the user's umask
                runs = source.stat().st_mode & 0o100
                member.mode = 0o755 if runs else 0o644
                archive.addfile(member, io.BytesIO(content))


def read(name: str) -> Recipe:
    """Read the recipe in the directory with a name.

    :raises UsageError: there is no recipe of that name.
    """
    directory = DIRECTORY / name
    if not directory.is_dir():
        known = [each.name for each in DIRECTORY.iterdir() if each.is_dir()]
        raise errors.UsageError(
            f"unknown recipe {name!r} for a container",
            hint=errors.nearest(name, known, "recipes"),
        )
    data = yaml.safe_load((directory / "recipe.yaml").read_text())
    values: dict[str, typing.Any] = {
        key: tuple(value) if isinstance(value, list) else value
        for key, value in data.items()
    }
    return Recipe(directory=directory, **values)


def plain(command: tuple[str, ...], data: str, port: int) -> Recipe:
    """Return the recipe of a container that runs one command.

    :param data: the directory that the command writes to; empty for none.
    :param port: the TCP port that the command listens on.
    """
    return Recipe(
        directory=None,
        command=command,
        environment={
            "PATH": "/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
            "LANG": "C.UTF-8",
        },
        port=port,
        stop_signal="SIGTERM",
        exclude=(),
        remove=(),
        delete=(),
        data=(data,) if data else (),
    )


def read_backup(name: str, version: str) -> Recipe | None:
    """Return the recipe of a datastore's backup container.

    :param name: the name of the datastore's recipe.
    :param version: the datastore's version.
    :returns: None if no package has the tool for Trove's backup program.
    """
    file = DIRECTORY / name / "backup.yaml"
    if not name or not file.is_file():
        return None
    data = yaml.safe_load(file.read_text().replace("{version}", version))
    places = ["/usr/local/bin", data["path"], "/usr/bin", "/bin", "/usr/sbin"]
    return Recipe(
        directory=file.parent / "backup",
        command=(),
        environment={
            "PATH": ":".join(filter(None, places)),
            "PYTHONPATH": f"/{LIBRARIES}",
            "LANG": "C.UTF-8",
        },
        port=0,
        stop_signal="SIGTERM",
        exclude=tuple(data["exclude"]),
        remove=tuple(data["remove"]),
        delete=tuple(data["delete"]),
        packages=(*data["packages"], *_PROGRAM_PACKAGES),
        program=PROGRAM,
    )
