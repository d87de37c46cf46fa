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
