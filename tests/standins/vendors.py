# SPDX-License-Identifier: Apache-2.0
"""Stand-ins of every vendor in the catalog, and how to build with them."""

import fnmatch
import pathlib
import typing

from tests.standins import keys
from tests.standins import packages
from tests.standins import repository
from trove_tools.catalog import model
from trove_tools.catalog import native


class Vendors:
    """Repositories and packages that one key signs.

    :param directory: an empty one.
    :param home: keeps the key; what is built with the same key need not be
        built again.
    :param datastores: those of the catalog that are wanted.
    :param catalog: with their versions and guest systems.
    :param distribution: for whose guest systems.
    """

    def __init__(
        self,
        directory: pathlib.Path,
        catalog: model.Catalog,
        datastores: list[str],
        distribution: str = "debian",
        home: pathlib.Path | None = None,
    ) -> None:
        self._directory = directory
        self._files: dict[str, pathlib.Path] = {}
        home = home or directory / "home"
        home.mkdir(exist_ok=True)
        self.key = keys.Key(home)
        self._root = directory / "www"
        self._root.mkdir()
        self.server = repository.Server(self._root)
        self._served: list[str] = []
        for name in datastores:
            entry = catalog.datastore(name)
            version = entry.version()
            for system, how in version.native.items():
                guest = catalog.guest(system)
                if guest.distribution != distribution:
                    continue
                if how.source == native.REPOSITORY:
                    self._publish(name, version.version, how)
                elif how.source == native.FILE and name not in self._files:
                    self._files[name] = self._make(name, version.version, how)

    def options(self) -> list[str]:
        """Return the options that let a build use the stand-ins."""
        words = []
        for name in sorted(set(self._served)):
            words += [
                "--repository", f"{name}={self.server.url}/{name}",
                "--repository-key", f"{name}={self.key.file}",
                "--repository-fingerprint", f"{name}={self.key.fingerprint}",
            ]  # fmt: skip
        for name, file in self._files.items():
            words += ["--package", f"{name}={file}"]
        return words

    def __enter__(self) -> typing.Self:
        return self

    def __exit__(self, *args: object) -> None:
        self.close()

    def close(self) -> None:
        self.server.close()
        self.key.close()

    def _publish(self, name: str, version: str, how: native.Native) -> None:
        assert how.repository is not None
        own = [
            package
            for package in how.packages
            if any(
                fnmatch.fnmatch(package, pattern)
                for pattern in how.repository.packages
            )
        ]
        place = self._directory / "debs" / name / how.repository.suite
        place.mkdir(parents=True)
        debs = packages.debs(name, f"{version}.99-1", how, own, place)
        for number, path in enumerate(how.repository.paths):
            repository.publish(
                self._root / name / path,
                # all that they need is in the first one
                [] if number else debs,
                self.key,
                suite=how.repository.suite,
                component=how.repository.components[0],
                origin=f"Stand-in of {name}",
            )
        self._served.append(name)

    def _make(
        self, name: str, version: str, how: native.Native
    ) -> pathlib.Path:
        assert how.file is not None
        place = self._directory / "files" / name
        place.mkdir(parents=True)
        if how.file.archive is not None:
            return packages.db2(place, f"{version}.9")
        (file,) = packages.debs(
            name, f"{version}.99-1", how, [how.file.names[0]], place
        )
        return file
