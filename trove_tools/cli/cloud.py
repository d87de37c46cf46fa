# SPDX-License-Identifier: Apache-2.0
"""What the commands that work with a cloud have in common."""

import argparse
import collections.abc
import dataclasses
import json
import typing

from trove_tools import console
from trove_tools import errors
from trove_tools import results
from trove_tools.cli import common
from trove_tools.config import options

if typing.TYPE_CHECKING:
    from trove_tools.cloud import connection

Rows = list[dict[str, typing.Any]]


#: The groups of options of every command that changes a cloud.
GROUPS = ("common", "change", "cloud")

Prepare = collections.abc.Callable[
    [options.Settings, argparse.Namespace, console.Console], "Work"
]


def runner(prepare: Prepare) -> common.Run:
    """Return what runs a command that works with a cloud.

    :param prepare: finds out what there is to do, before the login; returns
        what does it.
    """

    def run(
        settings: options.Settings,
        flags: argparse.Namespace,
        screen: console.Console,
    ) -> int:
        work = prepare(settings, flags, screen)
        # --help must not wait for openstacksdk
        from trove_tools.cloud import connection

        planned: list[connection.Change] | None = None
        if settings.dry_run:
            planned = []
            screen.say("dry run: nothing is changed, it only sounds so")
        cloud = connection.connect(settings, screen.warn, planned)
        done = work.do(cloud)
        if planned is not None:
            work = Work(
                lambda _: [], results.CALLS, results.CALLS.fields
            )
            done = [_call(change, settings.format) for change in planned]
            if not done:
                screen.say("nothing would be changed")
        work.emit(done, settings.format)
        return errors.EXIT_OK

    return run


def _call(change: "connection.Change", form: str) -> dict[str, typing.Any]:
    row = dataclasses.asdict(change)
    if form != "json" and not isinstance(change.body, str):
        row["body"] = json.dumps(change.body)
    return row


@dataclasses.dataclass(frozen=True)
class Work:
    """What a command does with a cloud.

    :param do: does it; returns what is there then.
    :param result: which result that is.
    :param columns: what a table shows.
    """

    do: collections.abc.Callable[["connection.Cloud"], Rows]
    result: results.Result
    columns: tuple[str, ...]

    def emit(self, rows: Rows, form: str) -> None:
        """Print the result."""
        if form == "table" or self.result.many:
            console.emit(rows, form, self.columns, result=self.result)
        else:
            console.emit(rows[0], form, result=self.result)
