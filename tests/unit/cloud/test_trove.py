# SPDX-License-Identifier: Apache-2.0
"""Datastore versions: what is compared, and what is asked for."""

import typing

from tests import base
from tests.unit.cloud import fakes
from trove_tools import errors
from trove_tools.cloud import connection
from trove_tools.cloud import retry
from trove_tools.cloud import trove

TARGET = trove.Target("mariadb", "11.8", "mariadb")


def registered(name: str, **changes: typing.Any) -> trove.DatastoreVersion:
    """Return a version as it is registered."""
    answer = fakes.version(name, **changes)
    return trove.DatastoreVersion.from_answer(answer)


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
            self.assertGreater(registered(newer).order,
                               registered(older).order)  # fmt: skip

    def test_tags(self) -> None:
        self.assertEqual(("trove", "mariadb", "11.8"), TARGET.tags)
        TARGET.check_tags()
        long = trove.Target("mariadb", "v" * 21, "mariadb")
        error = self.assertRaises(errors.UsageError, long.check_tags)
        self.assertIn("--pin", error.hint or "")

    def test_no_tags(self) -> None:
        self.assertEqual((), registered("1", image_tags=[""]).image_tags)

    def test_difference(self) -> None:
        for changes, image_id, expected in (
            ({}, None, {}),
            ({"image_tags": ["11.8", "trove", "mariadb"]}, None, {}),
            ({"datastore_manager": "x"}, None,
             {"manager": "mariadb"}),
            ({"image_tags": ["x"]}, None, {"image_tags": TARGET.tags}),
            # pinned: back to tags, which are the same
            ({"image": "i"}, None, {"image_tags": TARGET.tags}),
            ({}, "i", {"image_id": "i"}),
            ({"image": "j"}, "i", {"image_id": "i"}),
            ({"image": "i"}, "i", {}),
        ):  # fmt: skip
            version = registered("11.8", **changes)
            self.assertEqual(
                expected, trove.find_changes(version, TARGET, image_id)
            )


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
        version, how = self.versions.register(TARGET, image_id)
        self.assertEqual("11.8", version.version)
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
        for active, body in (
            (True, {"default": True}),
            (False, {"active": True, "default": True}),
        ):
            self.add("11.8", active=active)
            (version,) = self.versions.list_all()
            version, changed = self.versions.activate(version)
            self.assertTrue(changed and version.active and version.default)
            self.assertEqual(body, self.cloud.bodies[-2])
            self.assertFalse(self.versions.activate(version)[1])

    def test_registered_by_another_load_meanwhile(self) -> None:
        before = self.versions.list_all()
        self.add("11.8")
        self.cloud.faults = [("POST .*", 400, "it already exists.")]
        version, how = self.versions.register(TARGET, None, before)
        self.assertEqual("version-11.8", version.id)

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
        self.patch_object(self.versions, "list_all", list)
        error = self.assertRaises(errors.CloudError, self.register)
        self.assertIn("it is not listed", error.message)

    def test_a_new_one_is_not_registered_twice(self) -> None:
        self.cloud.faults = [("GET /mgmt/.*", 503, "busy")]
        self.assertRaises(errors.CloudError, self.register)
        self.cloud.faults = []
        self.assertEqual("created", self.register())
        self.assertEqual("unchanged", self.register())
