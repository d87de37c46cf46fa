# SPDX-License-Identifier: Apache-2.0
"""Lays out sizes as rectangles, each as large as its share.

Squarified, so that no rectangle gets longer than it must be: M. Bruls,
K. Huizing, J. J. van Wijk, "Squarified Treemaps", 2000.
"""

import collections.abc
import typing

# what rounding may leave must not become nothing, or less
_LEAST = 1e-9


class Place(typing.NamedTuple):
    """A rectangle."""

    x: float
    y: float
    width: float
    height: float


def layout(
    sizes: collections.abc.Sequence[float], within: Place
) -> list[Place]:
    """Return a rectangle for each size, in the same order.

    :param sizes: the largest first; none of them zero.
    :param within: what they fill.
    """
    total = sum(sizes)
    if not total:
        return []
    scale = within.width * within.height / total
    areas = [size * scale for size in sizes]
    found: list[Place] = []
    while areas:
        # a row along the shorter side gets the squarer ones
        side = min(within.width, within.height)
        count = _row(areas, side)
        thickness = sum(areas[:count]) / side
        at = 0.0
        for area in areas[:count]:
            length = area / thickness
            found.append(
                Place(within.x, within.y + at, thickness, length)
                if within.width >= within.height
                else Place(within.x + at, within.y, length, thickness)
            )
            at += length
        within = (
            Place(within.x + thickness, within.y,
                  max(within.width - thickness, _LEAST), within.height)
            if within.width >= within.height
            else Place(within.x, within.y + thickness,
                       within.width, max(within.height - thickness, _LEAST))
        )  # fmt: skip
        areas = areas[count:]
    return found


def _row(areas: collections.abc.Sequence[float], side: float) -> int:
    """Return how many areas make the best row along a side."""
    best = _worst(areas[:1], side)
    for count in range(2, len(areas) + 1):
        worst = _worst(areas[:count], side)
        if worst > best:
            return count - 1
        best = worst
    return len(areas)


def _worst(row: collections.abc.Sequence[float], side: float) -> float:
    """Return how long the longest of a row is, as a ratio of its sides."""
    total = sum(row)
    return max(
        max(side**2 * area / total**2, total**2 / (side**2 * area))
        for area in row
    )
