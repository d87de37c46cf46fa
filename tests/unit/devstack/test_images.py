# SPDX-License-Identifier: Apache-2.0
"""What a build's results ask for."""

from tests import base
from tests.unit.cloud import images
from trove_tools import errors
from trove_tools.devstack import images as built


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
            built.steps(rows),  # type: ignore[arg-type]
        )

    def test_one_image(self) -> None:
        row = self.built("a.qcow2", ("mysql", "8.4", "mysql"))
        self.assertEqual(1, len(built.steps(row)))  # type: ignore[arg-type]

    def test_image_without_manifest(self) -> None:
        row = {"image": str(self.directory / "none.qcow2")}
        self.assertRaises(errors.ImageError, built.steps, row)
