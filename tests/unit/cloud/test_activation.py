# SPDX-License-Identifier: Apache-2.0
"""Which version is meant, and whether a guest of it could start."""

import collections
import io
import typing

from tests import base
from tests.unit.cloud import fakes
from trove_tools import console
from trove_tools import errors
from trove_tools.cloud import activation
from trove_tools.cloud import connection
from trove_tools.cloud import image as _image
from trove_tools.cloud import instances as _instances


class _Case(base.TestCase):
    def setUp(self) -> None:
        super().setUp()
        self.cloud = self.useFixture(fakes.Cloud(self.temp_dir()))
        self.said = io.StringIO()
        for number, name in enumerate(("10.11", "11.8")):
            tags = ["trove", "mariadb", name]
            image = fakes.image(
                f"image of {name}",
                number,
                tags=tags,
                **{_image.KIND: _image.GUEST},
                **{_image.SERVES: f"mariadb:{name}"},
            )
            self.cloud.images[image["id"]] = image
            version = fakes.version(name)
            self.cloud.versions[version["id"]] = version

    def activation(self) -> activation.Activation:
        return activation.Activation(
            connection.connect(fakes.settings()),
            console.Console(stream=self.said),
        )

    def activate(
        self, version: str | None = None, datastore: str = "mariadb"
    ) -> dict[str, typing.Any]:
        return self.activation().activate(datastore, version)

    def refused(
        self, version: str | None = None, datastore: str = "mariadb"
    ) -> errors.TroveToolsError:
        error = self.assertRaises(
            errors.TroveToolsError, self.activate, version, datastore
        )
        changes = [c for c in self.cloud.calls if not c.startswith("GET")]
        self.assertEqual([], changes)
        return error


class ActivateTest(_Case):
    def test_activate(self) -> None:
        row = self.activate("10.11")
        self.assertEqual(
            {
                "datastore": "mariadb",
                "version": "10.11",
                "version_id": "version-10.11",
                "active": True,
                "default": True,
                "changed": True,
                "image": "image of 10.11",
                "image_id": "image-0",
            },
            row,
        )
        self.assertIn("is now active and the default", self.said.getvalue())

    def test_again(self) -> None:
        self.activate("10.11")
        self.cloud.calls.clear()
        self.assertFalse(self.activate("10.11")["changed"])
        self.assertNotIn("PATCH", " ".join(self.cloud.calls))
        self.assertIn("already", self.said.getvalue())

    def test_instead_of_another(self) -> None:
        self.cloud.versions["version-10.11"]["default"] = True
        self.activate("11.8")
        self.assertIn("instead of mariadb:10.11", self.said.getvalue())

    def test_the_newest_when_none_is_named(self) -> None:
        self.assertEqual("11.8", self.activate()["version"])
        self.assertIn("taking mariadb:11.8", self.said.getvalue())
        self.assertIn("others: 10.11", self.said.getvalue())

    def test_the_only_one_when_none_is_named(self) -> None:
        del self.cloud.versions["version-11.8"]
        self.assertEqual("10.11", self.activate()["version"])
        self.assertNotIn("taking", self.said.getvalue())

    def test_unknown_datastore(self) -> None:
        error = self.refused(datastore="maria")
        self.assertEqual(2, error.exit_status)
        self.assertIn("did you mean mariadb?", error.hint or "")

    def test_unknown_version(self) -> None:
        error = self.refused("11.9")
        self.assertEqual(2, error.exit_status)
        self.assertIn("did you mean 11.8?", error.hint or "")

    def test_no_image(self) -> None:
        del self.cloud.images["image-1"]
        error = self.refused("11.8")
        self.assertEqual(4, error.exit_status)
        self.assertIn("the tags trove, mariadb, 11.8", error.message)
        self.assertIn("load-trove-image", error.hint or "")

    def test_image_that_is_not_active(self) -> None:
        self.cloud.images["image-1"]["status"] = "deactivated"
        self.refused("11.8")

    def test_pinned(self) -> None:
        self.cloud.versions["version-11.8"]["image"] = "image-0"
        self.assertEqual("image-0", self.activate("11.8")["image_id"])

    def test_pinned_to_an_image_that_is_gone(self) -> None:
        self.cloud.versions["version-11.8"]["image"] = "image-7"
        self.assertIn("is gone", self.refused("11.8").message)

    def test_pinned_to_an_image_that_is_not_active(self) -> None:
        self.cloud.versions["version-11.8"]["image"] = "image-1"
        self.cloud.images["image-1"]["status"] = "deactivated"
        self.assertIn("is deactivated", self.refused("11.8").message)


class RollbackTest(_Case):
    def newer(self, **changes: typing.Any) -> dict[str, typing.Any]:
        image = {**self.cloud.images["image-1"], "id": "image-2",
                 "name": "newer", "created_at": "2026-01-01T00:00:02Z",
                 **changes}  # fmt: skip
        self.cloud.images["image-2"] = image
        return image

    def roll_back(self, to_image: str | None = None) -> dict[str, typing.Any]:
        self.cloud.calls.clear()
        return self.activation().roll_back("mariadb", "11.8", to_image)

    def changes(self) -> list[str]:
        return [c for c in self.cloud.calls if not c.startswith("GET")]

    def test_by_tags(self) -> None:
        newer = self.newer()
        row = self.roll_back()
        self.assertEqual("image-1", row["image_id"])
        self.assertEqual("image-2", row["instead_of"])
        self.assertEqual(["PATCH /images/image-2"], self.changes())
        self.assertEqual([], newer["tags"])
        self.assertEqual("mariadb:11.8", newer[_image.WITHDRAWN])

    def test_there_is_nothing_before_the_first(self) -> None:
        error = self.assertRaises(errors.ImageError, self.roll_back)
        self.assertEqual(errors.EXIT_FAILED, error.exit_status)
        self.assertIn("no previous image", error.message)

    def oldest(self) -> None:
        self.cloud.images["oldest"] = {
            **self.cloud.images["image-1"], "id": "oldest",
            "created_at": "2026-01-01T00:00:00Z",
        }  # fmt: skip

    def test_a_second_time_goes_no_further(self) -> None:
        self.oldest()
        for pinned in (False, True):
            self.newer()
            if pinned:
                self.cloud.versions["version-11.8"]["image"] = "image-2"
            self.roll_back()
            row = self.roll_back()
            self.assertEqual([], self.changes(), pinned)
            self.assertFalse(row["changed"], pinned)
            self.assertEqual("image-1", row["image_id"], pinned)
            self.assertEqual("image-2", row["instead_of"], pinned)
            self.assertIn("--to-image", self.said.getvalue())

    def test_to_a_named_image_and_forth(self) -> None:
        self.oldest()
        for pinned in (False, True):
            newer = self.newer()
            version = self.cloud.versions["version-11.8"]
            version["image"] = "image-2" if pinned else ""
            for _ in range(2):
                row = self.roll_back("oldest")
                self.assertEqual("oldest", row["image_id"])
            self.assertEqual([], self.changes(), pinned)
            self.assertEqual("mariadb:11.8", newer[_image.WITHDRAWN])
            self.assertEqual("image-2", self.roll_back("image-2")["image_id"])
            self.assertNotIn(_image.WITHDRAWN, newer)
            self.assertEqual("image-2", self.activate("11.8")["image_id"])
            self.cloud.images["image-1"]["tags"] = newer["tags"]

    def test_to_an_image_that_is_none_of_the_version(self) -> None:
        error = self.assertRaises(
            errors.UsageError, self.roll_back, "image-0"
        )
        self.assertIn("image-1 (image of 11.8)", error.hint or "")
        self.assertEqual([], self.changes())

    def test_to_one_that_was_pinned(self) -> None:
        self.newer()
        self.cloud.images["image-1"]["tags"] = []
        self.assertEqual("image-1", self.roll_back()["image_id"])
        tags = self.cloud.images["image-1"]["tags"]
        self.assertEqual({"trove", "mariadb", "11.8"}, set(tags))

    def test_pinned_versions_go_back(self) -> None:
        newer = self.newer()
        version = self.cloud.versions["version-11.8"]
        version["image"] = "image-2"
        self.assertEqual("image-1", self.roll_back()["image_id"])
        self.assertEqual("image-1", version["image"])
        self.assertEqual("mariadb:11.8", newer[_image.WITHDRAWN])

    def test_what_was_withdrawn_is_not_returned_to(self) -> None:
        self.newer(**{_image.WITHDRAWN: "mariadb:11.8"}, tags=[])
        newest = {**self.newer(), "id": "image-3",
                  "created_at": "2026-01-01T00:00:03Z"}  # fmt: skip
        self.cloud.images["image-3"] = newest
        self.cloud.images["image-2"].update(
            {_image.WITHDRAWN: "mariadb:11.8", "tags": []}
        )
        self.assertEqual("image-1", self.roll_back()["image_id"])

    def list_versions(
        self, datastore: str | None, version: str | None
    ) -> list[dict[str, typing.Any]]:
        return activation.list_versions(
            connection.connect(fakes.settings()), datastore, version,
            console.Console(stream=self.said),
        )  # fmt: skip

    def test_list_counts_instances(self) -> None:
        counts = {
            "mariadb:11.8": collections.Counter(
                {"image-1": 3, "image-9": 2, "": 1}
            )
        }
        self.patch_object(
            _instances, "count_by_image", lambda cloud, ids: counts
        )
        newest, older = self.list_versions("mariadb", None)
        numbers = [newest[name] for name in
                   ("instances", "instances_behind")]  # fmt: skip
        self.assertEqual([3, 3], numbers)
        self.assertEqual(
            {"image-1": 3, "image-9": 2, "": 1}, newest["instances_by_image"]
        )
        self.assertEqual(0, older["instances"] + older["instances_behind"])

    def test_list_without_a_count(self) -> None:
        (row,) = self.list_versions(None, "10.11")
        self.assertIsNone(row["instances"])

        def fail(cloud: object, ids: object) -> None:
            raise errors.CloudError("Nova does not answer")

        self.patch_object(_instances, "count_by_image", fail)
        (row,) = self.list_versions(None, "10.11")
        self.assertIsNone(row["instances"])
        self.assertIn("Nova does not answer", self.said.getvalue())

    def test_list(self) -> None:
        self.newer(**{_image.AGENT: "26.1.0"})
        rows = self.list_versions("mariadb", None)
        self.assertEqual(["11.8", "10.11"], [row["version"] for row in rows])
        self.assertEqual("newer", rows[0]["image"])
        self.assertEqual("26.1.0", rows[0]["agent_version"])
        self.assertEqual("image-1", rows[0]["previous_id"])
        self.assertEqual(["image-2", "image-1"], rows[0]["images"])
        self.assertIsNone(rows[1]["previous"])
        self.assertEqual([], self.list_versions("other", None))
        (row,) = self.list_versions(None, "10.11")
        self.assertEqual("image of 10.11", row["image"])
