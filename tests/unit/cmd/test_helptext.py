# SPDX-License-Identifier: Apache-2.0
"""Every command's help fits a screen, and nothing of it gets lost."""

import collections.abc
import re
import shlex

from gate import command as gate
from minicloud import command as minicloud
from tests import base
from trove_tools import config
from trove_tools import errors
from trove_tools.cmd import activate
from trove_tools.cmd import builder
from trove_tools.cmd import common
from trove_tools.cmd import devstack
from trove_tools.cmd import helptext
from trove_tools.cmd import load

TOPS = (
    activate.parser,
    builder.parser,
    devstack.parser,
    gate.parser,
    load.parser,
    minicloud._parser,
)


def parsers() -> collections.abc.Iterator[common.Parser]:
    """Yield the parser of every command and subcommand."""
    for top in TOPS:
        parser = top()
        yield parser
        yield from helptext.commands(parser).values()


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

    def assert_fits(self, text: str) -> None:
        lines = text.splitlines()
        self.assertLessEqual(len(lines), 40, text)
        self.assertEqual([], [line for line in lines if len(line) > 80])

    def test_a_screen(self) -> None:
        count = 0
        for parser in parsers():
            text = parser.format_help()
            self.assert_fits(text)
            self.assertIn("\nexit status: 0 done", text)
            count += 1
        self.assertGreater(count, 20)

    def test_every_topic_is_a_screen(self) -> None:
        for parser in parsers():
            for topic in helptext.topics(parser):
                self.assert_fits(helptext.text(parser, topic.name))

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
            known = flags(parser)
            listed = [helptext.text(parser, helptext.ALL)]
            topics = [
                helptext.text(parser, topic.name)
                for topic in helptext.topics(parser)
            ]
            listed.append("\n".join([*topics, parser.format_help()]))
            for text in listed:
                missing = [flag for flag in known if flag not in text]
                self.assertEqual([], missing, parser.prog)

    def test_every_option_has_a_topic(self) -> None:
        for option in config.OPTIONS:
            self.assertIsNotNone(option.topic, option.name)

    def test_all_of_the_top_has_all_of_its_commands(self) -> None:
        text = helptext.text(builder.parser(), helptext.ALL)
        self.assertIn("usage: trove-image-builder doctor", text)
        self.assertIn("--registry-mirror", text)

    def test_command_as_a_topic(self) -> None:
        top = builder.parser()
        self.assertEqual(
            helptext.commands(top)["build"].format_help(),
            helptext.text(top, "build"),
        )

    def test_variables_of_a_topic(self) -> None:
        build = helptext.commands(builder.parser())["build"]
        text = " ".join(helptext.text(build, "disk").split())
        self.assertIn("DIB_IMAGE_SIZE/GUEST_IMAGESIZE (--disk-size)", text)


class CommandLineTest(base.TestCase):
    def run_builder(self, *words: str) -> tuple[int, str, str]:
        self.patch_object(common, "_unwind_on_signals", lambda: None)
        out, err = self.capture()
        try:
            status = builder.main(words)
        except SystemExit as exc:
            status = int(exc.code or 0)
        for stream in (out, err):
            stream.seek(0)
        return status, out.read(), err.read()

    def test_topic(self) -> None:
        status, out, err = self.run_builder("build", "--help", "containers")
        self.assertEqual((0, ""), (status, err))
        self.assertIn("--container-source", out)
        self.assertNotIn("--disk-size", out)

    def test_short_flag_after_arguments(self) -> None:
        status, out, _ = self.run_builder("build", "mariadb", "-h")
        self.assertEqual(0, status)
        self.assertIn("topics, each with --help TOPIC:", out)

    def test_unknown_topic(self) -> None:
        status, out, err = self.run_builder("build", "--help", "discs")
        self.assertEqual((errors.EXIT_USAGE, ""), (status, out))
        self.assertIn("no help about discs", err)
        self.assertIn("did you mean disk?", err)
        self.assertIn("containers, disk, guest", err)
