# SPDX-License-Identifier: Apache-2.0
"""The commands that have a manual page and completion, and what they take.

All is read from their parsers, so nothing here has to be kept up to date.
"""

import argparse
import collections.abc
import dataclasses

from trove_tools.cli import activate
from trove_tools.cli import builder
from trove_tools.cli import common
from trove_tools.cli import load
from trove_tools.config import kinds
from trove_tools.config import options
from trove_tools.config import table

#: What is known at a shell's prompt of values that are no files.
_KNOWN = {
    "datastore": "datastore",
    "datastores": "version",
    "from_build": "version",
    "guest": "system",
}


def parsers() -> list[common.Parser]:
    """Return the parsers of the commands."""
    return [builder.parser(), load.parser(), activate.parser()]


@dataclasses.dataclass(frozen=True)
class Value:
    """What completes a value.

    :param kind: ``words``, ``file``, ``directory``, ``datastore``,
        ``version`` (of a datastore), ``system`` (of a guest), ``none``
        where nothing does, or ``flag`` where there is no value.
    :param words: the words there are.
    """

    kind: str
    words: tuple[str, ...] = ()


def value(parser: common.Parser, action: argparse.Action) -> Value:
    """Return what completes the value of an option or an argument."""
    if action.option_strings and action.nargs == 0:
        return Value("flag")
    option = table.BY_NAME.get(action.dest) if action.option_strings else None
    choices = option.choices if option else tuple(action.choices or ())
    if choices:
        return Value("words", choices)
    name = str(action.metavar or "")
    if "DIR" in name:
        return Value("directory")
    if "FILE" in name or "IMAGE" in name:
        return Value("file")
    if option and option.kind is kinds.path:
        return Value("file")
    if action.dest == "datastore" and "VERSION" in name:
        return Value("version")
    return Value(_KNOWN.get(action.dest, "none"))


def option_actions(
    parser: common.Parser,
) -> collections.abc.Iterator[argparse.Action]:
    """Yield a command's options in the order of its help."""
    yield from own(parser)
    for listed in topics(parser).values():
        yield from listed


def explained(parser: common.Parser, action: argparse.Action) -> str:
    """Return the help of an option in plain words."""
    return (action.help or "") % {**vars(action), "prog": parser.prog}


def subcommands(parser: common.Parser) -> dict[str, common.Parser]:
    """Return the parsers of a command's subcommands, by name."""
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction):
            return dict(action.choices)
    return {}


def arguments(parser: common.Parser) -> list[argparse.Action]:
    """Return what a command takes besides options."""
    return [each for each in parser._actions if not each.option_strings]


def topics(
    parser: common.Parser,
) -> dict[options.Topic, list[argparse.Action]]:
    """Return a command's options from the table, by topic."""
    found: dict[options.Topic, list[argparse.Action]] = {}
    for action in parser._actions:
        option = table.BY_NAME.get(action.dest)
        if option and option.topic and action.option_strings:
            found.setdefault(option.topic, []).append(action)
    return found


def own(parser: common.Parser) -> list[argparse.Action]:
    """Return a command's options that are not in the table."""
    listed = [action for each in topics(parser).values() for action in each]
    return [
        action
        for action in parser._actions
        if action.option_strings and action not in listed
    ]
