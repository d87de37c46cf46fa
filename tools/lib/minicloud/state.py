# SPDX-License-Identifier: Apache-2.0
"""What a minicloud remembers between two runs of the command."""

import collections.abc
import dataclasses
import json
import secrets

from minicloud import layout as layouts
from trove_tools import errors

_VERSION = 1

#: Whose passwords are kept: the two people, and each service's own user.
ACCOUNTS = ("admin", "demo", "glance", "trove")


@dataclasses.dataclass
class State:
    """The content of ``minicloud.json``.

    :param ports: TCP port by service.
    :param passwords: by account.
    :param venv: the virtual environment with the services.
    :param prepared: for which services and ports the databases were made
        ready; another value than :func:`stamp` now gives means: do it
        again.
    """

    ports: dict[str, int] = dataclasses.field(default_factory=dict)
    passwords: dict[str, str] = dataclasses.field(default_factory=dict)
    venv: str = ""
    prepared: str = ""


def new() -> State:
    """Return the state of a cloud that is to be made."""
    return State(passwords={name: secrets.token_hex(24) for name in ACCOUNTS})


def stamp(digest: str, ports: collections.abc.Mapping[str, int]) -> str:
    """Return what ``prepared`` is when there is nothing left to do.

    :param digest: of the services' versions.
    :param ports: they stand in the identity service's catalog.
    """
    listed = ",".join(f"{name}:{ports[name]}" for name in sorted(ports))
    return f"{digest} {listed}"


def load(layout: layouts.Layout) -> State:
    """Read the state of a cloud.

    :raises UsageError: its file cannot be understood.
    """
    try:
        values = json.loads(layout.state.read_text(encoding="utf-8"))
        if values.pop("version") != _VERSION:
            raise ValueError("of another version of this tool")
        return State(**values)
    except (OSError, ValueError, TypeError, KeyError, AttributeError) as exc:
        raise errors.UsageError(
            f"{layout.state} cannot be read: {exc}",
            hint=f"stop its processes, remove {layout.root}, start again",
        ) from exc


def save(layout: layouts.Layout, state: State) -> None:
    """Write the state of a cloud."""
    values = {"version": _VERSION, **dataclasses.asdict(state)}
    layouts.write_private(layout.state, json.dumps(values, indent=2) + "\n")
