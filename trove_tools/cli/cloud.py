# SPDX-License-Identifier: Apache-2.0
"""Shared code of the commands that work with a cloud."""

import dataclasses
import json
import typing

from trove_tools import console
from trove_tools import errors
from trove_tools import results
from trove_tools.config import options

if typing.TYPE_CHECKING:
    from trove_tools.cloud import connection

Rows = list[dict[str, typing.Any]]

#: The groups of options of every command that changes a cloud.
GROUPS = ("common", "change", "cloud")


@dataclasses.dataclass
class Session:
    """The cloud of a command, and the planned changes of a dry run.

    :param cloud: the cloud.
    :param planned: in a dry run, the calls that would change something.
    :param form: the format of the results.
    """

    cloud: "connection.Cloud"
    planned: "list[connection.Change] | None"
    form: str
    screen: console.Console

    def print_rows(
        self, rows: Rows, result: results.Result, columns: tuple[str, ...]
    ) -> int:
        """Print the result of a command or, after a dry run, its calls.

        :param columns: the columns of a table.
        :returns: the exit status.
        """
        if self.planned is not None:
            result = results.CALLS
            columns = result.fields
            rows = [_call(change, self.form) for change in self.planned]
            if not rows:
                self.screen.say("nothing would be changed")
        one = self.form != "table" and not result.many
        data = rows[0] if one else rows
        console.emit(data, self.form, columns, result=result)
        return errors.EXIT_OK


def connect(settings: options.Settings, screen: console.Console) -> Session:
    """Log in to the cloud that the options name.

    :raises UsageError: no cloud or no credentials were specified.
    :raises CloudError: the cloud cannot be reached or refuses.
    """
    # imported here because --help must not wait for openstacksdk
    from trove_tools.cloud import connection

    planned: list[connection.Change] | None = None
    if settings.dry_run:
        planned = []
        screen.say(
            "dry run: the messages below describe changes that are not made"
        )
    cloud = connection.connect(settings, screen.warn, planned)
    return Session(cloud, planned, settings.format, screen)


def _call(change: "connection.Change", form: str) -> dict[str, typing.Any]:
    row = dataclasses.asdict(change)
    if form != "json" and not isinstance(change.body, str):
        row["body"] = json.dumps(change.body)
    return row
