# SPDX-License-Identifier: Apache-2.0
"""Options: flag, then variable, then file, then default."""

import argparse
import pathlib

from tests import base
from trove_tools import errors
from trove_tools.config import kinds
from trove_tools.config import options
from trove_tools.config import table
from trove_tools.config.options import Option

DECLARED = [
    Option("size", "x", "a size", int, 4, variables=("OLD_SIZE",)),
    Option("colour", "x", "a colour", default="red", choices=("red", "blue")),
    Option("element", "x", "names", many=True),
    Option("loud", "x", "be loud", kinds.boolean, False, ("LOUD",)),
    Option("machine", "x", "a machine", former="tier"),
]


class ResolveTest(base.TestCase):
    def resolve(
        self,
        *words: str,
        file: str | None = None,
        **environ: str,
    ) -> options.Settings:
        parser = argparse.ArgumentParser(exit_on_error=False)
        options.add(parser, DECLARED)
        files = []
        if file is not None:
            files = [self.temp_dir() / "x.conf"]
            files[0].write_text(file)
        return options.resolve(
            DECLARED, parser.parse_args(words), environ, files
        )

    def test_a_former_name_is_taken_everywhere(self) -> None:
        found = self.resolve(
            *options.current_words(["--tier", "a"], DECLARED)
        )
        self.assertEqual("a", found.machine)
        self.assertEqual(
            ["--machine=a", "x"],
            options.current_words(["--tier=a", "x"], DECLARED),
        )
        found = self.resolve(TROVE_TOOLS_TIER="b")
        self.assertEqual("b", found.machine)
        found = self.resolve(file="[DEFAULT]\ntier = c\n")
        self.assertEqual("c", found.machine)

    def test_origin(self) -> None:
        found = self.resolve("--size", "3", file="[DEFAULT]\nelement = a",
                             LOUD="yes")  # fmt: skip
        self.assertEqual("--size", found.origin("size"))
        self.assertEqual("LOUD", found.origin("loud"))
        self.assertIn("x.conf", found.origin("element") or "")
        self.assertIsNone(found.origin("colour"))
        changed = found.replaced(colour="blue")
        self.assertEqual("--size", changed.origin("size"))

    def test_default(self) -> None:
        found = self.resolve()
        self.assertEqual(
            {"size": 4, "colour": "red", "element": [], "loud": False,
             "machine": None},
            found.as_dict(),
        )

    def test_precedence(self) -> None:
        file = "[DEFAULT]\nsize = 5\n"
        self.assertEqual(5, self.resolve(file=file).size)
        self.assertEqual(6, self.resolve(file=file, OLD_SIZE="6").size)
        self.assertEqual(
            7,
            self.resolve(OLD_SIZE="6", TROVE_TOOLS_SIZE="7", file=file).size,
        )
        self.assertEqual(
            8, self.resolve("--size", "8", TROVE_TOOLS_SIZE="7").size
        )

    def test_lists(self) -> None:
        found = self.resolve("--element", "a", "--element", "b")
        self.assertEqual(["a", "b"], found.element)
        found = self.resolve(TROVE_TOOLS_ELEMENT="a, b c")
        self.assertEqual(["a", "b", "c"], found.element)

    def test_boolean(self) -> None:
        self.assertTrue(self.resolve(LOUD="yes").loud)
        self.assertFalse(self.resolve("--no-loud", LOUD="yes").loud)
        error = self.assertRaises(
            errors.UsageError, self.resolve, LOUD="perhaps"
        )
        self.assertIn("variable LOUD", error.message)

    def test_wrong_value_names_its_origin(self) -> None:
        error = self.assertRaises(
            errors.UsageError, self.resolve, OLD_SIZE="big"
        )
        self.assertIn("environment variable OLD_SIZE: 'big'", error.message)
        error = self.assertRaises(
            errors.UsageError, self.resolve, file="[DEFAULT]\ncolour = pink\n"
        )
        self.assertIn("x.conf, line 2, colour: 'pink'", error.message)
        self.assertEqual("known values: blue, red", error.hint)

    def test_empty_variable_is_none(self) -> None:
        self.assertEqual(4, self.resolve(TROVE_TOOLS_SIZE="").size)


class ConfigTest(base.TestCase):
    def test_names_are_unique(self) -> None:
        names = [option.name for option in table.OPTIONS]
        self.assertEqual(len(names), len(set(names)))

    def test_every_option_has_help(self) -> None:
        for option in table.OPTIONS:
            self.assertTrue(option.help, option.name)

    def test_named_file_must_exist(self) -> None:
        flags = argparse.Namespace(config_file=pathlib.Path("/nowhere.conf"))
        error = self.assertRaises(
            errors.UsageError, table.settings, table.group("common"), flags
        )
        self.assertIn("--config-file", error.hint or "")

    def test_named_file_is_read_for_every_option(self) -> None:
        file = self.temp_dir() / "trove-tools.conf"
        file.write_text("[DEFAULT]\nmirror = http://mirror.example.org\n")
        found = table.settings(
            list(table.OPTIONS), argparse.Namespace(config_file=file)
        )
        self.assertEqual("http://mirror.example.org", found.mirror)

    def test_file_of_this_user_or_host_that_cannot_be_read(self) -> None:
        place = self.temp_dir()
        self.patch_object(table, "FILES", (place, place / "absent"))
        error = self.assertRaises(
            errors.UsageError, table.settings, table.group("common"),
            argparse.Namespace(),
        )  # fmt: skip
        self.assertIn(f"{place} cannot be read", error.message)

    def test_file_cannot_name_another_file(self) -> None:
        file = self.temp_dir() / "trove-tools.conf"
        file.write_text("config_file = /x\n")
        error = self.assertRaises(
            errors.UsageError, table.settings, table.group("common"),
            argparse.Namespace(config_file=file),
        )  # fmt: skip
        self.assertIn("no option config_file", error.message)

    def test_generator_knows_all(self) -> None:
        ((group, listed),) = table.list_opts()
        self.assertEqual("DEFAULT", group)
        self.assertEqual(len(table.OPTIONS) - 1, len(listed))
