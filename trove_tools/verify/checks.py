# SPDX-License-Identifier: Apache-2.0
"""The list of checks: what verify looks at, in order."""

import collections.abc
import dataclasses
import secrets

from trove_tools.verify import control
from trove_tools.verify import disks
from trove_tools.verify import machine as _machine


@dataclasses.dataclass(frozen=True)
class Datastore:
    """A datastore of the image, and how Trove knows it.

    :param image: the container's name, without its tag; nothing for the
        one that Trove takes by default.
    :param protocol: what its clients speak: ``mysql`` or ``postgresql``.
    """

    name: str
    version: str
    manager: str
    image: str
    protocol: str
    port: int


@dataclasses.dataclass
class Subject:
    """What a check of a running guest looks at.

    :param machine: that runs the guest; started by the check ``boot``.
    :param open_machine: makes another machine of the same kind, for checks
        that need a second guest.
    :param disk: the image.
    :param plane: the control plane; nothing below the level ``agent``.
    :param datastore: that the guest is made for; as for ``plane``.
    :param user: the database user that ``prepare`` makes, with its password
        and its database.
    """

    machine: _machine.Machine
    open_machine: _machine.Open
    disk: disks.Disk
    facts: dict[str, object]
    plane: control.Control | None = None
    datastore: Datastore | None = None
    user: str = dataclasses.field(
        default_factory=lambda: f"verify_{secrets.token_hex(4)}"
    )
    password: str = dataclasses.field(
        default_factory=lambda: f"Aa1{secrets.token_hex(16)}"
    )
    database: str = "verify"


@dataclasses.dataclass(frozen=True)
class Check:
    """One thing that verify looks at.

    :param name: as in the record; a datastore's name comes before it where
        the check is about that.
    :param proves: what is known once it has passed, in one sentence.
    :param machines: the kinds that can prove it, the better one first.
    :param run: does it, and returns what was found, in one line.
        :class:`report.CheckError` says what is wrong.
    :param ends: whether nothing after it makes sense when it fails.
    """

    name: str
    proves: str
    machines: tuple[str, ...]
    run: collections.abc.Callable[[Subject], str]
    ends: bool = True
