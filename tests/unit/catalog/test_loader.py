# SPDX-License-Identifier: Apache-2.0
"""The catalog: what is shipped is valid, and what is broken is told."""

import pathlib
import shutil
import typing

import yaml

from tests import base
from trove_tools import errors
from trove_tools.catalog import loader
from trove_tools.container import recipes
from trove_tools.image import elements

SHIPPED = loader.DIRECTORY / "datastores"


class ShippedTest(base.TestCase):
    def setUp(self) -> None:
        super().setUp()
        self.set_env(XDG_CACHE_HOME=str(self.temp_dir()))
        self.catalog = loader.load()

    def test_has_mariadb(self) -> None:
        mariadb = self.catalog.datastore("mariadb")
        self.assertEqual("mariadb", mariadb.manager)
        self.assertEqual((3306,), mariadb.ports)
        self.assertEqual("mysql", mariadb.runtime().health.protocol)
        self.assertIn(mariadb.default_version, mariadb.versions)

    def test_every_element_is_there(self) -> None:
        for datastore in self.catalog.datastores.values():
            for runtime in datastore.runtimes.values():
                for name in runtime.elements:
                    self.assertTrue((elements.DIRECTORY / name).is_dir(), name)

    def test_every_container_has_its_recipe(self) -> None:
        for datastore in self.catalog.datastores.values():
            for runtime in datastore.runtimes.values():
                container = runtime.container
                if container is None:
                    continue
                for version, systems in container.packages.items():
                    for system in systems:
                        known = datastore.version(version).guests
                        self.assertIn(system, known["container"])
                    self.assertEqual(
                        container.recipe,
                        recipes.read(container.recipe).directory.name,
                    )

    def test_every_package_is_installed_by_an_element(self) -> None:
        for datastore in self.catalog.datastores.values():
            for runtime in datastore.runtimes.values():
                installed: set[str] = set()
                if not runtime.packages:
                    continue
                for name in runtime.elements:
                    file = elements.DIRECTORY / name / "package-installs.yaml"
                    installed.update(yaml.safe_load(file.read_text()))
                self.assertLessEqual(set(runtime.packages), installed)

    def test_series_stands_in_one_place(self) -> None:
        series = self.catalog.series
        package = loader.DIRECTORY.parent
        for file in package.rglob("*"):
            if file.suffix not in (".py", ".yaml", ".bash", ""):
                continue
            if not file.is_file() or file.name == "series.yaml":
                continue
            text = file.read_text(errors="replace")
            self.assertNotIn(series.name, text, file)
            self.assertNotIn(series.requirement, text, file)

    def test_second_load_needs_no_schema(self) -> None:
        self.patch_object(
            loader.problems, "violations", lambda data, schema: 1 / 0
        )
        self.assertEqual(self.catalog, loader.load())

    def test_cache_that_cannot_be_written(self) -> None:
        blocked = self.temp_dir() / "file"
        blocked.touch()
        self.set_env(XDG_CACHE_HOME=str(blocked))
        self.assertEqual(self.catalog, loader.load())


class BrokenTest(base.TestCase):
    def setUp(self) -> None:
        super().setUp()
        self.set_env(XDG_CACHE_HOME=str(self.temp_dir()))
        self.directory = self.temp_dir() / "catalog"
        shutil.copytree(loader.DIRECTORY, self.directory)
        self.file = self.directory / "datastores" / "mariadb.yaml"

    def change(self, **changes: typing.Any) -> None:
        data = yaml.safe_load(self.file.read_text())
        for key, value in changes.items():
            if value is None:
                del data[key]
            else:
                data[key] = value
        self.file.write_text(yaml.safe_dump(data, sort_keys=False))

    def problems(self, *further: pathlib.Path) -> list[str]:
        error = self.assertRaises(
            errors.CatalogError, loader.load, further, self.directory
        )
        self.assertEqual(errors.EXIT_USAGE, error.exit_status)
        for problem in error.problems:
            self.assertIn(problem, error.message)
        return list(error.problems)

    def line(self, text: str) -> int:
        lines = self.file.read_text().splitlines()
        return next(
            number
            for number, line in enumerate(lines, 1)
            if line.strip().startswith(text)
        )

    def test_all_problems_are_told(self) -> None:
        self.change(tier="best", min_ram="much", title=None)
        found = "\n".join(self.problems())
        self.assertIn(
            f"{self.file}:{self.line('tier:')}: tier: 'best' is not one of"
            " ['supported', 'image-only']",
            found,
        )
        self.assertIn(f"{self.line('min_ram:')}: min_ram: 'much'", found)
        self.assertIn("write it as integer", found)
        self.assertIn("'title' is a required property", found)

    def test_unknown_key_names_the_allowed(self) -> None:
        self.change(default_verison="1")
        (problem,) = self.problems()
        self.assertIn("'default_verison' was unexpected", problem)
        self.assertIn("default_version", problem.partition("allowed:")[2])

    def test_version_without_quotes(self) -> None:
        self.change(default_version=11.8)
        (problem,) = self.problems()
        self.assertIn("write it as string, in quotes", problem)

    def test_no_yaml(self) -> None:
        self.file.write_text("name: mariadb\nports: [3306\ntier: x\n")
        (problem,) = self.problems()
        self.assertRegex(problem, rf"{self.file}:\d+: not YAML: ")

    def test_binary(self) -> None:
        self.file.write_bytes(b"\x80\x81: \xff")
        (problem,) = self.problems()
        self.assertIn("not YAML", problem)

    def test_empty(self) -> None:
        self.file.write_text("")
        (problem,) = self.problems()
        self.assertIn("is not of type 'object'", problem)

    def test_contradictions(self) -> None:
        self.change(
            name="maria",
            default_version="1.0",
            manager=None,
            versions=[
                {"version": "2", "runtimes": {"native": ["debian-1"]}},
                {"version": "2", "runtimes": {"native": ["debian-13"]}},
            ],
        )
        found = "\n".join(self.problems())
        self.assertIn("'maria' must be the file's name, 'mariadb'", found)
        self.assertIn("'1.0' is not among the versions; allowed: 2", found)
        self.assertIn("'2' stands there twice", found)
        self.assertIn("names its manager", found)
        self.assertIn("versions[0].runtimes.native: unknown guest", found)
        self.assertIn("allowed: debian-13, debian-12", found)

    def test_bad_regular_expression(self) -> None:
        data = yaml.safe_load(self.file.read_text())
        data["runtimes"]["native"]["health"]["expect"] = "("
        self.change(runtimes=data["runtimes"])
        (problem,) = self.problems()
        self.assertIn("runtimes.native.health.expect", problem)

    def test_several_files(self) -> None:
        self.change(tier="best")
        (self.directory / "series.yaml").write_text("name: x\n")
        self.assertGreater(len(self.problems()), 4)


class FurtherTest(base.TestCase):
    def test_one_file_adds_a_datastore(self) -> None:
        self.set_env(XDG_CACHE_HOME=str(self.temp_dir()))
        data = yaml.safe_load((SHIPPED / "mariadb.yaml").read_text())
        data["name"] = "thirteenth"
        place = self.temp_dir()
        (place / "thirteenth.yaml").write_text(yaml.safe_dump(data))
        catalog = loader.load([place])
        added = catalog.datastore("thirteenth")
        self.assertEqual("11.8", added.version().version)
        self.assertIn("mariadb", catalog.datastores)

    def test_no_such_directory(self) -> None:
        error = self.assertRaises(
            errors.UsageError, loader.load, [pathlib.Path("/nowhere")]
        )
        self.assertIn("--catalog", error.hint or "")


class LookUpTest(base.TestCase):
    def setUp(self) -> None:
        super().setUp()
        self.set_env(XDG_CACHE_HOME=str(self.temp_dir()))
        self.catalog = loader.load()

    def test_unknown_datastore_suggests(self) -> None:
        error = self.assertRaises(
            errors.UsageError, self.catalog.datastore, "mariabd"
        )
        self.assertIn("did you mean mariadb?", error.hint or "")

    def test_unknown_version_suggests(self) -> None:
        mariadb = self.catalog.datastore("mariadb")
        error = self.assertRaises(errors.UsageError, mariadb.version, "11.9")
        self.assertIn("did you mean 11.8?", error.hint or "")
        self.assertIn("10.11", error.hint or "")

    def test_unknown_guest_and_runtime(self) -> None:
        error = self.assertRaises(
            errors.UsageError, self.catalog.guest, "debian"
        )
        self.assertIn("debian-13", error.hint or "")
        mariadb = self.catalog.datastore("mariadb")
        self.assertRaises(errors.UsageError, mariadb.runtime, "podman")
