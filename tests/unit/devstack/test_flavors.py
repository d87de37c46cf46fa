# SPDX-License-Identifier: Apache-2.0
"""The flavors of Trove's tests."""

from tests import base
from tests.unit.devstack import fakes
from trove_tools import errors
from trove_tools.cloud import failures
from trove_tools.devstack import flavors

_LIST = r"GET /flavors/detail\?is_public=None"


class TableTest(base.TestCase):
    def test_table(self) -> None:
        by_name = {each.name: each for each in flavors.TEST_FLAVORS}
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
        flavors.Flavor("a", "1", 512, 5),
        flavors.Flavor("b", "2", 1024, 5, ephemeral=1),
    )

    def test_missing_ones_are_made(self) -> None:
        known = [fakes.flavor("a", 512, 5)]
        nova = fakes.Service({_LIST: {"flavors": known}, "POST /flavors": {}})
        outcome = flavors.ensure(nova, self.wanted)  # type: ignore[arg-type]
        self.assertEqual(flavors.Outcome(1, 1, ()), outcome)
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
        outcome = flavors.ensure(nova, self.wanted)  # type: ignore[arg-type]
        self.assertEqual(flavors.Outcome(0, 0, ("a", "b")), outcome)
        self.assertEqual(1, len(nova.calls))

    def test_identifier_that_is_taken(self) -> None:
        nova = fakes.Service({_LIST: {"flavors": []}, "POST /flavors": 409})
        error = self.assertRaises(
            errors.CloudError, flavors.ensure, nova, self.wanted[:1]
        )
        self.assertIn("cannot have the identifier 1", error.message)
        self.assertIn("--no-flavors", error.hint or "")

    def test_no_right(self) -> None:
        nova = fakes.Service({_LIST: {"flavors": []}, "POST /flavors": 403})
        error = self.assertRaises(
            failures.Refused, flavors.ensure, nova, self.wanted
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
        known = list(map(flavors.Flavor.from_answer, answers))
        for sizes, names in (
            ((1024, 4), ["no-root", "fits", "large", "eph"]),
            ((1024, 4, 1), ["eph"]),
        ):
            enough = flavors.find_large_enough(known, *sizes)
            self.assertEqual(names, [flavor.name for flavor in enough])
