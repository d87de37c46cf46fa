# SPDX-License-Identifier: Apache-2.0
"""The commands that have a manual page and completion, and what they take.

All is read from their parsers, so nothing here has to be kept up to date.
"""

import argparse
import collections.abc
import dataclasses

from trove_tools import config
from trove_tools import options
from trove_tools.cmd import activate
from trove_tools.cmd import builder
from trove_tools.cmd import common
from trove_tools.cmd import helptext
from trove_tools.cmd import load

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
    if "--help" in action.option_strings:
        topics = [each.name for each in helptext.topics(parser)]
        names = [*helptext.commands(parser), *topics, helptext.ALL]
        return Value("words", tuple(names))
    option = config.BY_NAME.get(action.dest) if action.option_strings else None
    choices = option.choices if option else tuple(action.choices or ())
    if choices:
        return Value("words", choices)
    name = str(action.metavar or "")
    if "DIR" in name:
        return Value("directory")
    if "FILE" in name or "IMAGE" in name:
        return Value("file")
    if option and option.kind is options.path:
        return Value("file")
    if action.dest == "datastore" and "VERSION" in name:
        return Value("version")
    return Value(_KNOWN.get(action.dest, "none"))


def option_actions(
    parser: common.Parser,
) -> collections.abc.Iterator[argparse.Action]:
    """Yield a command's options in the order of its help."""
    yield from helptext.own(parser)
    for listed in helptext.topics(parser).values():
        yield from listed


def explained(parser: common.Parser, action: argparse.Action) -> str:
    """Return the help of an option in plain words."""
    return (action.help or "") % {**vars(action), "prog": parser.prog}
