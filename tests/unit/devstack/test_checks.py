# SPDX-License-Identifier: Apache-2.0
"""A cloud as its users see it."""

from tests import base
from tests.unit.devstack import fakes
from trove_tools import errors
from trove_tools.catalog import loader
from trove_tools.devstack import checks
from trove_tools.devstack import datastores
from trove_tools.host import requirements


class ChecksTest(base.TestCase):
    def check(
        self,
        *given: str,
        volumes: bool = True,
        flavors: tuple[dict[str, object], ...] = (
            fakes.flavor("a", 1024, 9),
        ),
    ) -> list[requirements.Finding]:
        trove = {
            "GET /datastores": {
                "datastores": [
                    {
                        "name": "mysql",
                        "versions": [{"name": "8.4", "id": "v"}],
                    }
                ]
            }
        }
        services = {
            "database": fakes.Service(trove),
            "compute": fakes.Service(
                {"GET /flavors.*": {"flavors": list(flavors)}}
            ),
        }
        if volumes:
            services["block_storage"] = fakes.Service({})
        login = fakes.Login(**services)
        choices = datastores.parse(given, loader.load([])) if given else []
        return checks.check(login, choices)  # type: ignore[arg-type]

    def test_services_only(self) -> None:
        (finding,) = self.check()
        self.assertTrue(finding.ok)
        self.assertIn("user demo in project demo", finding.check)

    def test_datastores(self) -> None:
        found = self.check("mysql:8.4", "mysql:8.0", "mariadb")
        self.assertEqual(
            [
                ("mysql:8.4 can be used", True),
                ("mysql:8.0 can be used", False),
                ("mariadb:11.8 can be used", False),
                ("mysql has a flavor", True),
                ("mariadb has a flavor", True),
            ],
            [(each.check, each.ok) for each in found[1:]],
        )
        self.assertEqual("activate-trove-image mysql:8.0", found[2].remedy)

    def test_data_lie_on_the_ephemeral_disk_without_volumes(self) -> None:
        plain = fakes.flavor("plain", 1024, 9)
        larger = fakes.flavor("larger", 2048, 9, ephemeral=1)
        found = self.check("mysql:8.4", volumes=False, flavors=(plain, larger))
        self.assertEqual((True, "larger"), (found[2].ok, found[2].found))
        found = self.check("mysql:8.4", volumes=False, flavors=(plain,))
        self.assertFalse(found[2].ok)
        self.assertIn("1 GiB ephemeral disk", found[2].remedy)

    def test_project(self) -> None:
        for found, name in (([{"id": "p"}], "service"), ([], "servic")):
            keystone = fakes.Service({"GET /projects": {"projects": found}})
            login = fakes.Login(identity=keystone)
            if found:
                self.assertEqual("p", checks.project(login, name))  # type: ignore[arg-type]
            else:
                error = self.assertRaises(
                    errors.UsageError, checks.project, login, name
                )
                self.assertIn("no project 'servic'", error.message)
