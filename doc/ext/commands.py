# SPDX-License-Identifier: Apache-2.0
"""The reference of the commands, from their parsers."""

import argparse
import importlib

from doc.ext import rst
from trove_tools import results
from trove_tools.config import kinds
from trove_tools.config import options
from trove_tools.config import table

#: The programs, and the module that parses for each.
PROGRAMS = {
    "trove-image-builder": "trove_tools.cli.builder",
    "load-trove-image": "trove_tools.cli.load",
    "activate-trove-image": "trove_tools.cli.activate",
    "trove-devstack": "trove_tools.cli.devstack",
    "tools/minicloud": "minicloud.command",
    "tools/gate-jobs": "gate.command",
}

#: The result of each command.
RESULTS: dict[str, results.Result] = {
    "trove-image-builder build": results.BUILD,
    "trove-image-builder verify": results.VERIFY,
    "trove-image-builder push": results.PUSH,
    "trove-image-builder inspect": results.INSPECT,
    "trove-image-builder diff": results.DIFF,
    "trove-image-builder outdated": results.OUTDATED,
    "trove-image-builder list": results.LIST,
    "trove-image-builder show": results.SHOW,
    "trove-image-builder plan": results.PLAN,
    **{
        f"trove-image-builder cache {action}": result
        for action, result in results.CACHE.items()
    },
    "trove-image-builder doctor": results.DOCTOR,
    "trove-image-builder backup-container": results.BACKUP,
    "load-trove-image": results.LOAD,
    "activate-trove-image": results.ACTIVATE,
    "activate-trove-image --list": results.REGISTERED,
    "activate-trove-image --instances": results.INSTANCES,
    "activate-trove-image --rebuild-instances": results.REBUILT,
    "load-trove-image --dry-run": results.CALLS,
    "trove-devstack prepare": results.PREPARE,
    "trove-devstack check": results.CHECK,
    "tools/minicloud status": results.SERVICES,
    "tools/gate-jobs": results.JOBS,
}

#: Groups of options that have a section of their own, and its heading.
SHARED = {
    "common": "Options of every command",
    "cloud": "Options of every command that talks to a cloud",
}

_BY_NAME = {option.name: option for option in table.OPTIONS}


def parser(program: str) -> argparse.ArgumentParser:
    """Return the parser of one of :data:`PROGRAMS`."""
    module = importlib.import_module(PROGRAMS[program])
    made: argparse.ArgumentParser = module.parser()
    return made


def subcommands(
    top: argparse.ArgumentParser,
) -> dict[str, tuple[argparse.ArgumentParser, str]]:
    """Return the parser and the summary of each command of a program."""
    for action in top._actions:
        if isinstance(action, argparse._SubParsersAction):
            summaries = {
                each.dest: each.help or ""
                for each in action._choices_actions
            }
            return {
                name: (sub, summaries.get(name, ""))
                for name, sub in action.choices.items()
            }
    return {}


def commands() -> rst.Lines:
    """Return a section for each program, and for what they share."""
    lines: rst.Lines = []
    for program in PROGRAMS:
        lines += _program(program)
    for group, title in SHARED.items():
        lines += [f".. _options-{group}:", *rst.heading(title)]
        lines += [".. program:: trove-tools", ""]
        for option in table.group(group):
            lines += _option(option)
    return lines


def settings() -> rst.Lines:
    """Return the table of all options by their name in the file."""
    rows = [["in the file", "environment variables", "default"]]
    for option in sorted(table.OPTIONS, key=lambda each: each.name):
        rows.append(
            [
                f"``{option.name}``",
                rst.literals(option.environment),
                _default(option),
            ]
        )
    return rst.table(rows, "25 55 20")


def _program(program: str) -> rst.Lines:
    top = parser(program)
    lines = rst.heading(program)
    lines += rst.block(_sentence(top.description or ""))
    below = subcommands(top)
    if not below:
        lines += _parser_body(program, top)
    for name, (sub, summary) in below.items():
        lines += rst.heading(f"{program} {name}", "-")
        lines += rst.block(_sentence(summary or sub.description or ""))
        lines += _parser_body(f"{program} {name}", sub)
    return lines


def _parser_body(program: str, sub: argparse.ArgumentParser) -> rst.Lines:
    takes = [
        action
        for action in sub._actions
        if action.dest != "help"
    ]
    shared = [
        group
        for group in SHARED
        if any(
            _BY_NAME[action.dest].group == group
            for action in takes
            if action.option_strings and action.dest in _BY_NAME
        )
    ]
    words = " ".join(_word(each) for each in takes if not each.option_strings)
    lines = [
        ".. code-block:: text",
        "",
        f"   {program} [OPTION...] {words}".rstrip(),
        "",
        f".. program:: {program}",
        "",
    ]
    for action in takes:
        option = _BY_NAME.get(action.dest)
        if not action.option_strings:
            if action.help:
                lines += rst.block(f"``{_word(action)}``")
                lines += rst.block(rst.plain(action.help), "   ")
        elif option is None:
            value = action.metavar or "|".join(map(str, action.choices or ()))
            names = ", ".join(
                f"{name} {value}".strip() for name in action.option_strings
            )
            lines += [f".. option:: {names}", ""]
            default = str(action.default)
            said = (action.help or "").replace("%(default)s", default)
            lines += rst.block(rst.plain(said), "   ")
        elif option.group not in shared:
            lines += _option(option)
    for command, result in RESULTS.items():
        if f"{command} ".startswith(f"{program} "):
            lines += rst.block(
                f"``{command} --format shell`` sets"
                f" {rst.literals(result.names())}."
            )
    links = " and ".join(f":ref:`options-{group}`" for group in shared)
    if links:
        lines += ["And: " + links + ".", ""]
    return lines


def _word(action: argparse.Action) -> str:
    choices = "|".join(map(str, action.choices or ()))
    word = str(action.metavar or choices or action.dest)
    if action.nargs in ("*", "?"):
        word = f"[{word}]"
    return word + ("..." if action.nargs in ("*", "+") else "")


def _option(option: options.Option) -> rst.Lines:
    if option.kind is kinds.boolean:
        value = ""
        names = [option.flag]
        if option.default is not False or option.variables:
            names.append(option.flag.replace("--", "--no-", 1))
    else:
        value = " " + (
            option.metavar
            or "|".join(option.choices)
            or option.name.rsplit("_", 1)[-1].upper()
        )
        names = [option.flag]
    if option.short:
        names.insert(0, option.short)
    names = [name + value for name in names]
    lines = [f".. option:: {', '.join(names)}", ""]
    lines += rst.block(_sentence(rst.plain(option.help)), "   ")
    facts = []
    if option.choices:
        facts.append(f"One of {rst.literals(option.choices)}.")
    if default := _default(option):
        facts.append(f"Default: {default}.")
    if option.many:
        facts.append("May be given several times.")
    facts.append(
        f"Variables: {rst.literals(option.environment)}."
        if option.variables
        else f"Variable: {rst.literals(option.environment)}."
    )
    return [*lines, *rst.block(" ".join(facts), "   ")]


def _default(option: options.Option) -> str:
    if option.default in (None, [], ()):
        return ""
    if option.kind is kinds.boolean:
        return "yes" if option.default else "no"
    return f"``{option.default}``"


def _sentence(text: str) -> str:
    text = text.strip()
    text = text[:1].upper() + text[1:]
    return text if not text or text[-1] in ".:" else text + "."
