# SPDX-License-Identifier: Apache-2.0
"""What ``--help`` prints: a screen of it, a topic, or everything.

Which topic an option belongs to, and whether the screen shows it, stands in
the table of :mod:`trove_tools.config`.
"""

import argparse
import collections.abc
import textwrap

from trove_tools import config
from trove_tools import errors
from trove_tools import options
from trove_tools.cmd import common

#: The lines of a screen, and the columns of what argparse does not fold.
SCREEN = 40
_WIDTH = 78
#: The topic that is all of them.
ALL = "all"
#: How many of its examples a command shows on a screen.
_EXAMPLES = 2

Topics = dict[options.Topic, list[argparse.Action]]


def text(parser: common.Parser, topic: str | None) -> str:
    """Return the help text of a command.

    :param topic: the name of a topic or of a subcommand, ``all``, or none
        for what fits a screen.
    :raises UsageError: there is no such topic.
    """
    if topic is None:
        full = _everything(parser)
        return full if full.count("\n") <= SCREEN else _screen(parser)
    if topic == ALL:
        further = (text(each, ALL) for each in commands(parser).values())
        return "\n\n".join([_everything(parser), *further])
    if topic in commands(parser):
        return text(commands(parser)[topic], None)
    known = {each.name: each for each in topics(parser)}
    if topic not in known:
        names = [*commands(parser), *known, ALL]
        raise errors.UsageError(
            f"{parser.prog}: there is no help about {topic}",
            hint=errors.nearest(topic, names, "topics"),
        )
    about = known[topic]
    return _joined(
        _usage(parser),
        _section(parser, _title(about), topics(parser)[about]),
        _variables(topics(parser)[about]),
    )


def commands(parser: common.Parser) -> dict[str, common.Parser]:
    """Return the parsers of a command's subcommands, by name."""
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction):
            return dict(action.choices)
    return {}


def arguments(parser: common.Parser) -> list[argparse.Action]:
    """Return what a command takes besides options."""
    return [each for each in parser._actions if not each.option_strings]


def topics(parser: common.Parser) -> Topics:
    """Return a command's options from the table, by topic."""
    found: Topics = {}
    for action in parser._actions:
        option = config.BY_NAME.get(action.dest)
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


def synopsis(action: argparse.Action) -> str:
    """Return how an argument is written in a usage line."""
    if isinstance(action, argparse._SubParsersAction):
        return f"{action.metavar} ..."
    name = str(action.metavar or "|".join(action.choices or [action.dest]))
    return {"?": f"[{name}]", "*": f"[{name}]...", "+": f"{name}..."}.get(
        str(action.nargs), name
    )


def _everything(parser: common.Parser) -> str:
    return _joined(
        _usage(parser),
        _description(parser),
        _commands(parser),
        _section(parser, "arguments", _explained(parser)),
        _section(parser, "options", own(parser)),
        *(
            _section(parser, _title(about), actions)
            for about, actions in topics(parser).items()
        ),
        _examples(parser, len(parser.examples)),
        parser.notes.strip(),
        _statuses(parser),
    )


def _screen(parser: common.Parser) -> str:
    actions = [
        action
        for listed in topics(parser).values()
        for action in listed
        if config.BY_NAME[action.dest].everyday
    ]
    names = [(each.name, each.summary) for each in topics(parser)]
    return _joined(
        _usage(parser),
        _description(parser),
        _section(parser, "arguments", _explained(parser)),
        _section(parser, "everyday options", [*own(parser), *actions]),
        "topics, each with --help TOPIC:\n" + _columns(names),
        _examples(parser, _EXAMPLES),
        _statuses(parser),
    )


def _joined(*parts: str) -> str:
    return "\n\n".join(part.rstrip("\n") for part in parts if part) + "\n"


def _usage(parser: common.Parser) -> str:
    words = [parser.prog, "[OPTION]...", *map(synopsis, arguments(parser))]
    return f"usage: {' '.join(words)}"


def _description(parser: common.Parser) -> str:
    parts = (parser.description or "").split("\n\n")
    return "\n\n".join(map(_filled, parts))


def _filled(paragraph: str) -> str:
    return textwrap.fill(
        paragraph, _WIDTH, break_long_words=False, break_on_hyphens=False
    )


def _title(about: options.Topic) -> str:
    return f"{about.name} ({about.summary})"


def _explained(parser: common.Parser) -> list[argparse.Action]:
    return [
        action
        for action in arguments(parser)
        if action.help and not isinstance(action, argparse._SubParsersAction)
    ]


def _section(
    parser: common.Parser,
    title: str,
    actions: collections.abc.Sequence[argparse.Action],
) -> str:
    """Let argparse lay options out under a title."""
    formatter = parser._get_formatter()
    formatter.start_section(title)
    formatter.add_arguments(actions)
    formatter.end_section()
    return formatter.format_help()


def _commands(parser: common.Parser) -> str:
    rows = [
        (name, (each.description or "").partition("\n")[0])
        for name, each in commands(parser).items()
    ]
    if not rows:
        return ""
    return f"commands, each with COMMAND --help:\n{_columns(rows)}"


def _columns(rows: collections.abc.Sequence[tuple[str, str]]) -> str:
    width = max(len(name) for name, _ in rows)
    return "\n".join(f"  {name:{width}}  {about}" for name, about in rows)


def _examples(parser: common.Parser, number: int) -> str:
    lines = [f"  {example}" for example in parser.examples[:number]]
    return "\n".join(["examples:", *lines]) if lines else ""


def _statuses(parser: common.Parser) -> str:
    said = [f"{number} {what}" for number, what in parser.statuses.items()]
    return _filled(f"exit status: {', '.join(said)}") if said else ""


def _variables(actions: collections.abc.Iterable[argparse.Action]) -> str:
    """Tell what the options are called in the environment."""
    further = [
        f"{'/'.join(option.variables)} ({option.flag})"
        for option in (config.BY_NAME[action.dest] for action in actions)
        if option.variables
    ]
    said = (
        "An option that is not given is looked for in the environment"
        f" ({options.PREFIX}NAME, in capital letters), then in"
        " trove-tools.conf."
    )
    if further:
        said += f" Also read: {', '.join(further)}."
    return _filled(said)
