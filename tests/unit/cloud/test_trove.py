# SPDX-License-Identifier: Apache-2.0
"""Datastore versions: what is compared, and what is asked for."""

from tests import base
from tests.unit.cloud import fakes
from trove_tools import errors
from trove_tools.cloud import connection
from trove_tools.cloud import retry
from trove_tools.cloud import trove

TARGET = trove.Target("mariadb", "11.8", "mariadb")


class PureTest(base.TestCase):
    def test_newest(self) -> None:
        for older, newer in (
            ("10.11", "11.8"),
            ("9", "10"),
            ("8.4", "8.4.1"),
            ("8.4-rc1", "8.4"),
            ("8.4-rc1", "8.4-rc2"),
            ("beta", "1"),
        ):
            records = [fakes.version(newer), fakes.version(older)]
            for order in (records, records[::-1]):
                self.assertEqual(newer, trove.newest(order)["name"])

    def test_tags(self) -> None:
        self.assertEqual(("trove", "mariadb", "11.8"), TARGET.tags)
        TARGET.check_tags()
        long = trove.Target("mariadb", "v" * 21, "mariadb")
        error = self.assertRaises(errors.UsageError, long.check_tags)
        self.assertIn("--pin", error.hint or "")

    def test_no_tags(self) -> None:
        self.assertEqual([], trove.image_tags({"image_tags": [""]}))

    def test_difference(self) -> None:
        for changes, image_id, expected in (
            ({}, None, {}),
            ({"image_tags": ["11.8", "trove", "mariadb"]}, None, {}),
            ({"datastore_manager": "x"}, None,
             {"datastore_manager": "mariadb"}),
            ({"image_tags": ["x"]}, None, {"image_tags": list(TARGET.tags)}),
            # pinned: back to tags, which are the same
            ({"image": "i"}, None, {"image_tags": list(TARGET.tags)}),
            ({}, "i", {"image": "i"}),
            ({"image": "j"}, "i", {"image": "i"}),
            ({"image": "i"}, "i", {}),
        ):  # fmt: skip
            record = fakes.version("11.8", **changes)
            self.assertEqual(
                expected, trove.difference(record, TARGET, image_id)
            )

    def test_activation(self) -> None:
        record = fakes.version("11.8")
        both = {"active": True, "default": True}
        self.assertEqual(both, trove.activation(record))
        self.assertEqual(
            {"default": True}, trove.activation({**record, "active": True})
        )
        self.assertEqual({}, trove.activation({**record, **both}))


class RegisterTest(base.TestCase):
    def setUp(self) -> None:
        super().setUp()
        self.cloud = self.useFixture(fakes.Cloud(self.temp_dir()))
        found = connection.connect(fakes.settings())
        self.versions = trove.Versions(found.databases)
        self.patch_object(retry, "PAUSE", 0)

    def add(self, name: str, **changes: object) -> None:
        record = fakes.version(name, **changes)
        self.cloud.versions[record["id"]] = record

    def register(self, image_id: str | None = None) -> str:
        record, how = self.versions.register(TARGET, image_id)
        self.assertEqual("11.8", record["name"])
        return how

    def test_new_by_tags(self) -> None:
        self.assertEqual("created", self.register())
        self.assertEqual(
            {
                "version": {
                    "datastore_name": "mariadb",
                    "name": "11.8",
                    "version": "11.8",
                    "datastore_manager": "mariadb",
                    "packages": [],
                    "active": False,
                    "default": False,
                    "image_tags": ["trove", "mariadb", "11.8"],
                }
            },
            self.cloud.bodies[1],
        )

    def test_new_and_pinned(self) -> None:
        self.assertEqual("created", self.register("i"))
        sent = self.cloud.bodies[1]["version"]
        self.assertNotIn("image_tags", sent)
        self.assertEqual("i", sent["image"])

    def test_activate(self) -> None:
        self.add("11.8", active=True)
        (record,) = self.versions.all()
        record, changed = self.versions.activate(record)
        self.assertTrue(changed and record["default"])
        self.assertEqual({"default": True}, self.cloud.bodies[1])
        self.assertFalse(self.versions.activate(record)[1])

    def test_registered_by_another_load_meanwhile(self) -> None:
        before = self.versions.all()
        self.add("11.8")
        self.cloud.faults = [("POST .*", 400, "it already exists.")]
        record, how = self.versions.register(TARGET, None, before)
        self.assertEqual("version-11.8", record["id"])

    def test_unchanged(self) -> None:
        self.add("11.8")
        self.add("10.11")
        self.assertEqual("unchanged", self.register())
        self.assertEqual(["GET /mgmt/datastore-versions"], self.cloud.calls)

    def test_only_what_differs(self) -> None:
        self.add("11.8", active=True, image="i")
        self.assertEqual("changed", self.register())
        self.assertEqual(
            {"image_tags": list(TARGET.tags)}, self.cloud.bodies[1]
        )

    def test_the_same_name_in_another_datastore(self) -> None:
        self.add("11.8", datastore_name="mysql", id="x")
        self.assertEqual("created", self.register())

    def test_unknown_manager(self) -> None:
        self.cloud.faults = [("POST .*", 500, "Internal Server Error")]
        error = self.assertRaises(errors.CloudError, self.register)
        self.assertIn("registering mariadb:11.8", error.message)
        self.assertIn("manager mariadb", error.hint or "")

    def test_trove_forgets_it(self) -> None:
        self.patch_object(retry, "SEEN_WITHIN", 0)
        self.patch_object(self.versions, "all", list)
        error = self.assertRaises(errors.CloudError, self.register)
        self.assertIn("it is not listed", error.message)

    def test_a_new_one_is_not_registered_twice(self) -> None:
        self.cloud.faults = [("GET /mgmt/.*", 503, "busy")]
        self.assertRaises(errors.CloudError, self.register)
        self.cloud.faults = []
        self.assertEqual("created", self.register())
        self.assertEqual("unchanged", self.register())
