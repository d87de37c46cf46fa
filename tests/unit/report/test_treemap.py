# SPDX-License-Identifier: Apache-2.0
"""Rectangles as large as what they stand for."""

from tests import base
from trove_tools.report import treemap

FIELD = treemap.Place(10, 20, 160, 90)


class LayoutTest(base.TestCase):
    def test_areas(self) -> None:
        sizes = [6.0, 6, 4, 3, 2, 2, 1]
        places = treemap.layout(sizes, FIELD)
        scale = 160 * 90 / sum(sizes)
        for size, place in zip(sizes, places, strict=True):
            self.assertAlmostEqual(size * scale, place.width * place.height)
            self.assertGreaterEqual(place.x, 10 - 1e-9)
            self.assertGreaterEqual(place.y, 20 - 1e-9)
            self.assertLessEqual(place.x + place.width, 170 + 1e-9)
            self.assertLessEqual(place.y + place.height, 110 + 1e-9)

    def test_nothing_overlaps(self) -> None:
        places = treemap.layout([50.0, 20, 10, 10, 5, 3, 1, 1], FIELD)
        for number, one in enumerate(places):
            for other in places[number + 1:]:
                apart = (
                    one.x + one.width <= other.x + 1e-9
                    or other.x + other.width <= one.x + 1e-9
                    or one.y + one.height <= other.y + 1e-9
                    or other.y + other.height <= one.y + 1e-9
                )
                self.assertTrue(apart, (one, other))

    def test_squarish(self) -> None:
        for place in treemap.layout([1.0] * 12, FIELD):
            longer = max(place.width, place.height)
            self.assertLess(longer / min(place.width, place.height), 2.5)

    def test_none_and_one(self) -> None:
        self.assertEqual([], treemap.layout([], FIELD))
        self.assertEqual([FIELD], treemap.layout([1], FIELD))
