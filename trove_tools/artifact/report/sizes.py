# SPDX-License-Identifier: Apache-2.0
"""What takes room in an image: its directories and its packages."""

import collections.abc
import dataclasses

from trove_tools.inspection import contents
from trove_tools.inspection import package

#: A directory with a smaller share of the whole is not shown.
LEAST = 0.01
#: How many packages are shown.
PACKAGES = 30
#: What an image is made of, by the kind that gives a bar its colour.
KINDS = {
    "system": "guest system",
    "agent": "guest agent",
    "container": "containers",
}
_AGENT = f"/{package.AGENT_VENV}"
_STORE = "/var/lib/docker"


@dataclasses.dataclass(frozen=True)
class Bar:
    """Something that takes room.

    :param name: of a directory: as its parent's row goes on.
    :param kind: one of :data:`KINDS`.
    :param size: bytes.
    :param depth: how many rows of the table it is a part of.
    """

    name: str
    kind: str
    size: int
    depth: int = 0


def directories(found: contents.Contents) -> list[Bar]:
    """Return the directories that take room, as a tree.

    The largest comes first, and below it what is in it.  The containers
    stand in place of the directories of the image store, whose names mean
    nothing.
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
    """Tell whether nearly all of a directory is in one below it."""
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
    # those that are in no other one of these
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
    """Return the packages that say how large they are, the largest first."""
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
