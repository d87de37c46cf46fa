# SPDX-License-Identifier: Apache-2.0
"""A change is claimed when it was read back."""

import typing

from tests import base
from tests.unit.cloud import fakes
from tests.unit.cloud import test_load
from trove_tools import console
from trove_tools import errors
from trove_tools.cloud import activation
from trove_tools.cloud import connection
from trove_tools.cloud import retry


class ConfirmTest(base.TestCase):
    def confirm(self, *found: int) -> int:
        answers = iter(found)
        return retry.confirm(
            lambda: next(answers),
            lambda number: None if number == 3 else f"it is {number}",
            "counting",
            "Trove",
        )

    def test_seen(self) -> None:
        self.assertEqual(3, self.confirm(3))

    def test_seen_a_moment_later(self) -> None:
        self.patch_object(retry, "_LOOK", 0.001)
        self.assertEqual(3, self.confirm(1, 2, 3))

    def test_not_seen(self) -> None:
        self.patch_object(retry, "SEEN_WITHIN", 0)
        error = self.assertRaises(errors.CloudError, self.confirm, 1)
        self.assertEqual(
            "counting: Trove accepted this, and did not do it: it is 1",
            error.message,
        )
        self.assertIn("the log of Trove", error.hint or "")


class SwallowedTest(test_load.LoadCase):
    def setUp(self) -> None:
        super().setUp()
        self.patch_object(retry, "SEEN_WITHIN", 0)

    def refused(self, pattern: str, *words: str, **given: typing.Any) -> None:
        self.cloud.swallowed = pattern
        error = self.assertRaises(errors.CloudError, self.load, **given)
        self.cloud.swallowed = ""
        for word in words:
            self.assertIn(word, error.message)

    def test_the_description(self) -> None:
        self.refused("PATCH /images/.*", "describing the image", "tags")
        self.assertEqual({}, self.cloud.images)

    def test_a_property_of_an_image_that_is_there(self) -> None:
        self.load()
        self.refused("PATCH /images/.*", "hw_disk_bus",
                     property=[("hw_disk_bus", "scsi")])  # fmt: skip

    def test_a_member(self) -> None:
        self.refused("POST /images/.*/members", "sharing the image",
                     "p-service", member=["service"])  # fmt: skip

    def test_a_registration(self) -> None:
        self.refused("POST /mgmt/.*", "it is not listed")

    def test_an_activation(self) -> None:
        self.refused("PATCH /mgmt/.*", "active of mariadb:11.8 is False",
                     activate=True)  # fmt: skip

    def test_a_removal(self) -> None:
        self.load()
        self.cloud.swallowed = "DELETE .*"
        self.load(self.build("second"), keep=1)
        self.assertEqual(2, len(self.cloud.images))
        self.assertIn("is still in Glance", self.said.getvalue())
        self.assertNotIn("removed the older", self.said.getvalue())

    def test_a_rollback(self) -> None:
        self.load(activate=True)
        self.load(self.build("second"))
        cloud = connection.connect(fakes.settings())
        screen = console.Console(stream=self.said)
        back = activation.Activation(cloud, screen).roll_back
        self.cloud.swallowed = "PATCH /images/.*"
        self.assertRaises(errors.CloudError, back, "mariadb", "11.8")
        self.assertNotIn("is served by", self.said.getvalue())
