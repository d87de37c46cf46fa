# SPDX-License-Identifier: Apache-2.0
"""Every command's help says all that there is to know."""

import collections.abc
import contextlib
import inspect
import re
import shlex

from gate import command as gate
from manual import commands
from minicloud import command as minicloud
from tests import base
from trove_tools.cli import activate
from trove_tools.cli import builder
from trove_tools.cli import common
from trove_tools.cli import devstack
from trove_tools.cli import exit_status
from trove_tools.cli import load
from trove_tools.config import table

TOPS = (
    activate.parser,
    builder.parser,
    devstack.parser,
    gate.parser,
    load.parser,
    minicloud.parser,
)


def parsers() -> collections.abc.Iterator[common.Parser]:
    """Yield the parser of every command and subcommand."""
    for top in TOPS:
        parser = top()
        yield parser
        yield from commands.subcommands(parser).values()


def flags(parser: common.Parser) -> set[str]:
    return {
        flag
        for action in parser._actions
        for flag in action.option_strings
        if flag.startswith("--") and not flag.startswith("--no-")
    }


class HelpTest(base.TestCase):
    def setUp(self) -> None:
        super().setUp()
        self.set_env(COLUMNS="80")

    def test_ends(self) -> None:
        count = 0
        for parser in parsers():
            text = parser.format_help()
            self.assertIn("\nexit status: 0 done", text)
            long = [line for line in text.splitlines() if len(line) > 80]
            self.assertEqual([], long, parser.prog)
            count += 1
        self.assertGreater(count, 20)

    def test_two_examples_that_the_command_takes(self) -> None:
        for parser in parsers():
            shown = parser.format_help().partition("\nexamples:\n")[2]
            lines = shown.partition("\n\n")[0].splitlines()
            self.assertGreaterEqual(len(lines), 2, parser.prog)
            for line in lines:
                line = re.sub(r"\$\(git .*?\)", "FILE", line)
                words = shlex.split(line.replace(";", " ; "))
                name = parser.prog.split()[0]
                if words[0].rpartition("/")[2] == name:
                    self.assert_taken(parser, words)

    def assert_taken(self, parser: common.Parser, words: list[str]) -> None:
        """Make sure that a command line can be parsed to its end."""
        (top,) = (
            each() for each in TOPS if each().prog == parser.prog.split()[0]
        )
        ends = [n for n, word in enumerate(words) if word[0] in ";&|>"]
        top.parse_args(words[1 : min(ends, default=None)])

    def test_nothing_gets_lost(self) -> None:
        for parser in parsers():
            text = parser.format_help()
            missing = [flag for flag in flags(parser) if flag not in text]
            self.assertEqual([], missing, parser.prog)
            for topic in commands.topics(parser):
                self.assertIn(f"\n{topic.name} ({topic.summary}):\n", text)

    def test_every_option_has_a_topic(self) -> None:
        for option in table.OPTIONS:
            self.assertIsNotNone(option.topic, option.name)

    def test_variables(self) -> None:
        build = commands.subcommands(builder.parser())["build"]
        text = " ".join(build.format_help().split())
        self.assertIn("[DIB_IMAGE_SIZE, GUEST_IMAGESIZE]", text)


class CommandLineTest(base.TestCase):
    def test_every_command_has_its_function(self) -> None:
        for program in (activate, builder, devstack, gate, load, minicloud):
            for command in program.PROGRAM.commands:
                taken = inspect.signature(command.function()).parameters
                self.assertEqual(["call"], list(taken), command.name)

    def test_help_wherever_it_stands(self) -> None:
        self.patch_object(exit_status, "_unwind_on_signals", lambda: None)
        # a topic after --help is what older versions took
        for words in (
            ["build", "mariadb", "-h"], ["build", "--help", "containers"],
        ):  # fmt: skip
            out, err = self.capture()
            with contextlib.suppress(SystemExit):
                builder.main(words)
            for stream in (out, err):
                stream.seek(0)
            self.assertIn("--container-source", out.read())
            self.assertEqual("", err.read())
