# SPDX-License-Identifier: Apache-2.0
"""Defines the subject of a check: a guest, or a datastore in it."""

import collections.abc
import dataclasses
import secrets
import typing

from trove_tools.catalog import model
from trove_tools.verify import control
from trove_tools.verify import disks
from trove_tools.verify import machine as _machine
from trove_tools.verify import sql


@dataclasses.dataclass(frozen=True)
class Datastore:
    """A datastore of the image, with the names that Trove uses for it.

    :param image: the name of its container image, without the tag; empty for
        Trove's default.
    :param backup: the name of the container image that takes backups; empty
        if the image has none.
    :param isolated: whether it starts in an isolated network, in which no
        registry answers.
    :param protocol: the protocol of its clients: ``mysql`` or
        ``postgresql``.
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
    """The subject of a check: a guest, or a datastore in it.

    :param machine: the machine that runs the guest.
    :param open_machine: makes another machine of the same kind, for checks
        that need a second guest.
    :param disk: the image.
    :param facts: a dictionary in which checks put facts for the record.
    :param plane: the control plane; only for datastores at the levels
        ``agent`` and ``life``.
    :param datastore: the datastore of which Trove makes an instance; only at
        the same levels.
    :param health: the probe of a datastore that the image itself starts.
    :param life: the instance, at the level ``life``: a
        :class:`trove_tools.verify.life.instance.Instance`.
    :param name: the datastore's name; empty for the guest itself.
    :param user: the database user that Trove makes for verify; likewise its
        ``password`` and its ``database``.
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
        """Show the user what verify is waiting for."""
        self.machine.say(f"{self.name}: {task}" if self.name else task)

    def control(self) -> tuple[control.Control, Datastore]:
        """Return the control plane and the datastore of the subject."""
        assert self.plane is not None and self.datastore is not None
        return self.plane, self.datastore

    def waiting(
        self, task: str, what: str
    ) -> collections.abc.Callable[..., None]:
        """Begin to wait for an action of the guest.

        :param task: a description of the action, for the progress line.
        :param what: a description of the failure, for the message.
        :returns: a function to call regularly, with further values that
            change when the guest makes progress; it raises CheckError when
            it is useless to wait any longer.
        """
        wait = self.machine.limits.wait()

        def go_on(*signs: object) -> None:
            self.say(task)
            self.machine.stay_alive()
            wait.require(what, self.machine.signs(), *signs)

        return go_on

    def account(self) -> sql.Account:
        """Return the account with which verify uses the database."""
        _, datastore = self.control()
        return sql.Account(
            datastore.protocol,
            self.machine.port(datastore.port),
            self.user,
            self.password,
            self.database,
            self.machine.limits.scaled(sql.ATTEMPT),
        )
