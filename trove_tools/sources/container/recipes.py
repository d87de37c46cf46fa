# SPDX-License-Identifier: Apache-2.0
"""Recipes: what turns a guest system's packages into a container.

``recipes/NAME`` holds ``recipe.yaml`` and ``rootfs``, the files of our own
that lie over the packages': the entrypoint and the health check.
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

#: Where the program that takes backups lies, and what it requires; inspect
#: knows Python's packages by the directory's name.
LIBRARIES = "opt/trove/site-packages"
#: Where the guest agent runs ``python3 main.py``.
PROGRAM = f"{LIBRARIES}/backup"

# What Trove's program runs with.  The package index's ready-made modules count
# on C++'s library (manylinux), which Python does not bring: greenlet, which
# oslo.service imports, is linked with it.
_PROGRAM_PACKAGES = ("python3", "libstdc++6", "dumb-init")

#: Runs outside the container's root when all packages are in it.
FINISH = DIRECTORY / "finish"


@dataclasses.dataclass(frozen=True)
class Recipe:
    """How a container differs from its packages.

    :param command: what the entrypoint is given by default.
    :param environment: ``{version}`` in it is the datastore's.
    :param exclude: files of packages that are not even unpacked, as
        dpkg's patterns.
    :param remove: packages that are not needed, as dpkg-query's patterns.
    :param delete: files that are not needed, as the shell's patterns.
    :param data: directories that the server writes to.
    :param packages: what it is made of, where the catalog does not say it.
    :param program: where Trove's program lies that the container is for; such
        a container is entered as the program's user calls it.
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
        """Yield our own files: their place in the container and here."""
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
            # arguments of `docker run` follow a command, and replace what an
            # entrypoint is given by default
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
        """Write a tar archive of our own files, the same each time."""
        with tarfile.open(file, "w") as archive:
            for name, source in self.files():
                content = source.read_bytes()
                member = tarfile.TarInfo(name)
                member.size = len(content)
                # not as the umask made it that a checkout was cloned with
                runs = source.stat().st_mode & 0o100
                member.mode = 0o755 if runs else 0o644
                archive.addfile(member, io.BytesIO(content))


def read(name: str) -> Recipe:
    """Return a recipe.

    :raises UsageError: there is none of that name.
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
    """Return the recipe of the container that takes backups of a datastore.

    :param name: of the datastore's own recipe.
    :param version: the datastore's.
    :returns: nothing where Trove's program has no tool that packages bring.
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
