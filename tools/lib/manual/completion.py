# SPDX-License-Identifier: Apache-2.0
"""Completion of the commands in bash and zsh.

What a script knows of a command is made from its parser.  The names of
datastores and guest systems are asked of ``trove-image-builder list`` when
they are wanted, so that those of ``--catalog`` directories are there, too.
"""

import argparse
import pathlib
import re
import shlex

from manual import commands
from trove_tools.cli import common
from trove_tools.config import table as config

_PLACE = pathlib.Path(__file__).parent
_LICENCE = "# SPDX-License-Identifier: Apache-2.0\n"
_MADE = "# made from the command's own parser\n"

_ZSH = {
    "file": "_files",
    "directory": "_files -/",
    "datastore": "_trove_tools_datastores",
    "version": "_trove_tools_versions",
    "system": "_trove_tools_systems",
    "none": " ",
}


def bash(parser: common.Parser) -> str:
    """Return the script of a command for bash."""
    table = _bash_table(parser)
    for each in commands.subcommands(parser).values():
        table |= _bash_table(each)
    lines = [
        f"_TROVE_TOOLS[{shlex.quote(key)}]={shlex.quote(words)}\n"
        for key, words in table.items()
    ]
    engine = (_PLACE / "completion.bash").read_text()
    return (
        f"{_LICENCE}{_MADE}{engine.removeprefix(_LICENCE)}\n"
        f"{''.join(lines)}"
        f"complete -o bashdefault -F _trove_tools_complete {parser.prog}\n"
    )


def _bash_table(parser: common.Parser) -> dict[str, str]:
    """Return what there is at each place, by ``COMMAND[ FLAG]``.

    Under a command itself stand its flags, under ``@`` its arguments.
    """
    table = {}
    flags = []
    for action in commands.option_actions(parser):
        for flag in action.option_strings:
            flags.append(flag)
            if action.nargs != 0:
                table[f"{parser.prog} {flag}"] = _bash_value(parser, action)
    names = list(commands.subcommands(parser))
    if names:
        table[f"{parser.prog} @"] = " ".join(["command", *names])
    for action in commands.arguments(parser):
        if not names:
            table[f"{parser.prog} @"] = _bash_value(parser, action)
    return {parser.prog: " ".join(flags), **table}


def _bash_value(parser: common.Parser, action: argparse.Action) -> str:
    found = commands.value(parser, action)
    return " ".join([found.kind, *found.words])


def zsh(parser: common.Parser) -> str:
    """Return the script of a command for zsh."""
    names = commands.subcommands(parser)
    engine = (_PLACE / "completion.zsh").read_text()
    lines = [f"#compdef {parser.prog}\n{_LICENCE}{_MADE}"]
    lines.append(engine.removeprefix(_LICENCE))
    lines.append(f"\n_{parser.prog}() {{\n")
    lines.append("  local context state state_descr line\n")
    lines.append("  typeset -A opt_args\n")
    if names:
        summaries = [
            shlex.quote(f"{name}:{_first(each)}")
            for name, each in names.items()
        ]
        lines.append(
            f"  local -a subcommands=(\n    {_joined(summaries)}\n  )\n"
            "  _arguments -C -S \\\n"
            f"    {_joined(_zsh_options(parser), True)} \\\n"
            "    '1:command:->command' '*::argument:->argument' && return\n"
            "  case $state in\n"
            "    command) _describe command subcommands ;;\n"
            "    argument)\n"
            "      case $line[1] in\n"
        )
        for name, each in names.items():
            lines.append(
                f"        {name}) _arguments -S \\\n    "
                f"{_joined(_zsh_specs(each), True)} ;;\n"
            )
        lines.append("      esac ;;\n  esac\n")
    else:
        specs = _joined(_zsh_specs(parser), True)
        lines.append(f"  _arguments -S \\\n    {specs}\n")
    lines.append(f'}}\n\n_{parser.prog} "$@"\n')
    return "".join(lines)


def _joined(words: list[str], continued: bool = False) -> str:
    return (" \\\n    " if continued else "\n    ").join(words)


def _first(parser: common.Parser) -> str:
    return (parser.description or "").partition("\n")[0]


def _zsh_specs(parser: common.Parser) -> list[str]:
    specs = _zsh_options(parser)
    for action in commands.arguments(parser):
        number = "*" if action.nargs in ("*", "+") else ""
        name = _zsh_escaped(str(action.metavar or action.dest))
        specs.append(
            shlex.quote(f"{number}:{name}:{_zsh_value(parser, action)}")
        )
    return specs


def _zsh_options(parser: common.Parser) -> list[str]:
    specs = []
    for action in commands.option_actions(parser):
        said = _zsh_escaped(commands.explained(parser, action))
        flags = action.option_strings
        option = config.BY_NAME.get(action.dest)
        once = "*" if option and option.many else f"({' '.join(flags)})"
        for flag in flags:
            spec = f"{once}{flag}"
            if action.nargs == 0:
                spec += f"[{said}]"
            else:
                # an optional value has two colons
                colons = "::" if action.nargs == "?" else ":"
                equals = "=" if flag.startswith("--") else "+"
                name = _zsh_escaped(str(action.metavar))
                if action.nargs == "?":
                    equals = ""
                spec += f"{equals}[{said}]{colons}{name}:"
                spec += _zsh_value(parser, action)
            specs.append(shlex.quote(spec))
    return specs


def _zsh_value(parser: common.Parser, action: argparse.Action) -> str:
    found = commands.value(parser, action)
    if found.kind == "words":
        return f"({' '.join(found.words)})"
    return _ZSH[found.kind]


def _zsh_escaped(text: str) -> str:
    return re.sub(r"([\[\]:\\])", r"\\\1", " ".join(text.split()))
