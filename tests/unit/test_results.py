# SPDX-License-Identifier: Apache-2.0
"""What a shell gets of the results of commands."""

import dataclasses
import json
import os
import re
import subprocess

import ddt

from doc.ext import commands
from minicloud import lifecycle
from tests import base
from trove_tools import results
from trove_tools.catalog import model
from trove_tools.config import table
from trove_tools.inspection import contents
from trove_tools.plan import plan
from trove_tools.verify import outcome

VALUES = (
    "", "it's", "a  b", "$(touch x) `touch x` ;&|<>\\", "*", "~", "a\nb\n",
    "!x", "\u20ac", "-n",
)  # fmt: skip
RESULT = results.Result("THING", ("value", "words", "rows", "ok"))


def fields(of: type) -> set[str]:
    return {field.name for field in dataclasses.fields(of)}


@ddt.ddt
class ResultsTest(base.TestCase):
    def shell(self, script: str) -> list[str]:
        done = subprocess.run(
            ["bash", "-euc", script], cwd=self.temp_dir(), check=True,
            capture_output=True, text=True,
        )  # fmt: skip
        return done.stdout.split("\x1f")[:-1]

    def lines(self, data: results.Row) -> str:
        import shlex

        return "\n".join(
            f"{name}={shlex.quote(value)}"
            for name, value in RESULT.variables(data)
        )

    def test_odd_values(self) -> None:
        for value in VALUES:
            found = self.shell(
                self.lines({"value": value, "words": VALUES})
                + "\neval \"words=($THING_WORDS)\""
                "\nprintf '%s\\037' \"$THING_VALUE\" \"${words[@]}\""
            )
            self.assertEqual([value, *VALUES], found)

    def test_kinds_of_values(self) -> None:
        data = {"value": 1.5, "words": [], "rows": [{"a": "b c"}], "ok": True}
        values = dict(RESULT.variables(data))
        self.assertEqual([{"a": "b c"}], json.loads(values["THING_ROWS"]))
        self.assertEqual(
            ["1.5", "", "true"],
            [values[f"THING_{name}"] for name in ("VALUE", "WORDS", "OK")],
        )
        values = dict(RESULT.variables({"rows": {"a": "b c"}, "value": "\0"}))
        self.assertEqual({"a": "b c"}, json.loads(values["THING_ROWS"]))
        self.assertEqual("", values["THING_VALUE"])

    def test_names_do_not_depend_on_the_result(self) -> None:
        for data in ({}, {"value": [], "other": 1}, {"rows": [{"a": 1}]}):
            names = [name for name, _ in RESULT.variables(data)]
            self.assertEqual(RESULT.names(), names)

    def test_several_things(self) -> None:
        many = dataclasses.replace(RESULT, fields=("value",), many=True)
        row = {"value": "x"}
        for data in (row, [row]):
            self.assertEqual(
                [("THING_COUNT", "1"), ("THING_0_VALUE", "x")],
                list(many.variables(data)),
            )
        names = [name for name, _ in many.variables([row, row])]
        self.assertEqual(
            ["THING_COUNT", "THING_0_VALUE", "THING_1_VALUE"], names
        )
        self.assertEqual(["THING_COUNT", "THING_N_VALUE"], many.names())

    @ddt.data(*commands.RESULTS)
    def test_no_variable_of_anybody_else(self, command: str) -> None:
        taken = {
            *os.environ,
            *(name for each in table.OPTIONS for name in each.environment),
            *self.shell("compgen -v | tr '\\n' '\\037'"),
        }
        result = commands.RESULTS[command]
        for name in result.names():
            self.assertRegex(name, r"^[A-Z]+(_[A-Z0-9]+)+$")
            self.assertNotIn(name, taken)
            self.assertIsNone(
                re.match("(TROVE|DIB|OS|GUEST|DATASTORE|BASH|LC)_", name)
            )

    def test_prefixes_differ(self) -> None:
        prefixes = [each.prefix for each in commands.RESULTS.values()]
        self.assertEqual(len(set(prefixes)), len(prefixes))

    def test_nothing_is_left_out(self) -> None:
        for result, known in (
            (results.VERIFY,
             {*fields(outcome.Report), "ok", "report_version", "sha256",
              "asked"}),
            (results.INSPECT,
             {*fields(contents.Contents), "image", "safe", "findings",
              "allowed", "datastores", "agent"}),
            (results.PLAN,
             {*fields(plan.Plan), "digest", "file", "image_in", "layers_in",
              "seconds", "needs"}),
            (results.SHOW, {*fields(model.Datastore), "series", "gate"}),
            (results.SERVICES, fields(lifecycle.Status)),
        ):  # fmt: skip
            self.assertEqual(known, set(result.fields), result.prefix)
