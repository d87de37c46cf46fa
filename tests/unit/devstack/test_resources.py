# SPDX-License-Identifier: Apache-2.0
"""What Trove's tests need of a cloud."""

import typing

from tests import base
from tests.unit.devstack import fakes
from trove_tools import errors
from trove_tools.catalog import loader
from trove_tools.cloud import failures
from trove_tools.devstack import datastores
from trove_tools.devstack import resources
from trove_tools.host import requirements

_LIST = r"GET /flavors/detail\?is_public=None"


class TableTest(base.TestCase):
    def test_table(self) -> None:
        by_name = {each.name: each for each in resources.TEST_FLAVORS}
        self.assertEqual(40, len(by_name))
        self.assertEqual(40, len({each.id for each in by_name.values()}))
        for name, id_, sizes in (
            ("test.tiny-4", "10", (768, 4, 1, 0)),
            ("test.small-6", "15", (1024, 6, 1, 0)),
            ("test.small-6.resize", "15r", (1040, 6, 2, 0)),
            ("test.eph.small-6", "15e", (1024, 6, 1, 1)),
            ("test.eph.small-6.resize", "15er", (1040, 6, 2, 1)),
            ("test.large-18", "27", (2048, 18, 1, 0)),
            ("test.fault_1-1", "30", (1536, 1, 1, 0)),
            ("test.eph.fault_2-7", "31e", (131072, 7, 1, 1)),
        ):
            flavor = by_name[name]
            self.assertEqual(id_, flavor.id)
            self.assertEqual(
                sizes,
                (flavor.ram, flavor.disk, flavor.vcpus, flavor.ephemeral),
            )
        self.assertNotIn("test.fault_1-1.resize", by_name)


class EnsureTest(base.TestCase):
    wanted = (
        resources.Flavor("a", "1", 512, 5),
        resources.Flavor("b", "2", 1024, 5, ephemeral=1),
    )

    def test_missing_ones_are_made(self) -> None:
        known = [fakes.flavor("a", 512, 5)]
        nova = fakes.Service({_LIST: {"flavors": known}, "POST /flavors": {}})
        outcome = resources.ensure(nova, self.wanted)  # type: ignore[arg-type]
        self.assertEqual(resources.Outcome(1, 1, ()), outcome)
        self.assertEqual(
            {
                "flavor": {
                    "id": "2", "name": "b", "ram": 1024, "disk": 5,
                    "vcpus": 1, "OS-FLV-EXT-DATA:ephemeral": 1,
                }
            },
            nova.bodies[-1],
        )  # fmt: skip

    def test_other_sizes_are_left(self) -> None:
        known = [fakes.flavor("a", 512, 6), fakes.flavor("b", 1024, 5)]
        nova = fakes.Service({_LIST: {"flavors": known}})
        outcome = resources.ensure(nova, self.wanted)  # type: ignore[arg-type]
        self.assertEqual(resources.Outcome(0, 0, ("a", "b")), outcome)
        self.assertEqual(1, len(nova.calls))

    def test_identifier_that_is_taken(self) -> None:
        nova = fakes.Service({_LIST: {"flavors": []}, "POST /flavors": 409})
        error = self.assertRaises(
            errors.CloudError, resources.ensure, nova, self.wanted[:1]
        )
        self.assertIn("cannot have the identifier 1", error.message)
        self.assertIn("--no-flavors", error.hint or "")

    def test_no_right(self) -> None:
        nova = fakes.Service({_LIST: {"flavors": []}, "POST /flavors": 403})
        error = self.assertRaises(
            failures.Refused, resources.ensure, nova, self.wanted
        )
        self.assertIn("admin role", error.hint or "")


class LargeEnoughTest(base.TestCase):
    def test_smallest_first(self) -> None:
        answers = [
            fakes.flavor("large", 4096, 20),
            fakes.flavor("test.fault_2-7", 131072, 7),
            fakes.flavor("fits", 1024, 10),
            fakes.flavor("no-root", 1024, 0),
            fakes.flavor("little-disk", 2048, 1),
            fakes.flavor("little-ram", 512, 10),
            fakes.flavor("eph", 1024, 10, ephemeral=1),
        ]
        known = list(map(resources.Flavor.from_answer, answers))
        for sizes, names in (
            ((1024, 4), ["no-root", "fits", "large", "eph"]),
            ((1024, 4, 1), ["eph"]),
        ):
            enough = resources.find_large_enough(known, *sizes)
            self.assertEqual(names, [flavor.name for flavor in enough])


class ParseTest(base.TestCase):
    def test_parse(self) -> None:
        self.assertEqual(
            {"instances": 30, "ram": -1},
            resources.parse_quotas(["instances=30", "ram=-1"]),
        )

    def test_wrong(self) -> None:
        for word, said in (
            ("instance=3", "did you mean instances?"),
            ("cores", "for example"),
            ("cores=many", "for example"),
        ):
            error = self.assertRaises(
                errors.UsageError, resources.parse_quotas, [word]
            )
            self.assertIn(word, error.message)
            self.assertIn(said, error.hint or "")


class QuotasTest(base.TestCase):
    def ensure(
        self, login: fakes.Login, **limits: int
    ) -> typing.Mapping[str, int]:
        return resources.raise_quotas(login, "p", limits)  # type: ignore[arg-type]

    def test_only_what_is_lower(self) -> None:
        found = {"instances": 10, "cores": 90, "ram": -1}
        nova = fakes.Service({".* /os-quota-sets/p": {"quota_set": found}})
        login = fakes.Login(compute=nova)
        raised = self.ensure(login, instances=30, cores=60, ram=99)
        self.assertEqual({"instances": 30}, raised)
        self.assertEqual({"quota_set": {"instances": 30}}, nova.bodies[-1])

    def test_nothing_to_raise(self) -> None:
        nova = fakes.Service(
            {"GET /os-quota-sets/p": {"quota_set": {"cores": 90}}}
        )
        self.assertEqual({}, self.ensure(fakes.Login(compute=nova), cores=60))

    def test_unlimited(self) -> None:
        nova = fakes.Service(
            {".* /os-quota-sets/p": {"quota_set": {"cores": 90}}}
        )
        raised = self.ensure(fakes.Login(compute=nova), cores=-1)
        self.assertEqual({"cores": -1}, raised)

    def test_every_service_its_own(self) -> None:
        cinder = fakes.Service(
            {".* /os-quota-sets/p": {"quota_set": {"volumes": 10}}}
        )
        neutron = fakes.Service(
            {".* /quotas/p": {"quota": {"security_group": 10}}}
        )
        login = fakes.Login(block_storage=cinder, network=neutron)
        # there is no nova here
        raised = self.ensure(login, cores=9, volumes=30, security_group=50)
        self.assertEqual({"volumes": 30, "security_group": 50}, raised)
        self.assertEqual({"quota": {"security_group": 50}}, neutron.bodies[-1])


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
        return resources.check_cloud(login, choices)  # type: ignore[arg-type]

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
