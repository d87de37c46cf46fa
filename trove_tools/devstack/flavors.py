# SPDX-License-Identifier: Apache-2.0
"""Creates the flavors for Trove's tests.

Names, identifiers and sizes are the same as in Trove's tests. Every flavor has
a counterpart with 16 MiB and one processor more, for resizing, and both also
exist with an ephemeral disk, for clouds without volumes. Two flavors test
failures: one is too small for any image, one is too large for any host.
"""

import collections.abc
import concurrent.futures
import dataclasses
import typing

from trove_tools import errors
from trove_tools.cloud import connection
from trove_tools.cloud import failures

#: The number of parallel requests, because Nova needs 0.1 s per request.
_AT_ONCE = 4

_CONFLICT = 409

_EPHEMERAL = "OS-FLV-EXT-DATA:ephemeral"


@dataclasses.dataclass(frozen=True)
class Flavor:
    """A flavor.

    :param ram: MiB.
    :param disk: the root disk, GiB.
    :param ephemeral: the ephemeral disk, GiB.
    """

    name: str
    id: str
    ram: int
    disk: int
    vcpus: int = 1
    ephemeral: int = 0

    @classmethod
    def from_answer(
        cls, answer: collections.abc.Mapping[str, typing.Any]
    ) -> "Flavor":
        """Return the flavor that Nova's JSON describes."""
        return cls(
            answer["name"],
            answer["id"],
            answer["ram"],
            answer["disk"],
            answer["vcpus"],
            answer.get(_EPHEMERAL, 0),
        )

    @property
    def sizes(self) -> dict[str, int]:
        """All its sizes, as Nova names them."""
        return {
            "ram": self.ram,
            "disk": self.disk,
            "vcpus": self.vcpus,
            _EPHEMERAL: self.ephemeral,
        }


#: Name, identifier, MiB and GiB of the flavors that work.
_GOOD = (
    ("tiny", "10", 768, 4),
    ("small", "15", 1024, 6),
    ("small", "16", 1024, 7),
    ("small", "17", 1024, 8),
    ("medium", "20", 1536, 7),
    ("medium", "21", 1536, 8),
    ("large", "25", 2048, 8),
    ("large", "26", 2048, 13),
    ("large", "27", 2048, 18),
)

#: The flavors that fail: the first is too small for an image, the second has
#: more memory than a host.
_FAULTS = (
    ("fault_1", "30", 1536, 1),
    ("fault_2", "31", 131072, 7),
)


def _table() -> collections.abc.Iterator[Flavor]:
    for name, number, ram, disk in (*_GOOD, *_FAULTS):
        for prefix, suffix, ephemeral in (
            ("test", "", 0),
            ("test.eph", "e", 1),
        ):
            plain = Flavor(
                f"{prefix}.{name}-{disk}", number + suffix, ram, disk,
                ephemeral=ephemeral,
            )  # fmt: skip
            yield plain
            if (name, number, ram, disk) in _GOOD:
                yield dataclasses.replace(
                    plain,
                    name=f"{plain.name}.resize",
                    id=f"{plain.id}r",
                    ram=ram + 16,
                    vcpus=2,
                )


TEST_FLAVORS = tuple(_table())


def list_flavors(compute: connection.Service) -> list[Flavor]:
    """Return the flavors that the user may use; all for an administrator.

    :raises CloudError: Nova refused.
    """
    answer = compute.read(
        "/flavors/detail?is_public=None", "listing flavors"
    )
    return list(map(Flavor.from_answer, answer["flavors"]))


@dataclasses.dataclass(frozen=True)
class Outcome:
    """The result of creating flavors.

    :param different: the names of existing flavors with other sizes; a flavor
        cannot be changed, and this module must not remove it.
    """

    created: int
    unchanged: int
    different: tuple[str, ...]


def ensure(
    compute: connection.Service,
    wanted: collections.abc.Sequence[Flavor] = TEST_FLAVORS,
) -> Outcome:
    """Create missing flavors.

    :param compute: Nova, as an administrator.
    :raises CloudError: Nova refused, or an identifier is taken.
    """
    known = {each.name: each for each in list_flavors(compute)}
    missing = [each for each in wanted if each.name not in known]
    with concurrent.futures.ThreadPoolExecutor(_AT_ONCE) as pool:
        # list() raises the first error here
        list(pool.map(lambda each: _create(compute, each), missing))
    different = tuple(
        each.name
        for each in wanted
        if each.name in known and each.sizes != known[each.name].sizes
    )
    same = len(wanted) - len(missing) - len(different)
    return Outcome(len(missing), same, different)


def _create(compute: connection.Service, flavor: Flavor) -> None:
    try:
        compute.call(
            "POST",
            "/flavors",
            f"creating flavor {flavor.name}",
            json={
                "flavor": {
                    "id": flavor.id, "name": flavor.name, **flavor.sizes,
                }
            },
        )  # fmt: skip
    except failures.Refused as exc:
        if exc.status != _CONFLICT:
            raise
        raise errors.CloudError(
            f"flavor {flavor.name} cannot have the identifier {flavor.id}:"
            " another flavor has it",
            hint="remove that flavor, or skip the test flavors: --no-flavors,"
                 " in devstack TROVE_GUEST_TEST_FLAVORS=False",
        ) from exc


def find_large_enough(
    flavors: collections.abc.Iterable[Flavor],
    ram: int,
    disk: int,
    ephemeral: int = 0,
) -> list[Flavor]:
    """Return the flavors that are large enough, the smallest first.

    Flavors without an ephemeral disk come first.

    :param ram: the minimum, MiB.
    :param disk: the minimum, GiB; a flavor with a root disk of 0 adapts to the
        image.
    :param ephemeral: the minimum, GiB.
    """
    enough = [
        flavor
        for flavor in flavors
        if flavor.ram >= ram
        and (flavor.disk >= disk or flavor.disk == 0)
        and flavor.ephemeral >= ephemeral
        and ".fault_" not in flavor.name
    ]
    return sorted(
        enough, key=lambda f: (f.ephemeral, f.ram, f.vcpus, f.disk, f.name)
    )
