# SPDX-License-Identifier: Apache-2.0
"""Makes the charts of the report: bars of sizes, and a build's timeline."""

import collections.abc
import dataclasses
import typing

from trove_tools.inspection import contents
from trove_tools.inspection import package

#: A directory with a smaller share of the whole is not shown.
LEAST_SHARE = 0.01
#: How many packages are shown.
MOST_PACKAGES = 30
#: The kinds of content, which decide the colour of a bar.
KINDS = {
    "system": "guest system",
    "agent": "guest agent",
    "container": "containers",
}
_AGENT = f"/{package.AGENT_VENV}"
_STORE = "/var/lib/docker"
#: The number of slowest hooks to show.
_SLOWEST = 8
_STEPS = (1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 1200, 1800, 3600)

Span = dict[str, typing.Any]


@dataclasses.dataclass(frozen=True)
class Bar:
    """A row of the bar chart.

    :param name: the name; for a directory, relative to its parent's row.
    :param kind: one of :data:`KINDS`.
    :param size: bytes.
    :param depth: the nesting depth of the row.
    """

    name: str
    kind: str
    size: int
    depth: int = 0


def directory_bars(found: contents.Contents) -> list[Bar]:
    """Return the largest directories, as a tree.

    Every directory is followed by its subdirectories, the largest first. The
    image store is shown by containers, because the names of its directories
    have no meaning.
    """
    total = found.directories.get("/", 0)
    sizes = {
        path: size
        for path, size in found.directories.items()
        if size >= LEAST_SHARE * total
        and path != "/"
        and not path.startswith(f"{_STORE}/")
    }
    shown = [path for path in sizes if not _is_passed(path, sizes)]
    return list(_bars_below("", shown, sizes, found, 0))


def _is_passed(path: str, sizes: collections.abc.Mapping[str, int]) -> bool:
    """Return whether one subdirectory contains nearly all of a directory."""
    return path not in (_STORE, _AGENT) and any(
        inner.startswith(f"{path}/") and size > 0.95 * sizes[path]
        for inner, size in sizes.items()
    )


def _bars_below(
    parent: str,
    shown: collections.abc.Sequence[str],
    sizes: collections.abc.Mapping[str, int],
    found: contents.Contents,
    depth: int,
) -> collections.abc.Iterator[Bar]:
    inside = [path for path in shown if path.startswith(f"{parent}/")]
    # only the topmost of these directories
    children = [
        path
        for path in inside
        if not any(path.startswith(f"{other}/") for other in inside)
    ]
    for path in sorted(children, key=lambda each: -sizes[each]):
        name = path.removeprefix(f"{parent}/") if parent else path
        yield Bar(name, _kind(path), sizes[path], depth)
        if path == _STORE:
            for each in sorted(found.containers, key=lambda c: -c.size):
                yield Bar(each.names[0], "container", each.size, depth + 1)
        yield from _bars_below(path, shown, sizes, found, depth + 1)


def _kind(path: str) -> str:
    if path == _STORE:
        return "container"
    return "agent" if f"{path}/".startswith(f"{_AGENT}/") else "system"


def package_bars(found: contents.Contents) -> list[Bar]:
    """Return the packages whose size is known, the largest first."""
    bars = [
        Bar(f"{each.name} {each.version}", kind, each.size)
        for kind, packages in (
            ("system", found.packages),
            ("agent", found.python),
            *(("container", c.packages) for c in found.containers),
        )
        for each in packages
        if each.size
    ]
    return sorted(bars, key=lambda bar: (-bar.size, bar.name))


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


def build_timeline(spans: collections.abc.Iterable[Span]) -> Timeline:
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
