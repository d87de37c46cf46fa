# SPDX-License-Identifier: Apache-2.0
"""The timeline of a build, for the report."""

import collections.abc
import dataclasses
import typing

#: The number of slowest hooks to show.
_SLOWEST = 8
_STEPS = (1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 1200, 1800, 3600)

Span = dict[str, typing.Any]


@dataclasses.dataclass(frozen=True)
class Timeline:
    """The timeline of a build.

    :param rows: the spans of the manifest.
    :param end: the duration of the build in seconds.
    :param ticks: the ticks of the axis: seconds and label.
    :param slowest: the slowest hooks with their seconds.
    """

    rows: tuple[Span, ...]
    end: float
    ticks: list[tuple[int, str]]
    slowest: list[tuple[str, float]]


def timeline(spans: collections.abc.Iterable[Span]) -> Timeline:
    """Return the timeline of a build."""
    rows = tuple(spans)
    ends = (each["begin"] + each["seconds"] for each in rows)
    end = max(ends, default=0.0) or 1.0
    slowest = sorted(_hooks(rows), key=lambda each: -each[1])[:_SLOWEST]
    return Timeline(rows, end, list(_ticks(end)), slowest)


def _ticks(end: float) -> collections.abc.Iterator[tuple[int, str]]:
    step = next((each for each in _STEPS if end / each <= 8), _STEPS[-1])
    for at in range(0, int(end) + 1, step):
        # the label of a tick at the end would be outside of the axis
        if at / end < 0.97:
            yield at, f"{at // 60}:{at % 60:02d}"


def _hooks(
    spans: collections.abc.Iterable[Span], where: str = ""
) -> collections.abc.Iterator[tuple[str, float]]:
    """Yield the hooks of all layers, each with the layer's name."""
    between = {"layer": ": ", "phase": ".d/"}
    for span in spans:
        name = where + span["name"]
        if span["kind"] == "hook":
            yield name, span["seconds"]
        inside = name + between.get(span["kind"], " ")
        yield from _hooks(span.get("spans") or (), inside)
