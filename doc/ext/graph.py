# SPDX-License-Identifier: Apache-2.0
"""A graph of dependencies as a picture that needs no program to draw it."""

import collections.abc
import html

Graph = collections.abc.Mapping[str, collections.abc.Sequence[str]]

_WIDTH, _HEIGHT = 196, 30
_GAP, _STEP, _MARGIN = 54, 42, 16

_STYLE = """
.graph rect.page { fill: #ffffff; stroke: #c8ccd0 }
.graph rect.node { fill: #eef3f8; stroke: #4a7ba6 }
.graph text { fill: #1c2733; font: 13px sans-serif; text-anchor: middle }
.graph path { fill: none; stroke: #6b7c8c; stroke-width: 1.3 }
.graph path.head { fill: #6b7c8c; stroke: none }
.graph a:hover rect, .graph a:focus rect { stroke-width: 2.5 }
@media (prefers-color-scheme: dark) {
.graph rect.page { fill: #1b2229; stroke: #46525e }
.graph rect.node { fill: #26323d; stroke: #7fb2dd }
.graph text { fill: #e6ebf0 }
.graph path { stroke: #9fb0bf }
.graph path.head { fill: #9fb0bf }
}
"""


def reduced(needs: Graph) -> dict[str, list[str]]:
    """Return a graph without the edges that follow from others."""

    def reached(name: str) -> set[str]:
        found: set[str] = set()
        for each in needs[name]:
            found |= {each, *reached(each)}
        return found

    return {
        name: [
            one
            for one in deps
            if not any(one in reached(other) for other in deps)
        ]
        for name, deps in needs.items()
    }


def columns(needs: Graph) -> list[list[str]]:
    """Return the names in columns: what is needed stands to the left.

    What nothing needs, and needs nothing, is left out.
    """
    users = {
        name: [other for other, deps in needs.items() if name in deps]
        for name in needs
    }

    def depth(name: str) -> int:
        return max((depth(each) + 1 for each in needs[name]), default=0)

    def column(name: str) -> int:
        # as near to its users as can be, so that lines are short
        if not needs[name]:
            return min(map(depth, users[name])) - 1
        return depth(name)

    linked = [name for name in needs if needs[name] or users[name]]
    number = max(map(depth, linked), default=0) + 1
    placed: list[list[str]] = [[] for _ in range(number)]
    for name in linked:
        placed[column(name)].append(name)
    rows: dict[str, float] = {}
    for names in placed:
        names.sort(
            key=lambda name: (
                sum(rows.get(each, 0) for each in needs[name])
                / (len(needs[name]) or 1),
                name,
            )
        )
        for row, name in enumerate(names):
            rows[name] = row - len(names) / 2
    return placed


def svg(needs: Graph, title: str, link: str) -> str:
    """Return a picture, to be put into a page as it is.

    :param title: what is read to who does not see it.
    :param link: where a click on a node leads, with ``{}`` for its name.
    """
    needs = reduced(needs)
    placed = columns(needs)
    alone = [name for name in needs if not any(name in c for c in placed)]
    rows = max(map(len, placed), default=0)
    places: dict[str, tuple[int, int]] = {}
    for number, names in enumerate(placed):
        top = _MARGIN + (rows - len(names)) * _STEP // 2
        for row, name in enumerate(names):
            x = _MARGIN + number * (_WIDTH + _GAP)
            places[name] = x, top + row * _STEP
    across = max(len(placed), 1)
    below = _MARGIN + rows * _STEP + _MARGIN
    for index, name in enumerate(alone):
        x = _MARGIN + index % across * (_WIDTH + _GAP)
        places[name] = x, below + index // across * _STEP
    width = 2 * _MARGIN + across * (_WIDTH + _GAP) - _GAP
    height = max((y for _, y in places.values()), default=0)
    height += _HEIGHT + _MARGIN
    parts = [
        f'<svg class="graph" viewBox="0 0 {width} {height}" role="img"',
        f' style="max-width: {width}px; width: 100%"',
        f' aria-label="{html.escape(title)}"><style>{_STYLE}</style>',
        f'<rect class="page" x="0.5" y="0.5" width="{width - 1}"',
        f' height="{height - 1}" rx="6"/>',
    ]
    for name, deps in needs.items():
        for each in deps:
            parts.append(_edge(places[each], places[name]))
    for name, place in places.items():
        parts.append(_node(name, place, link.format(name)))
    return "\n".join([*parts, "</svg>"])


def _edge(needed: tuple[int, int], user: tuple[int, int]) -> str:
    """Return an arrow from a node to what it needs, on its left."""
    x, y = needed[0] + _WIDTH, needed[1] + _HEIGHT // 2
    start, high = user[0], user[1] + _HEIGHT // 2
    middle = (x + start) // 2
    return (
        f'<path d="M{start},{high} C{middle},{high} {middle},{y} {x + 6},{y}"'
        f'/><path class="head" d="M{x},{y} l8,-4 v8 z"/>'
    )


def _node(name: str, place: tuple[int, int], link: str) -> str:
    x, y = place
    return (
        f'<a href="{html.escape(link)}"><rect class="node" x="{x}" y="{y}"'
        f' width="{_WIDTH}" height="{_HEIGHT}" rx="4"/>'
        f'<text x="{x + _WIDTH // 2}" y="{y + 20}">{html.escape(name)}'
        "</text></a>"
    )
