# SPDX-License-Identifier: Apache-2.0
"""Defines the checks of the level ``life``, in order, and runs them."""

import collections.abc
import concurrent.futures
import contextlib
import dataclasses
import pathlib
import typing

from trove_tools.verify import checks
from trove_tools.verify import control
from trove_tools.verify import disks
from trove_tools.verify import machine as _machine
from trove_tools.verify import outcome
from trove_tools.verify import relay
from trove_tools.verify import subject as _subject
from trove_tools.verify.life import accounts
from trove_tools.verify.life import backup
from trove_tools.verify.life import cloud as _cloud
from trove_tools.verify.life import instance as _instance
from trove_tools.verify.life import server
from trove_tools.verify.life import swift as _swift

#: The project of the driver's instances.
TENANT = "0" * 32
# Trove's own options for the clients of Nova, Cinder, Neutron and Swift
_CLIENTS = {
    f"remote_{name}_client": f"verify_cloud.{name}"
    for name in ("nova", "cinder", "neutron", "swift")
}

# the address and port of Swift for a guest; the broker has the same address
_SWIFT = (_machine.BROKER[0], 8080)


@dataclasses.dataclass(frozen=True)
class Former:
    """The earlier image, from which instances are upgraded.

    :param versions: the versions of the datastores in it, by name.
    :param isolated: whether its guests start in an isolated network without
        a registry.
    """

    disk: disks.Disk
    versions: collections.abc.Mapping[str, str]
    isolated: bool


# the checks that run with another instance, while the other checks run
_APART = ("replication", "backup")

Action = collections.abc.Callable[[_instance.Instance], str]


def _check(name: str, proves: str, action: Action) -> checks.Check:
    def run(subject: _subject.Subject) -> str:
        assert subject.life is not None
        # each check runs even if the check before failed
        subject.life.settle()
        return action(subject.life)

    return checks.Check(name, proves, (_machine.CONTAINER,), run, ends=False)


CHECKS = (
    _check(
        "users",
        "databases and users are created, listed, granted, revoked and"
        " deleted, and passwords changed",
        accounts.users,
    ),
    _check("root", "the superuser is enabled and disabled", accounts.root),
    _check(
        "configuration",
        "a configuration group takes effect, at once or after a restart, and"
        " goes again",
        server.configuration,
    ),
    _check(
        "stop and start",
        "the database stops and starts, and the guest reboots, with the data",
        server.restart,
    ),
    _check(
        "crash",
        "what was committed survives a killed server and a power cut",
        server.crash,
    ),
    _check(
        "logs", "logs are listed and published to Swift", server.logs
    ),
    _check(
        "volume", "a volume grows, and the database has its size",
        server.volume,
    ),
    # before any backup: if an instance has a backup, Trove 26 makes replicas
    # from an incremental backup, without the file with the password of
    # PostgreSQL's replication user, and then it cannot promote them
    _check(
        "replication",
        "a replica follows its source, and is promoted",
        backup.replication,
    ),
    _check(
        "backup",
        "full and incremental backups go to Swift, and become an instance",
        backup.backup,
    ),
    _check(
        "upgrade",
        "an instance that is there already lives on with this image",
        backup.upgrade,
    ),
    _check(
        "load",
        "no acknowledged row is lost when the database restarts and crashes"
        " under load",
        server.load,
    ),
)  # fmt: skip


def control_plane(
    deployment: control.Deployment,
    datastores: collections.abc.Iterable[_subject.Datastore],
    former: Former | None,
) -> dict[str, typing.Any]:
    """Return the control plane's arguments for a driver with a cloud.

    In network isolation, which is a cloud's default, only the database is in
    the user's network, and the agent pulls its container.  It is on if all
    images can answer this pull themselves.
    """
    if not deployment.user_data:
        # Trove 26 does not rebuild an instance without user data
        # (MANAGER.cloudinit)
        deployment = dataclasses.replace(deployment, user_data="{}\n")
    isolated = all(datastore.isolated for datastore in datastores)
    return {
        "deployment": deployment,
        "driver": pathlib.Path(__file__).with_name("driver.py"),
        "links": 2,
        "further": {
            "DEFAULT": {
                **_CLIENTS,
                "trove_security_groups_support": False,
                "management_networks": _machine.MANAGEMENT.name,
            },
            "network": {
                "network_isolation": isolated
                and (former is None or former.isolated),
                # the cloud has no routers
                "enable_access_check": False,
            },
        },
    }


def plug(plane: control.Control) -> None:
    """Set the interfaces of the next instance's guest in the driver."""
    nics = (_machine.TENANT, _machine.MANAGEMENT)
    plane.call(
        "plug",
        nics=[{"network": nic.name, **_cloud.describe(nic)} for nic in nics],
    )


def make(
    subject: _subject.Subject,
    selected: collections.abc.Iterable[checks.Check],
    check: collections.abc.Callable[[checks.Check, _subject.Subject], None],
    end: collections.abc.Callable[[], None],
) -> None:
    """Run checks; those with another instance run in a second thread.

    Most of the time is spent waiting for a healthy database, so two instances
    take little longer than one.

    :param selected: the checks.
    :param check: runs one check.
    :param end: makes the second thread end soon.
    """
    selected = tuple(selected)
    apart = [one for one in selected if one.name in _APART]
    own = [one for one in selected if one.name not in _APART]
    if not own or not apart:
        for one in selected:
            check(one, subject)
        return
    with concurrent.futures.ThreadPoolExecutor(1) as pool:
        other = pool.submit(_make_apart, subject, apart, check)
        try:
            for one in own:
                check(one, subject)
            subject.machine.say("")
        except outcome.CheckError:
            # the result of the second thread is still worth knowing
            raise
        except BaseException:
            end()
            raise
        other.result()


def _make_apart(
    subject: _subject.Subject,
    selected: collections.abc.Iterable[checks.Check],
    check: collections.abc.Callable[[checks.Check, _subject.Subject], None],
) -> None:
    """Create another instance, and run checks with it."""
    instance = subject.life
    template = dataclasses.replace(instance, plane=instance.plane.parallel)
    with contextlib.ExitStack() as stack:
        other = dataclasses.replace(subject, plane=template.plane)

        def create(_: _subject.Subject) -> str:
            other.life = stack.enter_context(
                template.further(
                    "create_another", version=instance.datastore.version,
                    image=_cloud.IMAGE, user=instance.user,
                    password=instance.password, database=instance.database,
                )
            )  # fmt: skip
            other.machine = other.life.machine
            other.life.require_word(
                other.life.write_word(), "in the new instance"
            )
            return "another instance has its database and its user"

        check(
            checks.Check(
                "create",
                "Trove's task manager makes an instance as its API asks for",
                (_machine.CONTAINER,),
                create,
            ),
            subject,
        )
        for one in selected:
            check(one, other)
        other.machine.say("")


def left_out(names: collections.abc.Collection[str]) -> dict[str, str]:
    """Return the checks that ``--only`` leaves out, each with the reason."""
    selected = chosen(names)
    return {c.name: "left out by --only" for c in CHECKS if c not in selected}


def chosen(names: collections.abc.Collection[str]) -> tuple[checks.Check, ...]:
    """Return the named checks; all checks if none is named."""
    return tuple(c for c in CHECKS if not names or c.name in names)


@contextlib.contextmanager
def opened(
    subject: _subject.Subject,
    swift: _swift.Swift | None,
    directory: pathlib.Path,
    former: Former | None,
) -> collections.abc.Iterator[None]:
    """Run a cloud for a subject's instance while the context is open.

    :param swift: the cloud's Swift; None at other levels than ``life``, which
        have no cloud.
    :param directory: directory for the volumes of further guests.
    :param former: the earlier image, from which instances are upgraded.
    """
    if swift is None:
        yield
        return
    plane, datastore = subject.control()
    machine, settings = subject.machine, subject.settings
    cloud = _cloud.Cloud(
        subject.disk,
        subject.open_machine,
        directory,
        plane.broker.port,
        (datastore.port,),
        _cloud.Former(former.disk, former.versions[datastore.name])
        if former is not None and datastore.name in former.versions
        else None,
    )
    known = machine.guest.instance or {}
    given = plane.call(
        "adopt",
        instance=known["id"],
        image=_cloud.IMAGE,
        memory=settings.memory,
        size=settings.volume,
        seconds=round(settings.timeout),
    )
    cloud.adopt(given["server"], given["volume"], machine)
    cloud.serve(
        _machine.Service(*_SWIFT, lambda: relay.to_loopback(swift.port))
    )
    for one in filter(None, (plane, plane.parallel)):
        one.call(
            "storage",
            url=swift.url(*_SWIFT),
            token=swift.token,
            here=swift.url(),
        )
    subject.life = _instance.Instance(
        plane, cloud, swift, datastore, known["id"], given["server"],
        subject.user, subject.password, subject.database,
    )  # fmt: skip
    try:
        yield
    finally:
        cloud.close()
