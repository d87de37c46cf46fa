# SPDX-License-Identifier: Apache-2.0
"""What the checks look at: a guest, and a datastore in it."""

import collections.abc
import dataclasses
import secrets
import typing

from trove_tools.catalog import model
from trove_tools.verify import control
from trove_tools.verify import disks
from trove_tools.verify import limits as _limits
from trove_tools.verify import machine as _machine
from trove_tools.verify import sql


@dataclasses.dataclass(frozen=True)
class Datastore:
    """A datastore of the image, and how Trove knows it.

    :param image: the container's name, without its tag; nothing for the
        one that Trove takes by default.
    :param backup: the name of the one that takes backups; nothing where the
        image has none.
    :param isolated: whether it starts in an isolated network, where no
        registry answers.
    :param protocol: what its clients speak: ``mysql`` or ``postgresql``.
    """

    name: str
    version: str
    manager: str
    image: str
    protocol: str
    port: int
    backup: str = ""
    isolated: bool = False


@dataclasses.dataclass
class Subject:
    """What a check looks at: a guest, or a datastore in it.

    :param machine: that runs the guest.
    :param open_machine: makes another machine of the same kind, for checks
        that need a second guest.
    :param disk: the image.
    :param facts: takes numbers that the record keeps.
    :param plane: the control plane; only for datastores at the level
        ``agent``.
    :param datastore: that Trove makes an instance of; as for ``plane``.
    :param health: the probe of a datastore that the image starts by itself.
    :param life: the instance, at the level ``life``: a
        :class:`trove_tools.verify.life.instance.Instance`.
    :param name: of the datastore.
    :param user: the database user that is made for verify, with its password
        and its database.
    """

    machine: _machine.Machine
    open_machine: _machine.Open
    disk: disks.Disk
    settings: _machine.Settings
    facts: dict[str, typing.Any]
    plane: control.Control | None = None
    datastore: Datastore | None = None
    health: model.Health | None = None
    life: typing.Any = None
    name: str = ""
    user: str = dataclasses.field(
        default_factory=lambda: f"verify_{secrets.token_hex(4)}"
    )
    password: str = dataclasses.field(
        default_factory=lambda: f"Aa1{secrets.token_hex(16)}"
    )
    database: str = "verify"
    word: str = dataclasses.field(default_factory=lambda: secrets.token_hex(8))

    def say(self, task: str) -> None:
        """Tell the user what is being waited for."""
        self.machine.say(f"{self.name}: {task}" if self.name else task)

    def control(self) -> tuple[control.Control, Datastore]:
        """Return the control plane, and the datastore as Trove knows it."""
        assert self.plane is not None and self.datastore is not None
        return self.plane, self.datastore

    def waiting(
        self, task: str, what: str, quiet: float = _limits.QUIET
    ) -> collections.abc.Callable[..., None]:
        """Begin to wait for something that the guest does.

        :param task: that, for who watches.
        :param what: what has not happened, for a message.
        :returns: what is to be called now and then, with further signs that
            the guest gets on; raises CheckError when there is no use in
            waiting any longer.
        """
        wait = self.machine.limits.wait(quiet)

        def go_on(*signs: object) -> None:
            self.say(task)
            self.machine.stay_alive()
            wait.require(what, self.machine.signs(), *signs)

        return go_on

    def account(self) -> sql.Account:
        """Return how the database is reached, as its user."""
        _, datastore = self.control()
        return sql.Account(
            datastore.protocol,
            self.machine.port(datastore.port),
            self.user,
            self.password,
            self.database,
            self.machine.limits.scaled(sql.ATTEMPT),
        )
