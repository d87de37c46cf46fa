# SPDX-License-Identifier: Apache-2.0
"""The command lines of the documentation are marked, and do what it shows.

Those that need a cloud are run by tests/functional/test_documentation.py.
"""

import ddt

from gate import command as gate
from gate import rules
from minicloud import command as minicloud
from tests import base
from tests import documentation
from trove_tools import errors
from trove_tools.cli import activate
from trove_tools.cli import builder
from trove_tools.cli import devstack
from trove_tools.cli import load

PAGES = [str(page.relative_to(base.ROOT)) for page in documentation.pages()]

PARSERS = {
    "activate-trove-image": activate.parser,
    "gate-jobs": gate.parser,
    "load-trove-image": load.parser,
    "minicloud": minicloud.parser,
    "trove-devstack": devstack.parser,
    "trove-image-builder": builder.parser,
}

BLOCK = """\
Text.

.. run: alone

.. code-block:: console

   $ echo one \\
       two
   one two
   $ true
"""


def read(text: str) -> list[documentation.Block]:
    found, wrong = documentation.blocks(text)
    assert not wrong, wrong
    return found


@ddt.ddt
class PagesTest(base.TestCase):
    timeout = 120

    @ddt.data(*PAGES)
    def test_marks(self, page: str) -> None:
        _, wrong = documentation.blocks((base.ROOT / page).read_text())
        self.assertEqual([], [f"{page}, {each}" for each in wrong])

    @ddt.data(*PAGES)
    def test_commands(self, page: str) -> None:
        found, _ = documentation.blocks((base.ROOT / page).read_text())
        story = documentation.story(found, "alone")
        if not story:
            return
        self.set_env(HOME=str(self.temp_dir()), XDG_CACHE_HOME=None)
        with documentation.Shell(self.temp_dir()) as shell:
            wrong = documentation.tell(story, shell, self.fail)
        self.assertEqual([], wrong, "\n".join([page, *wrong]))

    @ddt.data(*PAGES)
    def test_our_commands_take_it(self, page: str) -> None:
        # also what no test runs is what the commands of today take
        found, _ = documentation.blocks((base.ROOT / page).read_text())
        for block in found:
            for words in documentation.words(block):
                top = PARSERS.get(words[0].rpartition("/")[2])
                if top is not None:
                    try:
                        top().parse_args(words[1:])
                    except errors.UsageError as exc:
                        self.fail(f"{page}, line {block.line}: {exc}")

    def test_changes_of_a_story_run_it(self) -> None:
        for page in PAGES:
            found, _ = documentation.blocks((base.ROOT / page).read_text())
            if documentation.story(found, "cloud"):
                touched = {
                    word
                    for rule in rules.read()
                    if rule.matcher.matches(page)
                    for word in rule.touches
                }
                self.assertIn(rules.FUNCTIONAL, touched, page)


@ddt.ddt
class MarksTest(base.TestCase):
    def wrong(self, text: str) -> str:
        (wrong,) = documentation.blocks(text)[1]
        return wrong

    def test_good(self) -> None:
        (block,) = read(BLOCK)
        self.assertEqual(("alone", 5), (block.kind, block.line))
        one, two = block.commands
        self.assertEqual("echo one \\\n    two", one.line)
        self.assertEqual((["one two"], []), (one.output, two.output))

    def test_preparation(self) -> None:
        text = BLOCK.replace("alone", "cloud, after a new build")
        story = documentation.story(read(text), "cloud")
        self.assertEqual(
            ["after a new build", ""], [before for before, _ in story]
        )

    def test_reason_of_several_lines(self) -> None:
        text = BLOCK.replace("run: alone", "not run: it is\n   too long")
        (block,) = read(text)
        self.assertEqual(("", "it is too long"), (block.kind, block.reason))

    def test_words(self) -> None:
        text = BLOCK.replace("true", "true 'a b' | cat; x >y")
        self.assertEqual(
            [["echo", "one", "two"], ["true", "a b"], ["cat"], ["x"]],
            list(documentation.words(*read(text))),
        )

    def test_inside_a_list(self) -> None:
        lines = ["* a"] + [f"  {line}" for line in BLOCK.splitlines()]
        (block,) = read("\n".join(lines))
        self.assertEqual(2, len(block.commands))

    def test_literal_block(self) -> None:
        text = "Long text,\nrun this::\n\n    tools/quickstart\n"
        self.assertIn("line 2: neither", self.wrong(text))
        self.assertEqual(1, len(read(".. not run: takes long\n\n" + text)))

    @ddt.data(
        "an ini file::\n\n    [mariadb]\n    x = y\n",
        ".. code-block:: yaml\n\n   a: b\n",
        ".. code-block:: bash\n\n   enable_plugin trove x\n",
        ".. list-table::\n   :widths: 3 4\n\n   * - $ a\n",
    )
    def test_no_commands(self, text: str) -> None:
        self.assertEqual([], read(text))

    @ddt.data(
        ("", "neither"),
        ("x", "neither"),
        ("run: sometimes", "no kind"),
        ("not run:", "reason is missing"),
    )
    @ddt.unpack
    def test_bad_mark(self, mark: str, said: str) -> None:
        self.assertIn(said, self.wrong(BLOCK.replace("run: alone", mark)))

    def test_mark_must_be_directly_above(self) -> None:
        text = BLOCK.replace("alone\n", "alone\n\nMore text.\n")
        self.assertIn("neither", self.wrong(text))

    def test_commands_without_prompt(self) -> None:
        text = BLOCK.replace("$ ", "")
        self.assertIn("begins with $", self.wrong(text))


class RunTest(base.TestCase):
    def tell(self, *replaced: str) -> str:
        text = BLOCK.replace(*replaced) if replaced else BLOCK
        story = documentation.story(read(text), "alone")
        with documentation.Shell(self.temp_dir(), {"two": "2"}) as shell:
            return "".join(documentation.tell(story, shell, self.fail))

    def test_good(self) -> None:
        self.assertEqual("", self.tell())

    def test_other_output(self) -> None:
        self.assertIn("printed: one two", self.tell("   one two", "   one"))

    def test_less_output(self) -> None:
        self.assertIn("not printed", self.tell("one two\n", "one two\n   3\n"))

    def test_more_output(self) -> None:
        self.assertIn(
            "not shown: x", self.tell("two\n   o", "two; echo x\n   o")
        )

    def test_failure(self) -> None:
        self.assertIn("exit status 1", self.tell("$ true", "$ false"))

    def test_failure_that_is_shown(self) -> None:
        bad = "$ echo 'error: no'; false\n   error: no"
        self.assertEqual("", self.tell("$ true", bad))
        good = bad.replace("; false", "")
        self.assertIn("exit status 0", self.tell("$ true", good))

    def test_one_shell(self) -> None:
        more = "$ export A=5\n   $ cat; echo $A\n   5"
        self.assertEqual("", self.tell("$ true", more))

    def test_end_of_the_shell(self) -> None:
        self.assertRaisesRegex(
            AssertionError, "ended the shell", self.tell, "$ true", "$ exit 3"
        )


@ddt.ddt
class ComparisonTest(base.TestCase):
    def different(self, shown: str, said: str) -> str | None:
        return documentation.different(
            shown.split("|"), said.split("|"), documentation.Names()
        )

    @ddt.data(
        ("a|b", "a||b"),
        ("a|...|c", "a|b|b|c"),
        ("...|c", "c"),
        ("a|...", "a|b"),
        ("[   0 s] 331 MiB, 87 MiB/s", "[  12 s] 2.5 GiB, 1 MiB/s"),
        ("a   12.5 s   b", "a      9 min  b"),
        ("on 2026-01-31T00:00:00Z", "on 2026-11-23T13:00:00Z"),
        (" ──────────", " ───────"),
        ("11.8.6-MariaDB-0+deb13u1", "11.8.7-x"),
    )
    @ddt.unpack
    def test_same(self, shown: str, said: str) -> None:
        self.assertIsNone(self.different(shown, said))

    @ddt.data(
        ("a", "b"),
        ("a|b", "a"),
        ("a", "a|b"),
        ("a|...|d", "a|b|c"),
        ("mariadb:11.8", "mariadb:11.4"),
        ("38 added", "37 added"),
        ("yes   no", "yes   yes"),
    )
    @ddt.unpack
    def test_different(self, shown: str, said: str) -> None:
        self.assertIsNotNone(self.different(shown, said))

    def test_ids_keep_their_identity(self) -> None:
        one, two, three = (f"{digit * 64}" for digit in "123")
        self.assertIsNone(self.different(f"{one}|{one}", f"{two}|{two}"))
        self.assertIsNotNone(self.different(f"{one}|{one}", f"{two}|{three}"))
        self.assertIsNotNone(
            self.different(f"{one}|{two}", f"{three}|{three}")
        )
