# SPDX-License-Identifier: Apache-2.0
"""What a localrc names, and what follows for Trove's configuration."""

import typing

from tests import base
from tests.unit.cloud import images
from trove_tools import errors
from trove_tools.catalog import loader
from trove_tools.devstack import datastores


class WordsTest(base.TestCase):
    def setUp(self) -> None:
        super().setUp()
        self.catalog = loader.load([])

    def parse(self, *given: str) -> list[datastores.Choice]:
        return datastores.parse(given, self.catalog)

    def test_parse(self) -> None:
        for given in (
            ["mysql", "mariadb:10.11"],
            ["mysql, mariadb:10.11"],
            ["mysql mariadb:10.11,mysql"],
        ):
            found = [str(each) for each in self.parse(*given)]
            self.assertEqual(["mysql:8.4", "mariadb:10.11"], found)

    def test_wrong(self) -> None:
        for given, said in (
            ("mysq", "did you mean mysql?"),
            ("mysql:9.9", "versions of mysql"),
            (" , ", "for example"),
        ):
            error = self.assertRaises(errors.UsageError, self.parse, given)
            self.assertIn(said, error.hint or "")

    def test_firsts(self) -> None:
        found = self.parse("mariadb:10.11", "mysql", "mariadb:11.8")
        self.assertEqual(
            ["mariadb:10.11", "mysql:8.4"],
            list(map(str, datastores.firsts(found))),
        )

    def settings(
        self, *given: str, volumes: bool = True, **changes: typing.Any
    ) -> list[datastores.Setting]:
        return datastores.settings(
            self.parse(*given), self.catalog, volumes=volumes, **changes
        )

    def test_settings(self) -> None:
        file, agent = "TROVE_CONF", "TROVE_GUESTAGENT_CONF"
        postgresql = [
            (agent, "postgresql", "docker_image", "postgres"),
            (agent, "postgresql", "backup_docker_image",
             "db-backup-postgresql"),
        ]  # fmt: skip
        mysql = (agent, "mysql", "docker_image", "mysql")
        default = (file, "DEFAULT", "default_datastore", "postgresql")
        self.assertEqual(
            [default, *postgresql, mysql], self.settings("postgresql", "mysql")
        )
        self.assertEqual(
            [
                default,
                *postgresql,
                (file, "postgresql", "volume_support", "False"),
                mysql,
                (file, "mysql", "volume_support", "False"),
            ],
            self.settings("postgresql", "mysql", volumes=False),
        )

    def test_backups_where_the_image_can_take_them(self) -> None:
        for changes, expected in (
            ({}, True),
            ({"system": "debian-13"}, True),
            ({"system": "ubuntu-24.04"}, False),
            ({"sources": ["registry"]}, False),
            ({"sources": ["mysql=registry"]}, True),
            ({"sources": ["mariadb=archive:/x"]}, False),
        ):
            found = self.settings("mariadb", **changes)
            options = [option for _, _, option, _ in found]
            self.assertEqual(
                expected, "backup_docker_image" in options, changes
            )


class StepsTest(base.TestCase):
    def setUp(self) -> None:
        super().setUp()
        self.directory = self.temp_dir()

    def built(self, name: str, *served: tuple[str, str, str | None]) -> object:
        path = self.directory / name
        path.write_bytes(b"")
        datastores = tuple(
            images.datastore(name, version, manager=manager)
            for name, version, manager in served
        )
        images.describe(path, datastores=datastores)
        return {"image": str(path)}

    def test_steps(self) -> None:
        rows = [
            self.built("a.qcow2", ("mysql", "8.4", "mysql")),
            self.built("b.qcow2", ("mysql", "8.0", "mysql")),
            self.built(
                "c.qcow2", ("mariadb", "1", "mariadb"), ("x", "2", "y")
            ),
            self.built("d.qcow2", ("redis", "7", None)),
        ]
        self.assertEqual(
            [
                ("activate", "mysql:8.4", f"{self.directory}/a.qcow2"),
                ("load", "mysql:8.0", f"{self.directory}/b.qcow2"),
                ("activate", "mariadb:1,x:2", f"{self.directory}/c.qcow2"),
                ("keep", "redis:7", f"{self.directory}/d.qcow2"),
            ],
            datastores.list_steps(rows),  # type: ignore[arg-type]
        )

    def test_one_image(self) -> None:
        row = self.built("a.qcow2", ("mysql", "8.4", "mysql"))
        self.assertEqual(1, len(datastores.list_steps(row)))  # type: ignore[arg-type]

    def test_image_without_manifest(self) -> None:
        row = {"image": str(self.directory / "none.qcow2")}
        self.assertRaises(errors.ImageError, datastores.list_steps, row)
