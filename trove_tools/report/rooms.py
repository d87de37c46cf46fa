# SPDX-License-Identifier: Apache-2.0
"""What takes room in an image, in groups of what belongs together."""

import collections.abc
import dataclasses
import typing

from trove_tools.inspection import contents
from trove_tools.inspection import package
from trove_tools.inspection import venv

#: About how many tiles a map has.
TILES = 44
#: A share of the whole that is worth a tile of its own.
LEAST = 0.006
_AGENT = f"/{venv.AGENT}"
_STORE = "/var/lib/docker"


class Tile(typing.NamedTuple):
    """Something that takes room.

    :param label: the least that tells what it is.
    :param kind: of its colour: system, agent or container.
    :param size: bytes.
    """

    name: str
    label: str
    kind: str
    size: int


@dataclasses.dataclass(frozen=True)
class Group:
    """Tiles that belong together."""

    name: str
    kind: str
    tiles: tuple[Tile, ...]

    @property
    def size(self) -> int:
        """Bytes."""
        return sum(tile.size for tile in self.tiles)


def directories(found: contents.Contents) -> list[Group]:
    """Return the directories that take room, by the top of their path.

    The image store's layers are named by the containers they belong to.
    """
    sizes = {
        path: size
        for path, size in found.directories.items()
        if not path.startswith(f"{_STORE}/")
    }
    leaves = _split(sizes, TILES - len(found.containers))
    store = sizes.get(_STORE, 0)
    tiles = [
        *(_tile(path, size) for path, size in leaves if path != _STORE),
        *(
            Tile(each.names[0], each.names[0], "container", each.size)
            for each in found.containers
        ),
    ]
    rest = store - sum(each.size for each in found.containers)
    if rest > 0:
        tiles.append(_tile(f"rest of {_STORE}", rest))
    return _grouped(
        tiles,
        {
            "system": "guest system",
            "agent": "guest agent",
            "container": "containers",
        },
    )


def packages(found: contents.Contents) -> list[Group]:
    """Return the packages that take room, by what has them."""
    groups = [
        _of("guest system", "system", found.packages),
        _of("guest agent", "agent", found.python),
        *(
            _of(each.names[0], "container", each.packages)
            for each in found.containers
        ),
    ]
    total = sum(group.size for group in groups) or 1
    return [
        _fewest(group, max(1, round(TILES * group.size / total)))
        for group in sorted(groups, key=lambda group: -group.size)
        if group.size
    ]


def _split(
    sizes: collections.abc.Mapping[str, int], tiles: int
) -> list[tuple[str, int]]:
    """Return directories that do not overlap, and what is left of others."""
    leaves = {"/": sizes.get("/", 0)}
    whole = set()
    while len(leaves) < tiles:
        candidates = [
            path for path in leaves
            if path not in whole and path != _STORE
            and not path.startswith("rest of ")
        ]  # fmt: skip
        if not candidates:
            break
        path = max(candidates, key=lambda each: leaves[each])
        below = {
            inner: size
            for inner, size in sizes.items()
            if inner != path
            and inner.rpartition("/")[0] == path.rstrip("/")
            and (size >= LEAST * sizes["/"] or _holds(inner))
        }
        if not below:
            whole.add(path)
            continue
        rest = leaves.pop(path) - sum(below.values())
        leaves.update(below)
        if rest > 0:
            leaves[f"rest of {path}"] = rest
    return list(leaves.items())


def _holds(path: str) -> bool:
    """Tell whether a path leads to what has a colour of its own."""
    return any(f"{each}/".startswith(f"{path}/") for each in (_AGENT, _STORE))


def _tile(path: str, size: int) -> Tile:
    where = path.removeprefix("rest of ")
    kind, label = "system", path
    if f"{where}/".startswith(f"{_AGENT}/"):
        kind = "agent"
        label = "other files" if where != path else path.rpartition("/")[2]
    elif f"{where}/".startswith(f"{_STORE}/"):
        kind = "container"
    return Tile(path, label, kind, size)


def _grouped(
    tiles: collections.abc.Iterable[Tile],
    names: collections.abc.Mapping[str, str],
) -> list[Group]:
    kinds: dict[str, list[Tile]] = {}
    for tile in tiles:
        if tile.size > 0:
            kinds.setdefault(tile.kind, []).append(tile)
    return sorted(
        (
            Group(names[kind], kind, _largest_first(each))
            for kind, each in kinds.items()
        ),
        key=lambda group: -group.size,
    )


def _of(
    name: str, kind: str, found: collections.abc.Iterable[package.Package]
) -> Group:
    return Group(
        name, kind,
        tuple(
            Tile(f"{each.name} {each.version}", each.name, kind, each.size)
            for each in found if each.size
        ),
    )  # fmt: skip


def _fewest(group: Group, tiles: int) -> Group:
    """Return the group with its largest tiles, the others made one."""
    ordered = _largest_first(group.tiles)
    rest = ordered[tiles:]
    shown = list(ordered[:tiles])
    if rest:
        name = f"{len(rest)} smaller ones"
        size = sum(each.size for each in rest)
        shown.append(Tile(name, name, group.kind, size))
    return dataclasses.replace(group, tiles=_largest_first(shown))


def _largest_first(
    tiles: collections.abc.Iterable[Tile],
) -> tuple[Tile, ...]:
    return tuple(sorted(tiles, key=lambda each: -each.size))
