# SPDX-License-Identifier: Apache-2.0
"""The largest directories and packages of an image, for the report."""

import collections.abc
import dataclasses

from trove_tools.inspection import contents
from trove_tools.inspection import package

#: A directory with a smaller share of the whole is not shown.
LEAST = 0.01
#: How many packages are shown.
PACKAGES = 30
#: The kinds of content, which decide the colour of a bar.
KINDS = {
    "system": "guest system",
    "agent": "guest agent",
    "container": "containers",
}
_AGENT = f"/{package.AGENT_VENV}"
_STORE = "/var/lib/docker"


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


def directories(found: contents.Contents) -> list[Bar]:
    """Return the largest directories, as a tree.

    Every directory is followed by its subdirectories, the largest first. The
    image store is shown by containers, because the names of its directories
    have no meaning.
    """
    total = found.directories.get("/", 0)
    sizes = {
        path: size
        for path, size in found.directories.items()
        if size >= LEAST * total
        and path != "/"
        and not path.startswith(f"{_STORE}/")
    }
    shown = [path for path in sizes if not _is_passed(path, sizes)]
    return list(_below("", shown, sizes, found, 0))


def _is_passed(path: str, sizes: collections.abc.Mapping[str, int]) -> bool:
    """Return whether one subdirectory contains nearly all of a directory."""
    return path not in (_STORE, _AGENT) and any(
        inner.startswith(f"{path}/") and size > 0.95 * sizes[path]
        for inner, size in sizes.items()
    )


def _below(
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
        yield from _below(path, shown, sizes, found, depth + 1)


def _kind(path: str) -> str:
    if path == _STORE:
        return "container"
    return "agent" if f"{path}/".startswith(f"{_AGENT}/") else "system"


def packages(found: contents.Contents) -> list[Bar]:
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
