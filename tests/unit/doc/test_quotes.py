# SPDX-License-Identifier: Apache-2.0
"""What the documentation says that the code says.

Each error in ``troubleshooting.rst`` stands below a comment that names the
file which prints it; ``...`` stands for what differs from time to time.
"""

import ast
import pathlib
import re
import typing

from tests import base
from trove_tools import errors
from trove_tools.inspection import policy

SOURCE = base.ROOT / "doc/source"

#: A placeholder in an f-string.
_HOLE = "\0"
_QUOTE = re.compile(
    r"^( *)\.\. printed by(?P<others> others)?: (?P<who>.+)\n"
    r"\1\.\. code-block:: text\n\n(?P<text>(?:\1 {3}.*\n|\n)+)",
    re.MULTILINE,
)


class Quote(typing.NamedTuple):
    """A line of the documentation that some code prints."""

    file: str
    line: str


def quotes(text: str) -> list[Quote]:
    """Return the lines that are said to be ours."""
    found = []
    for match in _QUOTE.finditer(text):
        if match["others"]:
            continue
        for line in match["text"].splitlines():
            if line.strip():
                found.append(Quote(match["who"], line.strip()))
    return found


def said(file: pathlib.Path) -> list[str]:
    """Return every text in a module, whole, as it is put together."""
    found = []

    def text(node: ast.expr) -> str:
        if isinstance(node, ast.Constant):
            return node.value if isinstance(node.value, str) else _HOLE
        if isinstance(node, ast.JoinedStr):
            return "".join(map(text, node.values))
        if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Add):
            return text(node.left) + text(node.right)
        return _HOLE

    for node in ast.walk(ast.parse(file.read_text())):
        if isinstance(node, ast.Constant | ast.JoinedStr | ast.BinOp):
            found.append(text(node))
    return found


def is_said(line: str, texts: list[str]) -> bool:
    """Tell whether one of the texts can become a line."""
    line = re.sub(r"^(error|hint|warning): ", "", line)
    # the message may be put together from a name and this text
    return any(
        re.fullmatch(
            ".*".join(map(re.escape, each.split("..."))), text, re.DOTALL
        )
        for each in (line, line.removeprefix("... "))
        for text in texts
    )


class TroubleshootingTest(base.TestCase):
    def setUp(self) -> None:
        super().setUp()
        self.text = (SOURCE / "troubleshooting.rst").read_text()

    def test_every_text_says_who_prints_it(self) -> None:
        self.assertEqual(
            self.text.count(".. code-block:: text"),
            len(_QUOTE.findall(self.text)),
        )

    def test_the_code_prints_what_is_quoted(self) -> None:
        found = quotes(self.text)
        self.assertGreater(len(found), 30)
        wrong = [
            f"{quote.file} does not say: {quote.line}"
            for quote in found
            if not is_said(quote.line, said(base.ROOT / quote.file))
        ]
        self.assertEqual([], wrong)

    def test_a_text_that_has_changed_is_found(self) -> None:
        file = self.temp_dir() / "module.py"
        file.write_text('raise Error(f"no {what} is" " here", hint="go")\n')
        texts = said(file)
        self.assertTrue(is_said("error: no ... is here", texts))
        self.assertTrue(is_said("hint: go", texts))
        self.assertFalse(is_said("error: no ... is there", texts))
        self.assertFalse(is_said("error: no ... is", texts))
        self.assertFalse(is_said("hint: g", texts))


class TablesTest(base.TestCase):
    def test_kinds_of_what_must_not_be_in_an_image(self) -> None:
        text = (SOURCE / "concepts/security.rst").read_text()
        _, _, table = text.partition("What it is\n")
        table, _, _ = table.partition("for the same kinds")
        self.assertEqual(
            set(policy.KINDS),
            set(re.findall(r"^``([a-z ]+)``", table, re.MULTILINE)),
        )

    def test_files_that_answer_questions(self) -> None:
        text = (base.ROOT / "CONTRIBUTING.rst").read_text()
        files = re.findall(r"\?  +``(\S+)``$", text, re.MULTILINE)
        self.assertGreater(len(files), 10)
        self.assertEqual(
            [], [file for file in files if not (base.ROOT / file).exists()]
        )

    def test_exit_statuses(self) -> None:
        statuses = {
            value
            for name, value in vars(errors).items()
            if name.startswith("EXIT_")
        }
        text = (SOURCE / "reference/exit-statuses.rst").read_text()
        numbers = re.findall(r"^(\d+) ", text, re.MULTILINE)
        self.assertEqual(statuses, set(map(int, numbers)))

    def test_modules(self) -> None:
        package = base.ROOT / "trove_tools"
        there = {
            f"{path.name}/"
            for path in package.glob("[!_]*")
            # what git has removed leaves its compiled modules
            if path.is_dir() and any(path.glob("[!_]*"))
        }
        text = (SOURCE / "concepts/architecture.rst").read_text()
        named = set(re.findall(r"^``(\w+/|\w+\.py)`` ", text, re.MULTILINE))
        self.assertEqual(set(), there - named)
        for name in named:
            self.assertTrue((package / name).exists(), name)
