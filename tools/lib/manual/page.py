# SPDX-License-Identifier: Apache-2.0
"""Manual pages, in roff's man macros."""

import argparse
import collections.abc
import re
import textwrap

from manual import commands
from trove_tools.cli import common
from trove_tools.config import options
from trove_tools.config import table

_SITE = "https://docs.openstack.org/trove/latest/"
#: Longer lines are hard to read in a page's source.
_WIDTH = 78


def page(parser: common.Parser, others: collections.abc.Iterable[str]) -> str:
    """Return the manual page of a command.

    :param others: the names of the commands it refers to.
    """
    subcommands = commands.subcommands(parser)
    every = [parser, *subcommands.values()]
    lines = [
        f'.TH {_text(parser.prog).upper()} 1 "" "trove\\-tools"',
        ".SH NAME",
        _filled(f"{_text(parser.prog)} \\- {_summary(parser)}"),
        ".SH SYNOPSIS",
        "\n.PP\n".join(map(_synopsis, subcommands.values() or [parser])),
    ]
    lines += [".SH DESCRIPTION", *_paragraphs(parser.description or "")]
    if parser.notes:
        lines += [".PP", *_paragraphs(parser.notes)]
    if subcommands:
        lines.append(".SH COMMANDS")
        for each in subcommands.values():
            lines += _command(each)
    lines += [*_options(every), ".SH EXAMPLES", ".nf"]
    lines += [_text(line, True) for each in every for line in each.examples]
    lines += [
        ".fi",
        *_environment(every),
        ".SH FILES",
        *(line for file in table.FILES for line in _term(str(file))),
        "Options, in the section DEFAULT, as",
        '.IR name " = " value .',
        ".SH EXIT STATUS",
    ]
    for number, what in parser.statuses.items():
        lines += [*_term(str(number)), _text(what)]
    references = [f".BR {_text(other, True)} (1)," for other in others]
    lines += [".SH SEE ALSO", *references, f".UR {_SITE}", "Trove", ".UE"]
    return "\n".join(lines) + "\n"


def _text(text: str, literal: bool = False) -> str:
    """Escape a line of text.

    :param literal: each dash is one to be copied.
    """
    text = text.replace("\\", "\\e")
    text = text.replace("'", "\\(aq").replace("`", "\\(ga")
    text = text.replace("~", "\\(ti").replace("^", "\\(ha")
    dashes = r"-" if literal else r"(?<!\w)-+(?=\w)|--"
    text = re.sub(dashes, lambda found: "\\-" * len(found[0]), text)
    return "\\&" + text if text.startswith(".") else text


def _filled(text: str) -> str:
    """Break a text into lines, none of which is taken for a request."""
    lines = textwrap.wrap(
        text, _WIDTH, break_long_words=False, break_on_hyphens=False
    )
    return "\n".join(
        f"\\&{line}" if line.startswith(".") else line for line in lines
    )


def _paragraphs(text: str) -> list[str]:
    paragraphs = (
        " ".join(each.split()) for each in text.strip().split("\n\n")
    )
    return "\n.PP\n".join(_filled(_text(each)) for each in paragraphs).split(
        "\n"
    )


def _summary(parser: common.Parser) -> str:
    first = re.split(r"[.,](?: |$)", parser.description or "")[0]
    return _text(first[0].lower() + first[1:])


def _term(term: str) -> list[str]:
    return [".TP", f".B {_text(term, True)}"]


def _synopsis(parser: common.Parser) -> str:
    taken = " ".join(map(common.synopsis, commands.arguments(parser)))
    words = " ".join(f"\\fB{_text(w, True)}\\fR" for w in parser.prog.split())
    return f"{words} [\\fIOPTION\\fR]... {_text(taken, True)}".rstrip()


def _command(parser: common.Parser) -> list[str]:
    flags = [
        f"\\fB{_text(action.option_strings[-1], True)}\\fR"
        for listed in commands.topics(parser).values()
        for action in listed
    ]
    name = parser.prog.split()[-1]
    said = (parser.description or "").strip()
    return [
        f".SS {_text(name, True)}",
        f"{_text(said[0].upper() + said[1:])}.",
        _filled(f"Options: {', '.join(flags)}."),
    ]


def _options(parsers: collections.abc.Iterable[common.Parser]) -> list[str]:
    """Explain each option of the parsers once, by topic."""
    topics: dict[options.Topic | None, dict[str, list[str]]] = {None: {}}
    for parser in parsers:
        for action in commands.own(parser):
            topics[None].setdefault(action.dest, _option(parser, action))
        for about, actions in commands.topics(parser).items():
            found = topics.setdefault(about, {})
            for action in actions:
                found.setdefault(action.dest, _option(parser, action))
        for action in commands.arguments(parser):
            if action.help and action.metavar != "COMMAND":
                topics[None].setdefault(action.dest, _option(parser, action))
    lines = [".SH OPTIONS"]
    order = [option.topic for option in table.OPTIONS]
    for topic in [None, *dict.fromkeys(order)]:
        if topic and topic in topics:
            title = topic.summary[0].upper() + topic.summary[1:]
            lines.append(f".SS {_text(title)}")
        for entry in topics.get(topic, {}).values():
            lines += entry
    return lines


def _option(parser: common.Parser, action: argparse.Action) -> list[str]:
    metavar = f"\\fI{_text(str(action.metavar), True)}\\fR"
    names = [
        f"\\fB{_text(flag, True)}\\fR" for flag in action.option_strings
    ] or [metavar]
    written = ", ".join(names)
    if action.option_strings and action.nargs == "?":
        written += f" [{metavar}]"
    elif action.option_strings and action.nargs != 0:
        written += f" {metavar}"
    said = commands.explained(parser, action)
    return [".TP", written, _filled(_text(f"{said[0].upper()}{said[1:]}."))]


def _environment(
    parsers: collections.abc.Iterable[common.Parser],
) -> list[str]:
    known = {
        action.dest: table.BY_NAME[action.dest]
        for parser in parsers
        for actions in commands.topics(parser).values()
        for action in actions
    }
    lines = [
        ".SH ENVIRONMENT",
        *_term(f"{options.PREFIX}NAME"),
        "The value of an option that is not given;",
        "NAME is that of the option, in capital letters with underscores.",
    ]
    for option in known.values():
        if option.variables:
            lines += _term(", ".join(option.variables))
            lines.append(f"As \\fB{_text(option.flag, True)}\\fR.")
    return lines
