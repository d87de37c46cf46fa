# SPDX-License-Identifier: Apache-2.0
"""The page's pictures: a build's timeline, maps of what takes room."""

import collections.abc
import typing

from trove_tools import console
from trove_tools.report import facts
from trove_tools.report import rooms
from trove_tools.report import template
from trove_tools.report import treemap

#: What is filled, in units of which only the ratio counts.
_FIELD = treemap.Place(0, 0, 160, 90)
#: Between groups, in the same units.
_GAP = 0.35
#: How many hooks are worth naming.
_SLOWEST = 8
_STEPS = (1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 1200, 1800, 3600)

_Span = dict[str, typing.Any]


def timeline(spans: collections.abc.Sequence[_Span]) -> template.Html:
    """Return the parts of a build along one axis."""
    if not spans:
        return template.part("no-timeline")
    end = max(each["begin"] + each["seconds"] for each in spans) or 1.0
    return template.part(
        "timeline",
        ticks=_ticks(end),
        rows=template.join(_row(each, end, 0) for each in spans),
        slowest=_slowest(spans),
    )


def _row(span: _Span, end: float, depth: int) -> template.Html:
    inner = span.get("spans") or []
    bar = template.part(
        "bar",
        name=span["name"],
        kind="cached" if span.get("cached") else span["kind"],
        depth=depth,
        left=f"{100 * span['begin'] / end:.3f}",
        width=f"{100 * span['seconds'] / end:.3f}",
        seconds="from the cache"
        if span.get("cached")
        else facts.seconds(span["seconds"]),
        count=template.part(
            "count", text=f"{len(inner)} part{'s' * (len(inner) > 1)}"
        )
        if inner
        else "",
    )
    if not inner:
        return template.part("row", bar=bar)
    return template.part(
        "rows",
        bar=bar,
        # hooks are many, and seldom asked for
        open=template.Html("open" if span["kind"] == "layer" else ""),
        rows=template.join(_row(each, end, depth + 1) for each in inner),
    )


def _ticks(end: float) -> template.Html:
    step = next((each for each in _STEPS if end / each <= 8), _STEPS[-1])
    return template.parts(
        "tick",
        (
            {"left": f"{100 * at / end:.3f}", "text": _clock(at)}
            for at in range(0, int(end) + 1, step)
            if at / end < 0.97
        ),
    )


def _clock(at: int) -> str:
    return f"{at // 60}:{at % 60:02d}"


def _slowest(spans: collections.abc.Sequence[_Span]) -> template.Html:
    hooks = sorted(_hooks(spans), key=lambda each: -each[1])[:_SLOWEST]
    longest = hooks[0][1] if hooks else 1
    return template.parts(
        "slow",
        (
            {
                "name": name,
                "seconds": facts.seconds(seconds),
                "share": f"{100 * seconds / longest:.2f}",
            }
            for name, seconds in hooks
        ),
    )


def _hooks(
    spans: collections.abc.Iterable[_Span], where: str = ""
) -> collections.abc.Iterator[tuple[str, float]]:
    """Yield hooks as diskimage-builder names them, each with its layer."""
    between = {"layer": ": ", "phase": ".d/"}
    for span in spans:
        name = where + span["name"]
        if span["kind"] == "hook":
            yield name, span["seconds"]
        inside = name + between.get(span["kind"], " ")
        yield from _hooks(span.get("spans") or (), inside)


def rooms_map(
    name: str, groups: collections.abc.Sequence[rooms.Group]
) -> template.Html:
    """Return a map of what takes room.

    :param name: what the map is of, for those who do not see it.
    """
    places = treemap.layout([each.size for each in groups], _FIELD)
    total = sum(each.size for each in groups) or 1
    return template.part(
        "map",
        name=name,
        groups=template.join(
            _group(group, place, total)
            for group, place in zip(groups, places, strict=True)
        ),
        legends=template.parts(
            "legend",
            (
                {
                    "name": group.name,
                    "kind": group.kind,
                    "size": console.size(group.size),
                }
                for group in groups
            ),
        ),
    )


def _group(
    group: rooms.Group, place: treemap.Place, total: int
) -> template.Html:
    place = treemap.Place(
        place.x + _GAP, place.y + _GAP,
        max(place.width - 2 * _GAP, _GAP), max(place.height - 2 * _GAP, _GAP),
    )  # fmt: skip
    inner = treemap.layout([each.size for each in group.tiles], place)
    return template.part(
        "group",
        name=group.name,
        kind=group.kind,
        tiles=template.join(
            _tile(tile, where, total)
            for tile, where in zip(group.tiles, inner, strict=True)
        ),
    )


def _tile(
    tile: rooms.Tile, where: treemap.Place, total: int
) -> template.Html:
    left, width = (100 * each / _FIELD.width for each in where[::2])
    top, height = (100 * each / _FIELD.height for each in where[1::2])
    size = console.size(tile.size)
    return template.part(
        "tile",
        name=tile.name,
        size=size,
        share=f"{100 * tile.size / total:.1f} %",
        label=tile.label,
        # what is said of it must not lead out of the page
        end="end" if left + width / 2 > 50 else "",
        left=f"{left:.3f}",
        top=f"{top:.3f}",
        width=f"{width:.3f}",
        height=f"{height:.3f}",
    )
