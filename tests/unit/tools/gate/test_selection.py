# SPDX-License-Identifier: Apache-2.0
"""Which jobs run for which change."""

from gate import guests
from gate import selection
from tests import base
from tests.unit.tools.gate import tree
from trove_tools.catalog import loader

ELEMENTS = "trove_tools/elements"


class SelectionCase(base.TestCase):
    def setUp(self) -> None:
        super().setUp()
        self.set_env(XDG_CACHE_HOME=str(self.temp_dir()))
        self.catalog = loader.load()
        self.images = guests.images(self.catalog)
        self.scenarios = guests.scenarios(self.catalog)

    def chosen(self, pipeline: str, *files: str) -> set[str]:
        """Return the images and scenarios that a change runs."""
        names = {each.name for each in (*self.images, *self.scenarios)}
        found = selection.run(self.catalog, pipeline, files)
        return names.intersection(job.name for job, _ in found)

    def of_datastore(self, name: str) -> set[str]:
        return {
            each.name
            for each in (*self.images, *self.scenarios)
            if each.datastore.name == name
        }

    def representatives(self) -> set[str]:
        return {
            each.name
            for group in (self.images, self.scenarios)
            for each in guests.representatives(group).values()
        }

    def voting(self, names: set[str]) -> set[str]:
        refused = {each.name for each in self.images if not each.voting}
        return names - refused


class DatastoreTest(SelectionCase):
    def test_entry_runs_its_datastore_alone(self) -> None:
        for name in self.catalog.datastores:
            file = f"trove_tools/catalog/datastores/{name}.yaml"
            wanted = self.of_datastore(name)
            self.assertNotEqual(set(), wanted)
            self.assertEqual(wanted, self.chosen("check", file))
            self.assertEqual(self.voting(wanted), self.chosen("gate", file))

    def test_element_of_one_datastore(self) -> None:
        for pipeline in selection.PIPELINES:
            found = self.chosen(pipeline, f"{ELEMENTS}/trove-db2/install.d/x")
            self.assertEqual(self.voting(self.of_datastore("db2")), found)

    def test_recipe_runs_containers_of_its_datastore(self) -> None:
        file = "trove_tools/sources/container/recipes/mariadb/recipe.yaml"
        found = self.chosen("check", file)
        self.assertTrue(found)
        for each in (*self.images, *self.scenarios):
            wanted = (
                each.datastore.name == "mariadb"
                and each.runtime == "container"
            )
            self.assertEqual(wanted, each.name in found, each.name)

    def test_two_files_run_what_each_runs(self) -> None:
        redis, mysql = (
            f"trove_tools/catalog/datastores/{name}.yaml"
            for name in ("redis", "mysql")
        )
        self.assertEqual(
            self.chosen("check", redis) | self.chosen("check", mysql),
            self.chosen("check", redis, mysql),
        )


class SharedTest(SelectionCase):
    def test_one_of_each_kind_then_all(self) -> None:
        for file in (
            f"{ELEMENTS}/trove-guest/element-deps",
            "trove_tools/build/build.py",
            "trove_tools/catalog/guests.yaml",
        ):
            self.assertEqual(
                self.representatives(), self.chosen("check", file), file
            )
            everything = {each.name for each in self.images}
            everything.update(each.name for each in self.scenarios)
            self.assertEqual(
                self.voting(everything), self.chosen("gate", file), file
            )

    def test_only_what_has_the_element(self) -> None:
        file = f"{ELEMENTS}/trove-docker/element-deps"
        containers = {
            each.name
            for each in (*self.images, *self.scenarios)
            if each.runtime == "container"
        }
        self.assertEqual(containers, self.chosen("gate", file))
        self.assertEqual(
            containers & self.representatives(), self.chosen("check", file)
        )

    def test_those_who_ask_for_it(self) -> None:
        # the catalog's "hugepages: never" asks for it
        file = f"{ELEMENTS}/trove-hugepages-off/element-deps"
        found = self.chosen("check", file)
        for each in self.images:
            asked = "trove-hugepages-off" in each.named
            self.assertEqual(asked, each.name in found, each.name)
        self.assertTrue(found.issuperset(self.of_datastore("redis")))

    def test_every_element_is_tried_in_check(self) -> None:
        for name in guests.known():
            file = f"{ELEMENTS}/{name}/element-deps"
            having = {each.name for each in self.images
                      if name in each.elements}  # fmt: skip
            found = self.chosen("check", file)
            if having:
                self.assertTrue(found & having, name)
            having.update(each.name for each in self.scenarios)
            self.assertTrue(having.issuperset(found), name)

    def test_native_code_runs_no_container(self) -> None:
        found = self.chosen("gate", "trove_tools/sources/native/apt.py")
        self.assertEqual(
            {
                each.name
                for each in self.images
                if each.voting and each.runtime == "native"
            },
            found,
        )

    def test_loading_runs_scenarios_alone(self) -> None:
        found = self.chosen("gate", "trove_tools/cloud/load.py")
        self.assertEqual({each.name for each in self.scenarios}, found)

    def test_words_alone_build_nothing(self) -> None:
        for file in ("doc/source/index.rst", "README.rst", "LICENSE",
                     f"{ELEMENTS}/trove-guest/README.rst"):  # fmt: skip
            self.assertEqual(set(), self.chosen("gate", file), file)


class RepresentativesTest(SelectionCase):
    def test_they_differ(self) -> None:
        found = guests.representatives(self.images)
        self.assertEqual(list(guests.KINDS), list(found))
        for what in ("system", "datastore"):
            names = {getattr(each, what).name for each in found.values()}
            self.assertEqual(len(found), len(names), what)
        self.assertTrue(all(each.voting for each in found.values()))

    def test_scenarios_of_different_datastores(self) -> None:
        found = guests.representatives(self.scenarios)
        self.assertEqual({"basic", "backup", "replication"}, set(found))
        names = {each.datastore.name for each in found.values()}
        self.assertEqual(3, len(names))


class WholeTreeTest(SelectionCase):
    def test_every_file_is_explained(self) -> None:
        unknown = [
            file
            for file in tree.files(self)
            if not selection.explained(self.catalog, file)
        ]
        self.assertEqual(
            [], unknown, "say in tools/lib/gate/rules.yaml what they touch"
        )

    def test_every_pair_has_a_job(self) -> None:
        found = {
            (each.datastore.name, each.runtime, each.system.name)
            for each in self.images
        }
        for store in self.catalog.datastores.values():
            for runtime in store.runtimes:
                for system in self.catalog.guests.values():
                    given = (
                        system.family != "debian"
                        and store.source(runtime) == "file"
                    )
                    if store.version_for(runtime, system.name) and not given:
                        self.assertIn(
                            (store.name, runtime, system.name), found
                        )

    def test_names_are_unique(self) -> None:
        for pipeline in selection.PIPELINES:
            names = [j.name for j in selection.jobs(self.catalog, pipeline)]
            self.assertEqual(len(set(names)), len(names))
