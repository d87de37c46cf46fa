# SPDX-License-Identifier: Apache-2.0
"""Which images are returned to, and which are removed."""

import typing

from tests import base
from tests.unit.cloud import fakes
from trove_tools.cloud import glance
from trove_tools.cloud import history

NAME = "mariadb:11.8"


def image(number: int, **changes: typing.Any) -> glance.Record:
    """Return an image of the version; a higher number is newer."""
    return fakes.image("x", number, **{glance.SERVES: NAME, **changes})


class HistoryTest(base.TestCase):
    def setUp(self) -> None:
        super().setUp()
        self.records = [image(number) for number in (3, 1, 4, 2)]

    def ids(self, found: list[glance.Record]) -> list[int]:
        return [int(each["id"].rpartition("-")[2]) for each in found]

    def test_of(self) -> None:
        self.records += [
            image(5, status="queued"),
            image(6, **{glance.UPLOADING: "me"}),
            image(7, **{glance.SERVES: "mysql:8.4"}),
        ]
        self.assertEqual(
            [4, 3, 2, 1], self.ids(history.of(self.records, NAME))
        )

    def test_previous(self) -> None:
        found = history.previous(self.records, NAME, image(3))
        self.assertEqual("image-2", found and found["id"])
        self.assertIsNone(history.previous(self.records, NAME, image(1)))

    def test_what_was_withdrawn_is_no_previous(self) -> None:
        self.records[3][glance.WITHDRAWN] = NAME
        found = history.previous(self.records, NAME, image(3))
        self.assertEqual("image-1", found and found["id"])

    def test_left(self) -> None:
        self.assertEqual([], history.left(self.records, NAME, image(2)))
        for number in (0, 1):
            self.records[number][glance.WITHDRAWN] = NAME
        found = history.left(self.records, NAME, image(2))
        self.assertEqual([3], self.ids(found))

    def surplus(self, keep: int, current: int = 4) -> list[int]:
        currents = {NAME: image(current)}
        return self.ids(history.surplus(self.records, currents, keep))

    def test_surplus(self) -> None:
        self.assertEqual([1, 2], self.surplus(2))
        self.assertEqual([1, 2, 3], self.surplus(1))
        self.assertEqual([], self.surplus(9))

    def test_newer_ones_stay_after_a_return(self) -> None:
        for number in (0, 2):
            self.records[number][glance.WITHDRAWN] = NAME
        self.assertEqual([1], self.surplus(1, current=2))

    def test_what_was_withdrawn_goes_first(self) -> None:
        self.records[0][glance.WITHDRAWN] = NAME
        self.assertEqual([1, 3], self.surplus(2))

    def test_an_image_of_two_versions(self) -> None:
        both = image(0, **{glance.SERVES: f"{NAME},mysql:8.4"})
        self.records.append(both)
        self.assertEqual([1, 2], self.surplus(2))
        found = history.surplus(
            self.records, {NAME: image(4)}, 2, gone=["mysql:8.4"]
        )
        self.assertEqual([0, 1, 2], self.ids(found))
        found = history.surplus(
            self.records, {NAME: image(4), "mysql:8.4": both}, 2
        )
        self.assertEqual([1, 2], self.ids(found))
