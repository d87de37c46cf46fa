# SPDX-License-Identifier: Apache-2.0
"""Which images a version had, returns to, and gets by a load."""

import dataclasses
import typing

from tests import base
from tests.unit.cloud import fakes
from tests.unit.cloud import images
from tests.unit.cloud import test_load
from trove_tools import errors
from trove_tools.cloud import history
from trove_tools.cloud import image as _image

NAME = "mariadb:11.8"


def image(number: int, **changes: typing.Any) -> _image.Image:
    """Return an image of the version; a higher number is newer."""
    answer = fakes.image("x", number, **{_image.SERVES: NAME, **changes})
    return _image.Image.from_answer(answer)


class HistoryTest(base.TestCase):
    def setUp(self) -> None:
        super().setUp()
        self.images = [image(number) for number in (3, 1, 4, 2)]

    def withdraw(self, *places: int) -> None:
        """Have the version gone back from some of the images."""
        for place in places:
            self.images[place] = dataclasses.replace(
                self.images[place], withdrawn=(NAME,)
            )

    def ids(self, images: list[_image.Image]) -> list[int]:
        return [int(each.id.rpartition("-")[2]) for each in images]

    def test_of(self) -> None:
        self.images += [
            image(5, status="queued"),
            image(6, **{_image.UPLOADING: "me"}),
            image(7, **{_image.SERVES: "mysql:8.4"}),
        ]
        self.assertEqual(
            [4, 3, 2, 1], self.ids(history.list_images(self.images, NAME))
        )

    def test_previous(self) -> None:
        found = history.find_previous(self.images, NAME, image(3))
        self.assertEqual("image-2", found and found.id)
        self.assertIsNone(history.find_previous(self.images, NAME, image(1)))

    def test_what_was_withdrawn_is_no_previous(self) -> None:
        self.withdraw(3)
        found = history.find_previous(self.images, NAME, image(3))
        self.assertEqual("image-1", found and found.id)

    def test_left(self) -> None:
        found = history.list_rolled_back(self.images, NAME, image(2))
        self.assertEqual([], found)
        self.withdraw(0, 1)
        found = history.list_rolled_back(self.images, NAME, image(2))
        self.assertEqual([3], self.ids(found))

    def surplus(self, keep: int, current: int = 4) -> list[int]:
        currents = {NAME: image(current)}
        return self.ids(history.list_surplus(self.images, currents, keep))

    def test_surplus(self) -> None:
        self.assertEqual([1, 2], self.surplus(2))
        self.assertEqual([1, 2, 3], self.surplus(1))
        self.assertEqual([], self.surplus(9))

    def test_newer_ones_stay_after_a_return(self) -> None:
        self.withdraw(0, 2)
        self.assertEqual([1], self.surplus(1, current=2))

    def test_what_was_withdrawn_goes_first(self) -> None:
        self.withdraw(0)
        self.assertEqual([1, 3], self.surplus(2))

    def test_an_image_of_two_versions(self) -> None:
        both = image(0, **{_image.SERVES: f"{NAME},mysql:8.4"})
        self.images.append(both)
        self.assertEqual([1, 2], self.surplus(2))
        found = history.list_surplus(
            self.images, {NAME: image(4)}, 2, gone=["mysql:8.4"]
        )
        self.assertEqual([0, 1, 2], self.ids(found))
        found = history.list_surplus(
            self.images, {NAME: image(4), "mysql:8.4": both}, 2
        )
        self.assertEqual([1, 2], self.ids(found))


class SwitchTest(test_load.LoadCase):
    """What is said of a load that new instances notice."""

    def second(self, **given: typing.Any) -> typing.Any:
        return self.load(self.build("second"), **given)

    def test_a_version_that_nobody_uses(self) -> None:
        for row in (self.load(), self.second()):
            self.assertFalse(row["live"])
            self.assertIsNone(row["undo"])
        self.assertNotIn("live", self.said.getvalue())

    def test_over_an_active_version(self) -> None:
        first = self.load(activate=True)["image_id"]
        self.assertIn("undo: openstack datastore version set version-11.8"
                      " --disable", self.said.getvalue())  # fmt: skip
        row = self.second()
        undo = f"activate-trove-image --rollback {NAME} --to-image {first}"
        self.assertEqual(
            (True, first, undo),
            (row["live"], row["image_before"], row["undo"]),
        )
        self.assertIn(
            f"{NAME} is live now for new instances; before: image"
            f" trove-mariadb ({first}); undo: {undo}",
            self.said.getvalue(),
        )

    def test_again(self) -> None:
        self.load(activate=True)
        self.said.truncate(0)
        row = self.load()
        self.assertEqual(
            (True, None, None), (row["live"], row["image_before"], row["undo"])
        )
        self.assertNotIn("is live now", self.said.getvalue())

    def test_over_an_image_that_something_else_made(self) -> None:
        old = fakes.image("old", 1)
        self.cloud.images[old["id"]] = old
        self.cloud.versions["v"] = fakes.version("11.8", id="v", active=True)
        row = self.load()
        self.assertEqual(
            "openstack image unset --tag trove --tag mariadb --tag 11.8"
            f" {row['image_id']}",
            row["undo"],
        )

    def test_over_a_pinned_image_that_something_else_made(self) -> None:
        old = fakes.image("old", 1, tags=[])
        self.cloud.images[old["id"]] = old
        self.cloud.versions["v"] = fakes.version(
            "11.8", id="v", active=True, image="image-1"
        )
        row = self.load(pin=True)
        self.assertEqual(
            "openstack datastore version set v --image image-1", row["undo"]
        )

    def test_the_image_before_does_not_stay(self) -> None:
        self.load(activate=True)
        self.assertIsNone(self.second(keep=1)["undo"])
        self.assertIn("undo: load the image before", self.said.getvalue())

    def test_a_version_without_an_image(self) -> None:
        self.cloud.versions["v"] = fakes.version("11.8", id="v", active=True)
        row = self.load()
        self.assertEqual((True, None), (row["live"], row["undo"]))
        self.assertIn("before: no image", self.said.getvalue())

    def test_doubts_are_a_warning_only_where_they_matter(self) -> None:
        images.describe(
            self.path, agent={"source": "checkout", "version": "26.0.0",
                              "commit": "abc", "dirty": True},
        )  # fmt: skip
        self.load()
        self.assertIn(
            "trove-mariadb.qcow2 has not been verified and has a"
            " guest agent of a checkout",
            self.said.getvalue(),
        )
        self.assertNotIn("warning", self.said.getvalue())
        self.load(activate=True)
        self.assertIn(
            f"warning: trove-mariadb.qcow2 goes live at once for"
            f" new instances of {NAME}, and has not been verified"
            " and has a guest agent",
            self.said.getvalue(),
        )


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
