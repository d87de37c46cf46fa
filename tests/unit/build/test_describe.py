# SPDX-License-Identifier: Apache-2.0
"""A manifest is only made of an image that can do what it was made for."""

import dataclasses

from tests import base
from tests.unit.plan import samples
from trove_tools import errors
from trove_tools.build import describe
from trove_tools.plan import plan


class ManagersTest(base.TestCase):
    def check(self, manager: str | None, *managers: str) -> None:
        made = plan.make(samples.a_request())
        entry = {**made.datastores[0], "manager": manager}
        wanted = dataclasses.replace(made, datastores=(entry,))
        agent = {"version": "25.0.0", "managers": list(managers)}
        describe.check_managers(wanted, agent)

    def test_the_agent_can_manage_it(self) -> None:
        self.check("mariadb", "mariadb", "mysql")

    def test_no_series_has_a_manager_for_it(self) -> None:
        self.check(None, "mariadb", "mysql")

    def test_the_agent_lacks_the_manager(self) -> None:
        failed = self.assertRaises(
            errors.BuildError, self.check, "postgresql", "mariadb", "mysql"
        )
        self.assertIn("postgresql", str(failed))
        self.assertIn("mariadb, mysql", str(failed))


class InstalledTest(base.TestCase):
    def setUp(self) -> None:
        super().setUp()
        self.sidecar = self.temp_dir()
        (self.sidecar / "dib-manifests").mkdir()
        self.file = self.sidecar / "dib-manifests/dib-manifest-dpkg-image"

    def test_list(self) -> None:
        self.file.write_text(
            '{"packages": [{"package": "libc6:amd64", "version": "2"},'
            ' {"package": "server", "version": "1:3-4"}]}'
        )
        self.assertEqual(
            {"libc6": "2", "server": "1:3-4"},
            describe.read_packages(self.sidecar),
        )

    def test_absent_or_damaged(self) -> None:
        self.assertRaises(
            errors.BuildError, describe.read_packages, self.sidecar
        )
        for text in ("", "{}", '{"packages": [1]}'):
            self.file.write_text(text)
            self.assertRaises(
                errors.BuildError, describe.read_packages, self.sidecar
            )
