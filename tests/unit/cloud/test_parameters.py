# SPDX-License-Identifier: Apache-2.0
"""Configuration parameters: where they come from, what is changed."""

import importlib.machinery
import importlib.metadata
import importlib.util
import json
import pathlib
import typing
import zipfile

from tests import base
from tests.unit.cloud import fakes
from tests.unit.cloud import test_load
from trove_tools import errors
from trove_tools.catalog import loader
from trove_tools.cloud import connection
from trove_tools.cloud import parameters
from trove_tools.cloud import retry

RULES = [
    {"name": "a", "restart_required": True, "type": "integer",
     "min": 0, "max": 2**70},
    {"name": "b.c", "restart_required": False, "type": "string"},
    {"name": "d", "restart_required": False, "type": "boolean"},
]  # fmt: skip


class FindTest(base.TestCase):
    def setUp(self) -> None:
        super().setUp()
        self.tree = self.temp_dir()
        self.series = loader.load().series
        self.text = json.dumps({"configuration-parameters": RULES})
        place = self.tree / "trove" / "templates" / "mariadb"
        place.mkdir(parents=True)
        self.file = place / "validation-rules.json"
        self.file.write_text(self.text)

    def find(self, source: object, manager: str = "mariadb") -> typing.Any:
        return parameters.find(str(source), manager, self.series)

    def test_paths(self) -> None:
        wheel = self.temp_dir() / "trove-26.0.0-py3-none-any.whl"
        with zipfile.ZipFile(wheel, "w") as packed:
            packed.write(self.file, self.file.relative_to(self.tree))
        for source in (
            self.tree,
            self.tree / "trove",
            self.tree / "trove" / "templates",
            self.file,
            wheel,
        ):
            found = self.find(source)
            self.assertEqual(["a", "b.c", "d"], [each.name for each in found])
        self.assertEqual(2**63 - 1, found[0].high)

    def test_no_bound(self) -> None:
        """A rule that names none is not one that allows nothing but 0."""
        for said, low, high in (
            ({}, -(2**63) + 1, 2**63 - 1),
            ({"min": 1}, 1, 2**63 - 1),
            ({"max": 0}, -(2**63) + 1, 0),
        ):
            rules = [{"name": "a", "restart_required": True,
                      "type": "integer", **said}]  # fmt: skip
            self.file.write_text(
                json.dumps({"configuration-parameters": rules})
            )
            (found,) = self.find(self.file)
            self.assertEqual((low, high), (found.low, found.high))

    def test_none(self) -> None:
        self.assertIsNone(self.find("none"))

    def test_not_there(self) -> None:
        empty = self.temp_dir() / "x.whl"
        with zipfile.ZipFile(empty, "w"):
            pass
        for source in (self.temp_dir(), self.tree / "none"):
            error = self.assertRaises(errors.UsageError, self.find, source)
            self.assertIn("no rules for the manager", error.message)
        self.assertRaises(errors.UsageError, self.find, self.tree, "mysql")

    def test_nonsense(self) -> None:
        for text in ("", "[]", '{"configuration-parameters": [{}]}'):
            self.file.write_text(text)
            error = self.assertRaises(errors.UsageError, self.find, self.file)
            self.assertIn("not rules for configuration", error.message)

    def installed(self, version: str) -> None:
        spec = importlib.machinery.ModuleSpec("trove", None, is_package=True)
        spec.submodule_search_locations = [str(self.tree / "trove")]
        self.patch_object(importlib.util, "find_spec", lambda name: spec)
        self.patch_object(importlib.metadata, "version", lambda name: version)

    def test_installed(self) -> None:
        self.installed(f"{self.series.trove}.1.0")
        self.assertEqual(3, len(self.find("auto")))
        self.assertIsNone(self.find("auto", "mysql"))

    def test_another_release_is_installed(self) -> None:
        self.installed("1.0")
        self.assertIsNone(self.find("auto"))

    def test_nothing_is_installed(self) -> None:
        self.patch_object(importlib.util, "find_spec", lambda name: None)
        self.assertIsNone(self.find("auto"))


class LoadTest(base.TestCase):
    def setUp(self) -> None:
        super().setUp()
        self.cloud = self.useFixture(fakes.Cloud(self.temp_dir()))
        self.patch_object(retry, "PAUSE", 0)
        self.planned: list[connection.Change] | None = None
        file = pathlib.Path(self.temp_dir(), "rules.json")
        file.write_text(json.dumps({"configuration-parameters": RULES}))
        found = parameters.find(str(file), "x", loader.load().series)
        assert found is not None
        self.rules = found

    def load(self) -> str:
        cloud = connection.connect(fakes.settings(), planned=self.planned)
        self.cloud.calls.clear()
        return parameters.Parameters(cloud.databases).load("v1", self.rules)

    def changes(self) -> list[str]:
        return [c for c in self.cloud.calls if not c.startswith("GET")]

    def test_load_and_again(self) -> None:
        self.assertEqual(
            "2 added, 1 of a kind that Trove's API does not take", self.load()
        )
        known = self.cloud.parameters["v1"]
        self.assertEqual(
            {"name": "a", "restart_required": True, "type": "integer",
             "max_size": 2**63 - 1},
            known[0],
        )  # fmt: skip
        self.assertIn("unchanged", self.load())
        self.assertEqual([], self.changes())

    def test_what_differs_is_changed(self) -> None:
        self.load()
        known = self.cloud.parameters["v1"]
        known[1]["restart_required"] = True
        known.append({"name": "own", "type": "string",
                      "restart_required": False})  # fmt: skip
        self.assertIn("1 changed", self.load())
        self.assertEqual(
            ["PUT /mgmt/datastores/versions/v1/parameters/b.c"],
            self.changes(),
        )
        self.assertIn("own", [each["name"] for each in known])

    def test_trove_is_busy(self) -> None:
        self.cloud.faults = [("POST .*", 503, "busy")]
        self.assertRaises(errors.CloudError, self.load)
        self.assertEqual(retry.ATTEMPTS, len(self.changes()))
        self.cloud.faults = []
        self.assertIn("2 added", self.load())

    def test_dry(self) -> None:
        self.planned = []
        self.load()
        self.assertEqual([], self.changes())
        self.assertEqual(["POST", "POST"], [c.method for c in self.planned])


class ParametersTest(test_load.LoadCase):
    """A Trove that is not here is worth a line where users miss it."""

    words = "has no configuration parameters"

    def setUp(self) -> None:
        super().setUp()
        self.patch_object(
            parameters, "_installed", lambda *_: None
        )

    def test_said_once(self) -> None:
        row = self.load(parameters="auto")
        self.assertEqual("none", row["parameters"])
        self.assertIn(f"{test_load.NAME} {self.words}", self.said.getvalue())
        self.said.truncate(0)
        self.load(parameters="auto")
        self.assertNotIn(self.words, self.said.getvalue())

    def test_they_are_there(self) -> None:
        self.cloud.versions["v"] = fakes.version("11.8", id="v")
        self.cloud.parameters["v"] = [
            {"name": "a", "restart_required": False, "type": "string"}
        ]
        row = self.load(parameters="auto", activate=True)
        self.assertEqual("1 there already", row["parameters"])
        self.assertNotIn(self.words, self.said.getvalue())

    def test_none_are_wanted(self) -> None:
        self.load(parameters="none", activate=True)
        self.assertNotIn(self.words, self.said.getvalue())
