# SPDX-License-Identifier: Apache-2.0
"""What the page about security promises, and the tests that prove it.

Each sentence of its first part has a footnote, and each footnote names tests.
"""

import ast
import re

import ddt

from tests import base

PAGE = base.ROOT / "doc/source/concepts/security.rst"

_MARK = re.compile(r"\[#([a-z-]+)\]_")
_NOTE = re.compile(r"^\.\. \[#([a-z-]+)\]((?:[ \n]+``[\w.]+``,?)+)\n", re.M)
_TABLE = re.compile(r"^=+ +=+\n.*?^=+ +=+\n\n", re.M | re.DOTALL)
_HEADING = re.compile(r"^.+\n([-=])\1+\n", re.M)


def promises(page: str) -> list[str]:
    """Return the sentences of the part that promises something.

    The rows of a table belong to the sentence above it.
    """
    _, _, text = page.partition("Guarantees\n===")
    text, _, _ = text.partition("Limits\n===")
    text = _HEADING.sub("", _TABLE.sub("", text.partition("\n")[2]))
    return [
        " ".join(sentence.split())
        for paragraph in re.split(r"\n{2,}", text.strip())
        for sentence in re.split(r"(?<=[.;])\s+", paragraph)
        if sentence.strip()
    ]


def is_test(name: str) -> bool:
    """Tell whether a module, a class in it or a method of that has tests."""
    words = name.split(".")
    for count in range(len(words), 0, -1):
        file = base.ROOT.joinpath(*words[:count]).with_suffix(".py")
        if file.exists():
            body = ast.parse(file.read_text()).body
            return _has_tests(body, words[count:])
    return False


def _has_tests(body: list[ast.stmt], words: list[str]) -> bool:
    """Tell whether what a name leads to in some code has tests."""
    for node in body:
        if not isinstance(node, ast.ClassDef | ast.FunctionDef):
            continue
        if words and node.name != words[0]:
            continue
        if isinstance(node, ast.FunctionDef):
            if node.name.startswith("test_") and not words[1:]:
                return True
        elif _has_tests(node.body, words[1:]):
            return True
    return False


@ddt.ddt
class PromisesTest(base.TestCase):
    def setUp(self) -> None:
        super().setUp()
        self.text = PAGE.read_text()

    def test_each_sentence_has_a_proof(self) -> None:
        found = promises(self.text)
        self.assertGreater(len(found), 20)
        self.assertEqual([], [text for text in found if "]_" not in text])

    def test_each_proof_is_there(self) -> None:
        notes = dict(_NOTE.findall(self.text))
        self.assertEqual(set(_MARK.findall(self.text)), set(notes))
        self.assertEqual(len(notes), self.text.count("\n.. [#"))
        missing = [
            name
            for names in notes.values()
            for name in re.findall(r"[\w.]+", names)
            if not is_test(name)
        ]
        self.assertEqual([], missing)

    @ddt.data(
        ("tests.unit.host.test_trust", True),
        ("tests.unit.host.test_trust.TrustTest", True),
        ("tests.unit.host.test_trust.TrustTest.test_own", True),
        ("tests.unit.host.test_trust.TrustTest.test_no_such", False),
        ("tests.unit.host.test_trust.TrustTest.refused", False),
        ("tests.unit.host.test_trust.NoTest.test_own", False),
        ("tests.unit.no_such_module", False),
        ("tests.base", False),
    )
    @ddt.unpack
    def test_what_counts_as_a_proof(self, name: str, is_one: bool) -> None:
        self.assertEqual(is_one, is_test(name))

    def test_a_sentence_without_a_proof_is_found(self) -> None:
        text = self.text.replace("Limits\n", "It is safe.\n\nLimits\n")
        self.assertIn("It is safe.", promises(text))
