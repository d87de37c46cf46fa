# SPDX-License-Identifier: Apache-2.0
"""Datastores are known by what is really in an image."""

from tests import base
from trove_tools.catalog import loader
from trove_tools.inspection import contents
from trove_tools.inspection import datastores
from trove_tools.inspection import docker
from trove_tools.inspection import package


class ServedTest(base.TestCase):
    def found(self, *packages: package.Package,
              containers: tuple[docker.Container, ...] = ()
              ) -> list[datastores.Served]:  # fmt: skip
        return datastores.find_datastores(
            contents.Contents({}, packages, containers=containers),
            loader.load(),
        )

    def test_none(self) -> None:
        self.assertEqual([], self.found(package.Package("bash", "5")))

    def test_native(self) -> None:
        server = package.Package("mariadb-server", "1:11.8.6-0+deb13u1")
        self.assertEqual(
            [("mariadb", "11.8", "native", "1:11.8.6-0+deb13u1")],
            self.found(server),
        )

    def test_of_a_version_that_the_catalog_does_not_have(self) -> None:
        (found,) = self.found(package.Package("mariadb-server", "1:5.5.1"))
        self.assertEqual(("mariadb", ""), (found.name, found.version))

    def test_container(self) -> None:
        inside = (package.Package("mariadb-server-core", "1:11.8.6"),)
        container = docker.Container(("mariadb:11.8",), "sha256:1", 1, inside)
        other = docker.Container(("busybox:1",), "sha256:2", 1)
        self.assertEqual(
            [("mariadb", "11.8", "container", "1:11.8.6")],
            self.found(containers=(container, other)),
        )
