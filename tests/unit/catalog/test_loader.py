# SPDX-License-Identifier: Apache-2.0
"""The catalog: what is shipped is valid, and what is broken is told."""

import os
import pathlib
import shutil
import typing

import yaml

from tests import base
from tests.unit.plan import samples
from trove_tools import errors
from trove_tools.catalog import loader
from trove_tools.catalog import native
from trove_tools.host import paths
from trove_tools.plan import elements
from trove_tools.plan import plan
from trove_tools.plan import request
from trove_tools.sources.container import recipes

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
                    self.assertTrue(recipes.read(container.recipe).directory)

    def test_has_the_dozen(self) -> None:
        self.assertEqual(
            {"cassandra", "couchbase", "couchdb", "db2", "mariadb", "mongodb",
             "mysql", "percona", "postgresql", "pxc", "redis", "vertica"},
            set(self.catalog.datastores),
        )  # fmt: skip
        for datastore in self.catalog.datastores.values():
            self.assertLessEqual(2, len(datastore.versions), datastore.name)
            self.assertIn("native", datastore.runtimes)

    def test_every_system_is_made_for_or_refused_with_a_reason(self) -> None:
        for datastore in self.catalog.datastores.values():
            default = datastore.version()
            systems = {
                system
                for version in datastore.versions.values()
                for names in (version.guests.get("native", ()),
                              version.refused)
                for system in names
            }  # fmt: skip
            if datastore.source("native") != native.DISTRIBUTION:
                self.assertEqual(
                    set(self.catalog.guests), systems, datastore.name
                )
            self.assertTrue(default.supported("native"), datastore.name)

    def test_every_native_says_what_it_takes(self) -> None:
        for datastore in self.catalog.datastores.values():
            for version in datastore.versions.values():
                for system, found in version.native.items():
                    where = (datastore.name, version.version, system)
                    self.assertTrue(found.packages or found.file, where)
                    self.assertTrue(found.services, where)
                    self.assertTrue(found.data, where)
                    texts = repr(found)
                    self.assertNotRegex(texts, r"\{[a-z]+\}", where)
                    if found.repository is not None:
                        self.assertTrue(found.repository.fingerprints, where)
                    family = self.catalog.guest(system).family
                    if found.repository is not None and family == "debian":
                        self.assertTrue(found.repository.suite, where)
                        self.assertTrue(found.repository.components, where)

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
            loader.validation, "find_violations", lambda data, schema: 1 / 0
        )
        self.assertEqual(self.catalog, loader.load())

    def test_second_load_parses_nothing(self) -> None:
        self.patch_object(yaml, "load", lambda *_: 1 / 0)
        self.assertEqual(self.catalog, loader.load())

    def test_damaged_cache(self) -> None:
        (cached,) = (paths.user_cache() / "catalog").iterdir()
        for content in ("", "{", "[]"):
            cached.write_text(content)
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

    def test_what_is_no_file(self) -> None:
        further = self.temp_dir()
        os.mkfifo(further / "x.yaml")
        (problem,) = self.problems(further)
        self.assertIn("it is not a regular file", problem)

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

    def test_contradictions_of_a_native_one(self) -> None:
        self.file = self.directory / "datastores" / "mongodb.yaml"
        data = yaml.safe_load(self.file.read_text())
        native = data["runtimes"]["native"]
        del native["services"]
        native["guests"]["gentoo"] = {}
        found = "\n".join(self.problems_of(runtimes=data["runtimes"]))
        self.assertIn("'services' is a required property", found)
        native["services"] = ["mongod"]
        del native["repository"]["key"]
        data["versions"][0]["unsupported"] = {"debian-13": "x"}
        data["versions"][1]["refused"]["debian-12"] = "x"
        found = "\n".join(
            self.problems_of(
                runtimes=data["runtimes"], versions=data["versions"]
            )
        )
        self.assertIn("unknown guest system 'gentoo'", found)
        self.assertIn("nothing says repository.key for debian-12", found)
        self.assertIn("not among those that it can be made for", found)
        self.assertIn("refused.debian-12: it is among those", found)

    def problems_of(self, **changes: typing.Any) -> list[str]:
        self.change(**changes)
        return self.problems()

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

    def test_contradictions_of_a_container(self) -> None:
        runtimes = yaml.safe_load(self.file.read_text())["runtimes"]
        container = runtimes["container"]["container"]
        container["suites"]["9"] = "sid"
        container["command"] = ["mariadbd"]
        found = "\n".join(self.problems_of(runtimes=runtimes))
        self.assertIn("needs a recipe, or else a command", found)
        self.assertIn("suites.9: there are no packages of it", found)

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


# a catalog file of a datastore, up to the runtimes of its only version
_ETCD = (
    "name: etcd\ntitle: etcd\nsummary: A store of keys and values\n"
    "tier: image-only\ndefault_version: '3.5'\nports: [2379]\n"
    "min_ram: 512\nmin_disk: 4\nversions:\n  - version: '3.5'\n"
)


class FurtherTest(base.TestCase):
    def test_a_thirteenth_native_one_takes_one_file(self) -> None:
        self.set_env(XDG_CACHE_HOME=str(self.temp_dir()))
        place = self.temp_dir()
        (place / "etcd.yaml").write_text(
            f"{_ETCD}"
            "    runtimes: {native: [debian-13]}\nruntimes:\n  native:\n"
            "    elements: []\n    packages: [etcd-server]\n"
            "    services: [etcd]\n    data: /var/lib/etcd\n    health:\n"
            "      {protocol: http, port: 2379, query: /version,\n"
            "       expect: '\"etcdserver\":\"{version}\\.'}\n"
        )
        catalog = loader.load([place])
        made = plan.make(
            request.make(["etcd"], samples.settings(), catalog)
        )
        layer = made.layers[2]
        self.assertIn("trove-datastore-native", layer.elements)
        self.assertEqual(
            ["etcd-server"], list(layer.natives[0].settings.packages)
        )
        health = catalog.datastore("etcd").health(None, "3.5")
        self.assertRegex('{"etcdserver":"3.5.16"}', health.expect)

    def test_a_container_of_another_suite_takes_one_file(self) -> None:
        self.set_env(XDG_CACHE_HOME=str(self.temp_dir()))
        place = self.temp_dir()
        (place / "etcd.yaml").write_text(
            f"{_ETCD}"
            "    runtimes: {container: [debian-13]}\nruntimes:\n"
            "  container:\n    elements: [trove-datastore-containers]\n"
            "    container:\n      image: quay.io/coreos/etcd\n"
            "      names: [etcd]\n      variable: ETCD_VERSION\n"
            "      packages: {'3.5': {debian-13: [etcd-server]}}\n"
            "      suites: {'3.5': sid}\n"
            "      command: [etcd, --data-dir, /var/lib/etcd]\n"
            "      data: /var/lib/etcd\n    health:\n"
            "      {protocol: http, port: 2379, query: /version,\n"
            "       expect: '\"etcdserver\":\"{version}\\.'}\n"
        )
        catalog = loader.load([place])
        made = plan.make(
            request.make(["etcd"], samples.settings(), catalog)
        )
        (container,) = made.containers
        self.assertEqual("packages", container.source)
        self.assertEqual("sid", container.suite)
        self.assertEqual("trixie", made.guest["release"])
        # nothing of it reaches what the guest is made of
        for layer in made.layers:
            self.assertNotIn("sid", layer.environment.values())
        self.assertEqual("/var/lib/etcd", container.data)
        self.assertEqual(2379, container.port)

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
