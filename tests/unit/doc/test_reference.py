# SPDX-License-Identifier: Apache-2.0
"""The reference that is made from the code: nothing is left out of it."""

from doc.ext import commands
from doc.ext import elements
from doc.ext import graph
from doc.ext import schemas
from tests import base
from trove_tools.config import table


class CommandsTest(base.TestCase):
    def test_every_option_of_every_command(self) -> None:
        # an option of no command would be one that nobody can give
        text = "\n".join(commands.commands())
        for option in table.OPTIONS:
            self.assertRegex(text, rf"option:: (.*, )?{option.flag}\b")
            for variable in option.environment:
                self.assertIn(f"``{variable}``", text)

    def test_every_program_is_there(self) -> None:
        scripts = (base.ROOT / "setup.cfg").read_text()
        for program in commands.PROGRAMS:
            if program.startswith("tools/"):
                self.assertTrue((base.ROOT / program).exists(), program)
            else:
                self.assertIn(f"\n    {program} = ", scripts)
        for line in scripts.partition("console_scripts =\n")[2].splitlines():
            if "= trove_tools.cli." not in line:
                break
            self.assertIn(line.split()[0], commands.PROGRAMS)

    def test_what_a_command_takes(self) -> None:
        text = "\n".join(commands.commands())
        self.assertIn("trove-image-builder show [OPTION...] DATASTORE\n", text)
        self.assertIn("load-trove-image [OPTION...] [IMAGE]...\n", text)

    def test_settings_have_every_name(self) -> None:
        text = "\n".join(commands.settings())
        for option in table.OPTIONS:
            self.assertIn(f"* - ``{option.name}``", text)


class ElementsTest(base.TestCase):
    def test_every_element_with_its_variables(self) -> None:
        text = "\n".join(elements.elements())
        for directory in elements.DIRECTORY.iterdir():
            if (directory / "README.rst").exists():
                self.assertIn(f".. _element-{directory.name}:", text)
        self.assertIn("DIB_TROVE_AGENT_GIT_URL\n  :Required: No", text)
        self.assertIn("Depends on: :ref:`trove-docker <element", text)
        self.assertIn("Datastores that name it: couchbase.", text)
        self.assertNotIn("element_deps::", text)

    def test_picture_has_every_element(self) -> None:
        text = "\n".join(elements.picture())
        for name in elements.needs():
            self.assertIn(f'<a href="#element-{name}">', text)


class GraphTest(base.TestCase):
    def test_what_follows_is_left_out(self) -> None:
        needs = {"a": ["b", "c"], "b": ["c"], "c": []}
        self.assertEqual(
            {"a": ["b"], "b": ["c"], "c": []}, graph.reduced(needs)
        )

    def test_what_is_needed_stands_to_the_left(self) -> None:
        needs = {"a": ["b"], "b": ["c"], "c": [], "d": [], "e": ["d", "b"]}
        self.assertEqual(
            [["c"], ["b", "d"], ["a", "e"]], graph.columns(needs)
        )

    def test_what_stands_alone_is_drawn_below(self) -> None:
        drawn = graph.svg({"a": ["b"], "b": [], "c": []}, "<title>", "#{}")
        self.assertEqual(3, drawn.count("<text "))
        self.assertEqual(1, drawn.count('class="head"'))
        self.assertIn("&lt;title&gt;", drawn)


class SchemasTest(base.TestCase):
    def test_manifest(self) -> None:
        text = "\n".join(schemas.manifest())
        self.assertIn("* - ``build_id``\n", text)
        self.assertIn("* - ``dev`` (optional)\n     - true or false", text)
        self.assertIn("list of: :ref:`schema-manifest-datastores`", text)
        self.assertIn(".. _schema-manifest-datastores:", text)

    def test_catalog(self) -> None:
        text = "\n".join(schemas.catalog("datastore"))
        # what the schema's allOf requires
        for name, runtime in (("services", "native"),
                              ("container", "container")):  # fmt: skip
            self.assertIn(
                f"``{name}`` (required in ``{runtime}``, else optional)", text
            )
        self.assertIn("``supported`` or ``image-only``", text)
        self.assertIn(".. _schema-datastore-native:", text)
