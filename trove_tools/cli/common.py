# SPDX-License-Identifier: Apache-2.0
"""Shared code of all commands: parsing, errors and exit statuses."""

import argparse
import collections.abc
import dataclasses
import functools
import importlib
import sys
import typing

from trove_tools import console
from trove_tools import errors
from trove_tools.cli import exit_status
from trove_tools.config import options
from trove_tools.config import table

if typing.TYPE_CHECKING:
    from trove_tools.catalog import model

_VARIABLES = f"""\
An option that is not given is looked for in the environment, as
{options.PREFIX}NAME in capital letters and as the names in brackets, then in
trove-tools.conf."""


def synopsis(action: argparse.Action) -> str:
    """Return an argument in the form of a usage line."""
    if isinstance(action, argparse._SubParsersAction):
        return f"{action.metavar} ..."
    name = str(action.metavar or "|".join(action.choices or [action.dest]))
    return {"?": f"[{name}]", "*": f"[{name}]...", "+": f"{name}..."}.get(
        str(action.nargs), name
    )


def _filled(text: str) -> str:
    import textwrap

    return textwrap.fill(
        text, 78, break_long_words=False, break_on_hyphens=False
    )


class Parser(argparse.ArgumentParser):
    """An argument parser that shows examples and corrects mistyped words.

    :param examples: command lines to begin with.
    :param notes: further notes about the command.
    :param statuses: the meanings of its exit statuses.
    :param kwargs: arguments of argparse.ArgumentParser.
    """

    def __init__(
        self,
        *,
        examples: collections.abc.Sequence[str] = (),
        notes: str = "",
        statuses: collections.abc.Mapping[int, str] | None = None,
        **kwargs: typing.Any,
    ) -> None:
        self.examples = tuple(examples)
        self.notes = notes
        self.statuses = dict(statuses or {})
        # an abbreviation could change its meaning when a flag is added
        kwargs.setdefault("allow_abbrev", False)
        super().__init__(
            formatter_class=argparse.RawDescriptionHelpFormatter, **kwargs
        )

    def format_help(self) -> str:
        """Return the help text."""
        taken = map(
            synopsis, (a for a in self._actions if not a.option_strings)
        )
        self.usage = " ".join([self.prog, "[OPTION]...", *taken])
        paragraphs = (self.description or "").split("\n\n")
        self.description = "\n\n".join(map(_filled, paragraphs))
        self.epilog = "\n\n".join(filter(None, self._closing()))
        return super().format_help()

    def _closing(self) -> collections.abc.Iterator[str]:
        """Yield the texts below the options."""
        if self.examples:
            yield "examples:\n  " + "\n  ".join(self.examples)
        yield self.notes.strip()
        yield _VARIABLES
        if self.statuses:
            words = (f"{status} {of}" for status, of in self.statuses.items())
            yield _filled(f"exit status: {', '.join(words)}")

    def parse_known_args(  # type: ignore[override]
        self,
        args: typing.Any = None,
        namespace: typing.Any = None,
    ) -> tuple[argparse.Namespace, list[str]]:
        words = sys.argv[1:] if args is None else args
        known, rest = super().parse_known_args(
            options.current_words(words, table.OPTIONS), namespace
        )
        for word in rest:
            if word.startswith("-"):
                flags = self._option_string_actions
                raise errors.UsageError(
                    f"{self.prog}: unknown option {word}",
                    hint=_near_flag(word, flags, self.prog),
                )
        # here, and not by the parser of all commands, so that the message
        # names the command
        if rest:
            self.error(f"unexpected argument {rest[0]}")
        return known, rest

    def _check_value(self, action: argparse.Action, value: str) -> None:
        """Raise an error for a word that is not a choice of an argument."""
        if action.choices is None or value in action.choices:
            return
        what = "command" if action.dest == "command" else action.dest
        raise errors.UsageError(
            f"{self.prog}: unknown {what} {value!r}",
            hint=errors.nearest(value, action.choices, f"{what}s"),
        )

    def error(self, message: str) -> typing.NoReturn:
        hint = f"see {self.prog} --help"
        if "expected one argument" in message:
            hint += (
                "; a value that begins with a dash is given with an equals"
                " sign: --output-dir=-x"
            )
        raise errors.UsageError(f"{self.prog}: {message}", hint=hint)


#: The default meanings of the exit statuses.
STATUSES = {
    errors.EXIT_OK: "done",
    errors.EXIT_FAILED: "failed",
    errors.EXIT_USAGE: "bad usage",
    errors.EXIT_MISSING: "something is missing on this host",
    errors.EXIT_CLOUD: "the cloud refused or could not be reached",
    errors.EXIT_INTERRUPTED: "interrupted",
}


def statuses(*numbers: int, failed: str = "failed") -> dict[int, str]:
    """Return the meanings of exit statuses.

    :param numbers: the statuses of the command.
    :param failed: the meaning of 1 for this command.
    """
    words = {**STATUSES, errors.EXIT_FAILED: failed}
    return {number: words[number] for number in numbers}


def _near_flag(
    word: str, flags: collections.abc.Iterable[str], prog: str
) -> str:
    import difflib

    close = difflib.get_close_matches(word.partition("=")[0], flags, n=1)
    meant = f"did you mean {close[0]}? " if close else ""
    return f"{meant}see {prog} --help"


@dataclasses.dataclass(frozen=True)
class Call:
    """One call of a command.

    :param settings: the values of its options.
    :param flags: its parsed command line.
    :param screen: the console for messages.
    """

    settings: options.Settings
    flags: argparse.Namespace
    screen: console.Console

    @functools.cached_property
    def catalog(self) -> "model.Catalog":
        """The catalog, which is loaded on first use."""
        # imported here because --help must not wait for a YAML parser
        from trove_tools.catalog import loader

        return loader.load(self.settings.catalog)


Run = collections.abc.Callable[[Call], int]


def argument(
    *names: str, **settings: typing.Any
) -> collections.abc.Callable[[argparse.ArgumentParser], object]:
    """Return a function that adds an argument of argparse to a parser."""
    return lambda parser: parser.add_argument(*names, **settings)


@dataclasses.dataclass(frozen=True)
class Command:
    """One command of a program.

    :param name: its name; empty if it is the program's only command.
    :param summary: a short description.
    :param run: the function that returns an exit status; or its name, as
        ``module:function`` of this package.
    :param groups: the groups of options that it accepts.
    :param further: single options of other groups.
    :param own: options of this program that are not in the table.
    :param arguments: functions that add other arguments to a parser.
    :param examples: command lines to begin with, without the program's name.
    """

    name: str
    summary: str
    run: Run | str
    groups: tuple[str, ...] = ()
    further: tuple[str, ...] = ()
    own: tuple[options.Option, ...] = ()
    arguments: tuple[
        collections.abc.Callable[[argparse.ArgumentParser], object], ...
    ] = ()
    examples: tuple[str, ...] = ()

    def declared(self) -> list[options.Option]:
        """Return the options that the command accepts."""
        return [
            option
            for option in (*table.OPTIONS, *self.own)
            if option.group in self.groups
            or option.name in self.further
            or option in self.own
        ]

    def function(self) -> Run:
        """Return the function that runs the command."""
        if not isinstance(self.run, str):
            return self.run
        # imported here because --help must not wait for it
        module, _, function = self.run.partition(":")
        imported = importlib.import_module(f"{__package__}.{module}")
        run: Run = getattr(imported, function)
        return run

    def fill(self, parser: argparse.ArgumentParser) -> None:
        """Add the command's options and arguments to its parser."""
        for add in self.arguments:
            add(parser)
        options.add(parser, self.declared())


@dataclasses.dataclass(frozen=True)
class Program:
    """A program with one or several commands.

    :param name: the name of the program.
    :param description: the purpose of the program.
    :param commands: its commands.
    :param examples: command lines to begin with.
    :param notes: further notes.
    :param statuses: the meanings of its exit statuses.
    :param directory: a prefix for its name in the examples.
    """

    name: str
    description: str
    commands: tuple[Command, ...]
    examples: tuple[str, ...]
    statuses: collections.abc.Mapping[int, str]
    notes: str = ""
    directory: str = ""

    def command(self, name: str = "") -> Command:
        """Return a command by name."""
        (command,) = (each for each in self.commands if each.name == name)
        return command

    def parser(
        self, words: collections.abc.Container[str] | None = None
    ) -> Parser:
        """Return the parser.

        :param words: the words of the command line; commands that are not
            among them get no options, which saves time.
        """
        top = Parser(
            prog=self.name,
            description=self.description,
            examples=self.examples,
            notes=self.notes,
            statuses=self.statuses,
        )
        if not self.commands[0].name:
            self.commands[0].fill(top)
            return top
        known = top.add_subparsers(
            dest="command", required=True, metavar="COMMAND"
        )
        for command in self.commands:
            place = f"{self.directory}{self.name}"
            sub = known.add_parser(
                command.name,
                help=command.summary,
                description=command.summary,
                examples=[f"{place} {line}" for line in command.examples],
                statuses=self.statuses,
            )
            if words is None or command.name in words:
                command.fill(sub)
        return top

    def main(self, argv: collections.abc.Sequence[str] | None = None) -> int:
        """Parse the command line, run the command and return an exit status.

        :param argv: the command line without the program's name.
        :returns: an exit status.
        """
        # must precede all output
        exit_status.open_missing_streams()
        words = list(sys.argv[1:] if argv is None else argv)
        end = exit_status.Ending(console.Console(), "--debug" in words)
        with end.reported():
            flags = self.parser(words).parse_args(words)
            command = self.command(getattr(flags, "command", ""))
            settings = table.settings(command.declared(), flags)
            end.debug = settings.debug
            end.screen = screen = console.Console(quiet=settings.quiet)
            end.status = command.function()(Call(settings, flags, screen))
        return end.status
