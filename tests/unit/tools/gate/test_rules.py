# SPDX-License-Identifier: Apache-2.0
"""What a file touches, compared with what the code imports."""

import ast
import collections.abc
import functools
import pathlib
import re

from gate import rules
from tests import base
from tests.unit.tools.gate import tree

PACKAGE = base.ROOT / "trove_tools"

#: What each command is tried by; any of the words will do.
COMMANDS = {
    "builder": {"images", "container", "distribution"},
    "load": {"functional"},
    "activate": {"functional"},
    "devstack": {"functional", "cloud", "images", "container", "distribution"},
}


def module(file: pathlib.Path) -> str:
    words = file.relative_to(base.ROOT).with_suffix("").parts
    return ".".join(words).removesuffix(".__init__")


@functools.cache
def imports() -> dict[str, set[str]]:
    """Return the modules of the package that each module imports."""
    files = {module(file): file for file in PACKAGE.rglob("*.py")}
    found: dict[str, set[str]] = {}
    for name, file in files.items():
        found[name] = set()
        for node in ast.walk(ast.parse(file.read_text())):
            if isinstance(node, ast.ImportFrom) and node.module:
                for each in node.names:
                    full = f"{node.module}.{each.name}"
                    found[name].update({full, node.module} & files.keys())
    return found


def reached(name: str) -> set[str]:
    """Return all modules that one imports, and those that these import."""
    found: set[str] = set()
    queue = [name]
    while queue:
        each = queue.pop()
        if each not in found:
            found.add(each)
            queue.extend(imports()[each])
    return found


def touched(file: str) -> set[str]:
    return {
        word
        for rule in rules.read()
        if rule.matcher.matches(file)
        for word in rule.touches
    }


class RulesTest(base.TestCase):
    def paths(self, name: str) -> collections.abc.Iterator[str]:
        for each in reached(f"trove_tools.cli.{name}"):
            path = each.replace(".", "/")
            if not (base.ROOT / path).is_dir():
                yield f"{path}.py"

    def test_code_is_tried_by_the_jobs_that_run_it(self) -> None:
        for name, words in COMMANDS.items():
            for path in self.paths(name):
                self.assertTrue(
                    touched(path) & words,
                    f"{path} is a part of {name}: a rule must name one of"
                    f" {', '.join(sorted(words))}",
                )

    def test_all_commands_are_looked_at(self) -> None:
        # the other modules there are parts of these
        names = {
            file.stem
            for file in (PACKAGE / "cli").glob("*.py")
            if re.search("^(def main\\(argv|main = )", file.read_text(), re.M)
        }
        self.assertEqual(set(COMMANDS), names)

    def test_words_are_known(self) -> None:
        known = {
            rules.UNIT, rules.FUNCTIONAL, rules.IMAGE_TESTS, rules.DOCS,
            rules.IMAGES, rules.CLOUD,
            "container", "distribution", "repository", "file",
        }  # fmt: skip
        used = {word for rule in rules.read() for word in rule.touches}
        self.assertEqual(known, used)

    def test_every_rule_is_about_something(self) -> None:
        files = tree.files(self)
        for rule in rules.read():
            self.assertTrue(
                any(map(rule.matcher.matches, files)), rule.matcher.why
            )

    def test_readme_of_an_element_builds_nothing(self) -> None:
        found = touched("trove_tools/elements/trove-guest/README.rst")
        self.assertEqual({"docs", "unit"}, found)
