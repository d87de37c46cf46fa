# SPDX-License-Identifier: Apache-2.0
"""Prepares a cloud for Trove's tests, and checks whether it is ready.

The tests need flavors, and quotas of the project in which Trove creates
instances. A quota is never lowered, because an administrator may have raised
it on purpose.

Names, identifiers and sizes of the flavors are the same as in Trove's tests.
Every flavor has a counterpart with 16 MiB and one processor more, for
resizing, and both also exist with an ephemeral disk, for clouds without
volumes. Two flavors test failures: one is too small for any image, one is too
large for any host.
"""

import collections.abc
import concurrent.futures
import dataclasses
import typing

from trove_tools import errors
from trove_tools.cloud import connection
from trove_tools.cloud import failures
from trove_tools.devstack import datastores
from trove_tools.host import requirements

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
    known = {flavor.name: flavor for flavor in list_flavors(compute)}
    missing = [flavor for flavor in wanted if flavor.name not in known]
    with concurrent.futures.ThreadPoolExecutor(_AT_ONCE) as pool:
        # list() raises the first error here
        list(pool.map(lambda each: _create(compute, each), missing))
    different = tuple(
        flavor.name
        for flavor in wanted
        if flavor.name in known and flavor.sizes != known[flavor.name].sizes
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


@dataclasses.dataclass(frozen=True)
class _Kind:
    """A service that has quotas.

    :param title: its name, for messages.
    :param kind: its type in the catalog.
    :param path: the path of a project's quotas.
    :param key: the key in requests and answers.
    :param names: the supported limits.
    """

    title: str
    kind: str
    path: str
    key: str
    names: tuple[str, ...]


_KINDS = (
    _Kind("Nova", "compute", "/os-quota-sets/{}", "quota_set",
          ("instances", "cores", "ram")),
    _Kind("Cinder", "block-storage", "/os-quota-sets/{}", "quota_set",
          ("volumes", "gigabytes", "snapshots", "backups",
           "backup_gigabytes")),
    _Kind("Neutron", "network", "/quotas/{}", "quota",
          ("network", "subnet", "port", "router", "floatingip",
           "security_group", "security_group_rule")),
)  # fmt: skip

_UNLIMITED = -1

Limits = collections.abc.Mapping[str, int]


def parse_quotas(words: collections.abc.Iterable[str]) -> dict[str, int]:
    """Parse limits from ``NAME=NUMBER`` words.

    :raises UsageError: a word has another form, or the limit does not exist.
    """
    known = [name for kind in _KINDS for name in kind.names]
    limits = {}
    for word in words:
        name, _, number = word.partition("=")
        if name not in known:
            raise errors.UsageError(
                f"--quota {word}: there is no quota {name!r}",
                hint=errors.nearest(name, known, "quotas"),
            )
        try:
            limits[name] = int(number)
        except ValueError as exc:
            raise errors.UsageError(
                f"--quota {word}: {number!r} is not a number",
                hint="for example: --quota instances=30",
            ) from exc
    return limits


def raise_quotas(
    login: connection.Login, project: str, limits: Limits
) -> dict[str, int]:
    """Raise the limits of a project.

    Services that the cloud does not have are skipped.

    :param project: the project's id.
    :returns: the limits that were raised.
    :raises CloudError: a service refused.
    """
    raised: dict[str, int] = {}
    for kind in _KINDS:
        wanted = {name: limits[name] for name in kind.names if name in limits}
        if not wanted or not login.has(kind.kind):
            continue
        service = login.service(kind.title, kind.kind)
        path = kind.path.format(project)
        answer = service.read(path, "reading quotas")
        higher = _higher(answer[kind.key], wanted)
        if higher:
            service.call(
                "PUT", path, "raising quotas", json={kind.key: higher}
            )
        raised |= higher
    return raised


def _higher(current: Limits, wanted: Limits) -> dict[str, int]:
    return {
        name: limit
        for name, limit in wanted.items()
        if current[name] != _UNLIMITED
        and (limit == _UNLIMITED or current[name] < limit)
    }


def check_cloud(
    user: connection.Login,
    choices: collections.abc.Sequence[datastores.Choice],
) -> list[requirements.Finding]:
    """Check the cloud as a user who wants to create an instance.

    :param user: the user's connection.
    :param choices: the expected datastores; if empty, only the services are
        checked.
    :raises CloudError: a service cannot be reached or refuses.
    """
    offered = _offered(user.service("Trove", "database"))
    names = ", ".join(sorted(offered)) or "none yet"
    findings = [requirements.Finding(f"Trove answers {user.who}", True, names)]
    for choice in choices:
        if choice.datastore.manager:
            findings.append(_version(choice, offered))
    if user.has("compute"):
        known = list_flavors(user.service("Nova", "compute"))
        # without volumes, the data is on the ephemeral disk
        ephemeral = 0 if user.has("block-storage") else 1
        findings += [
            _flavor(choice, known, ephemeral)
            for choice in datastores.firsts(choices)
        ]
    return findings


def _offered(trove: connection.Service) -> dict[str, typing.Any]:
    answer = trove.read("/datastores", "listing datastores")
    return {datastore["name"]: datastore for datastore in answer["datastores"]}


def _version(
    choice: datastores.Choice,
    offered: collections.abc.Mapping[str, typing.Any],
) -> requirements.Finding:
    datastore = offered.get(choice.datastore.name, {})
    # an ordinary user only sees active versions
    versions = {
        version["name"]: version["id"]
        for version in datastore.get("versions", [])
    }
    return requirements.Finding(
        f"{choice} can be used",
        choice.version in versions,
        f"versions: {', '.join(errors.in_order(versions)) or 'none'}",
        f"activate-trove-image {choice}",
    )


def _flavor(
    choice: datastores.Choice,
    known: collections.abc.Iterable[Flavor],
    ephemeral: int,
) -> requirements.Finding:
    needed = choice.datastore
    enough = find_large_enough(
        known, needed.min_ram, needed.min_disk, ephemeral
    )
    return requirements.Finding(
        f"{needed.name} has a flavor",
        bool(enough),
        enough[0].name if enough else "none is large enough",
        f"make one with {needed.min_ram} MiB and {needed.min_disk} GiB"
        + (f", and {ephemeral} GiB ephemeral disk" if ephemeral else ""),
    )
