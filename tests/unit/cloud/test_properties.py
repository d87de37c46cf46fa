# SPDX-License-Identifier: Apache-2.0
"""What a new image has of the one before, and what an operator gives it."""

import typing

from tests.unit.cloud import fakes
from tests.unit.cloud import test_load
from trove_tools import errors
from trove_tools.cloud import image as _image


class SuccessionTest(test_load.LoadCase):
    def second(self, **given: typing.Any) -> typing.Any:
        """Load another image of the version, and return it."""
        row = self.load(self.build("second"), **given)
        return self.cloud.images[row["image_id"]]

    def first(self, **changes: typing.Any) -> typing.Any:
        """Load an image; then an operator changes it."""
        row = self.load()
        self.cloud.images[row["image_id"]].update(changes)
        return self.cloud.images[row["image_id"]]

    def test_a_first_image_gets_the_defaults(self) -> None:
        self.load()
        self.assertEqual("virtio", self.image()["hw_rng_model"])

    def test_properties_are_carried_over(self) -> None:
        self.first(
            hw_disk_bus="scsi",
            hypervisor_type="qemu",
            hw_rng_model="other",
            os_distro="changed",
            os_glance_importing_to_stores="x",
            img_signature="abc",
            trove_tools_of_another_release="x",
        )
        image = self.second()
        self.assertEqual("scsi", image["hw_disk_bus"])
        self.assertEqual("qemu", image["hypervisor_type"])
        self.assertEqual("other", image["hw_rng_model"])
        # what belongs to the file, to Glance, or to this tool is not
        self.assertEqual("debian", image["os_distro"])
        for name in ("os_glance_importing_to_stores", "img_signature",
                     "trove_tools_of_another_release"):  # fmt: skip
            self.assertNotIn(name, image)
        said = self.said.getvalue()
        self.assertIn("hw_disk_bus=scsi, hw_rng_model=other,", said)
        self.assertIn("img_signature, which signs the bytes before", said)

    def test_they_are_there_before_the_tags(self) -> None:
        self.first(hw_disk_bus="scsi")
        self.second(property=[("hw_scsi_model", "virtio-scsi")])
        created = [
            body for body in self.cloud.bodies if body and "id" in body
        ][-1]
        self.assertEqual("scsi", created["hw_disk_bus"])
        self.assertEqual("virtio-scsi", created["hw_scsi_model"])
        self.assertNotIn("tags", created)

    def test_what_was_removed_stays_away(self) -> None:
        first = self.first()
        del first["hw_rng_model"]
        self.assertNotIn("hw_rng_model", self.second())

    def test_what_is_given_wins(self) -> None:
        self.first(hw_disk_bus="scsi", hw_video_model="vga")
        image = self.second(
            property=[("hw_disk_bus", "virtio"), ("hw_video_model", "")]
        )
        self.assertEqual("virtio", image["hw_disk_bus"])
        self.assertNotIn("hw_video_model", image)

    def test_at_an_image_that_is_there(self) -> None:
        self.first(hw_disk_bus="scsi", hw_video_model="vga")
        row = self.load(
            property=[("hw_disk_bus", ""), ("hw_vif_model", "e1000")]
        )
        self.assertEqual("changed", row["upload"])
        image = self.image()
        self.assertNotIn("hw_disk_bus", image)
        self.assertEqual("vga", image["hw_video_model"])
        self.assertEqual("e1000", image["hw_vif_model"])
        self.load()
        self.assertEqual([], self.changes)

    def test_a_field_of_glance(self) -> None:
        error = self.assertRaises(
            errors.UsageError, self.load, property=[("min_disk", "1")]
        )
        self.assertIn("--property min_disk", error.message)
        self.assertEqual({}, self.cloud.images)

    def test_an_image_that_something_else_made(self) -> None:
        old = fakes.image("old", 1, hw_disk_bus="scsi", kernel_id="k")
        self.cloud.images[old["id"]] = old
        self.cloud.versions["v"] = fakes.version("11.8", id="v")
        self.load()
        row = self.cloud.images.keys() - {"image-1"}
        image = self.cloud.images[row.pop()]
        self.assertNotIn("kernel_id", image)
        self.assertNotIn("hw_disk_bus", image)
        self.assertEqual("virtio", image["hw_rng_model"])
        self.assertIn("--property hw_disk_bus=scsi, --property kernel_id=k",
                      self.said.getvalue())  # fmt: skip

    def test_what_is_not_carried_over_is_said(self) -> None:
        first = self.first(visibility="shared", protected=True)
        first["tags"] = [*first["tags"], "gold"]
        self.cloud.members[first["id"]] = ["p9"]
        image = self.second()
        self.assertEqual("private", image["visibility"])
        said = self.said.getvalue()
        for option in ("--visibility shared", "--protected", "--tag gold",
                       "--member p9"):  # fmt: skip
            self.assertIn(option, said)

    def test_nothing_to_say(self) -> None:
        self.first()
        self.second()
        self.assertNotIn("the image before", self.said.getvalue())

    def test_tags_members_and_protection(self) -> None:
        row = self.load(tag=["gold"], member=["service"], protected=True)
        image = self.image()
        self.assertEqual(["trove", "mariadb", "11.8", "gold"], image["tags"])
        self.assertEqual("shared", image["visibility"])
        self.assertTrue(image["protected"])
        self.assertEqual(["p-service"], self.cloud.members[row["image_id"]])
        # the tags, by which Trove finds it, and what keeps it come last
        self.assertEqual(
            [f"POST /images/{row['image_id']}/members",
             f"PATCH /images/{row['image_id']}"],
            self.changes[2:4],
        )  # fmt: skip
        self.load(tag=["gold"], member=["service"], protected=True)
        self.assertEqual([], self.changes)
        self.load(protected=False)
        self.assertFalse(self.image()["protected"])

    def test_an_unknown_member(self) -> None:
        self.cloud.projects.append({"id": "other", "name": "service"})
        error = self.assertRaises(
            errors.UsageError, self.load, member=["service"]
        )
        self.assertIn("several projects are called", error.message)
        self.assertIn("--member", error.hint or "")
        self.assertEqual({}, self.cloud.images)

    def test_protected_images_are_kept(self) -> None:
        self.first(protected=True)
        self.second(keep=1)
        self.assertEqual(2, len(self.cloud.images))
        self.assertIn("it is protected", self.said.getvalue())

    def test_an_unfinished_image_that_is_protected(self) -> None:
        self.first(
            protected=True, status="queued", **{_image.UPLOADING: "h:1:1"}
        )
        row = self.load()
        self.assertEqual("sent", row["upload"])
        self.assertEqual(2, len(self.cloud.images))
