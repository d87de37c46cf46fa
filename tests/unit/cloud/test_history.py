# SPDX-License-Identifier: Apache-2.0
"""Which images a version had, returns to, and gets by a load."""

import dataclasses
import typing

from tests import base
from tests.unit.cloud import fakes
from tests.unit.cloud import images
from tests.unit.cloud import test_load
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
