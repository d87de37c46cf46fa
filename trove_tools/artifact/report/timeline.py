# SPDX-License-Identifier: Apache-2.0
"""The parts of a build along one axis."""

import collections.abc
import dataclasses
import typing

#: How many hooks are worth naming.
_SLOWEST = 8
_STEPS = (1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 1200, 1800, 3600)

Span = dict[str, typing.Any]


@dataclasses.dataclass(frozen=True)
class Timeline:
    """What the page shows of a build.

    :param rows: the manifest's spans.
    :param end: seconds that the build took.
    :param ticks: seconds, and how the axis has them.
    :param slowest: hooks, and the seconds that each took.
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
        # the text of a tick at the very end would stand outside
        if at / end < 0.97:
            yield at, f"{at // 60}:{at % 60:02d}"


def _hooks(
    spans: collections.abc.Iterable[Span], where: str = ""
) -> collections.abc.Iterator[tuple[str, float]]:
    """Yield hooks as diskimage-builder names them, each with its layer."""
    between = {"layer": ": ", "phase": ".d/"}
    for span in spans:
        name = where + span["name"]
        if span["kind"] == "hook":
            yield name, span["seconds"]
        inside = name + between.get(span["kind"], " ")
        yield from _hooks(span.get("spans") or (), inside)
