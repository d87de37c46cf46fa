# SPDX-License-Identifier: Apache-2.0

import importlib.util
import textwrap
import typing

from tests import base

_spec = importlib.util.spec_from_file_location(
    "count_house", base.ROOT / "tools" / "lib" / "count_house.py"
)
assert _spec is not None and _spec.loader is not None
count_house: typing.Any = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(count_house)

_MODULES = {
    "__init__": "",
    "a": '''
        """Two lines
        of a docstring."""
        # a comment
        from trove_tools import b
        from trove_tools import verified

        def work():
            text = """one

            three"""
            raise b.UsageError(f"there is no {text} here", hint="try another")
    ''',
    "b": "from trove_tools import a",
    "verified": "from trove_tools import keyring",
    "keyring": "import os",
}


class CountHouseTest(base.TestCase):
    def setUp(self) -> None:
        super().setUp()
        self.root = self.temp_dir()
        package = self.root / "trove_tools"
        package.mkdir()
        for name, source in _MODULES.items():
            path = package / f"{name}.py"
            path.write_text(textwrap.dedent(source))
        (self.root / "README.rst").write_text(
            "Title of it\n===========\n\nA sentence of a page.  Another\n"
            "sentence follows here.\n\n.. code:: and no sentence at all\n"
        )
        self.trees = count_house.modules(self.root)

    def test_code_lines(self) -> None:
        # docstring, comment and blank lines do not count; a text's lines do
        self.assertEqual(2 + 5 + 3, count_house.code_lines(self.root))

    def test_imports(self) -> None:
        self.assertEqual(
            [f"trove_tools.{name}"
             for name in ("a", "b", "keyring", "verified")],
            count_house.single_importers(self.trees),
        )  # fmt: skip
        self.assertEqual(
            [["trove_tools.a", "trove_tools.b"]],
            count_house.cycles(self.trees),
        )

    def test_names(self) -> None:
        self.assertEqual(
            ["trove_tools.verified"],
            count_house.pictures(self.trees),
        )

    def test_sentences(self) -> None:
        self.assertEqual(
            ["Two lines of a docstring.", "there is no ... here",
             "A sentence of a page.", "Another sentence follows here."],
            [text for _, text in count_house.sentences(self.root)],
        )  # fmt: skip

    def test_calls(self) -> None:
        names = count_house.way_to_the_put()
        self.assertEqual("main", names[0].rpartition(".")[2])
        self.assertIn("trove_tools.cloud", names[-1])
