# SPDX-License-Identifier: Apache-2.0
"""How far an image is looked into, and at what."""

import dataclasses
import typing

from tests import base
from tests.unit.verify import samples
from trove_tools import errors
from trove_tools.artifact import manifest
from trove_tools.artifact import verification
from trove_tools.catalog import loader
from trove_tools.verify import levels


def image(
    runtime: str = "container", **changes: typing.Any
) -> manifest.Manifest:
    entry = manifest.Datastore(
        "mariadb", "11.8", "mariadb", runtime, (), 1024, 4,
        containers=(
            manifest.Container(
                ("a.example:5000/x/mariadb:11.8", "mariadb:11.8")
            ),
        ),
    )  # fmt: skip
    return dataclasses.replace(
        samples.manifest(), **{"datastores": (entry,), **changes}
    )


class ChooseTest(base.TestCase):
    def test_the_highest_is_the_default(self) -> None:
        self.assertEqual("agent", levels.choose_level(image(), None))
        native = image("native")
        self.assertEqual("datastore", levels.choose_level(native, None))
        self.assertEqual("datastore", levels.choose_level(None, None))

    def test_no_manager_in_trove(self) -> None:
        (entry,) = image().datastores
        made = image(datastores=(dataclasses.replace(entry, manager=None),))
        self.assertEqual("datastore", levels.choose_level(made, None))

    def test_a_lower_one(self) -> None:
        self.assertEqual("boot", levels.choose_level(image(), "boot"))

    def refused(self, *words: typing.Any) -> str:
        error = self.assertRaises(
            errors.UsageError, levels.choose_level, *words
        )
        return f"{error.message}\n{error.hint}"

    def test_no_agent_for_a_native_image(self) -> None:
        said = self.refused(image("native"), "agent")
        self.assertIn("--level datastore", said)


class InstancesTest(base.TestCase):
    def setUp(self) -> None:
        super().setUp()
        self.catalog = loader.load()

    def test_of_a_manifest(self) -> None:
        series = {"trove": self.catalog.series.trove}
        (found,) = levels.list_instances(
            self.catalog, image(series=series), None
        )
        self.assertEqual(
            ("mariadb", "11.8", "mariadb", "a.example:5000/x/mariadb"),
            (found.name, found.version, found.manager, found.image),
        )
        self.assertEqual(("mysql", 3306), (found.protocol, found.port))

    def test_who_starts_in_an_isolated_network(self) -> None:
        series = {"trove": self.catalog.series.trove}
        for local in (True, False):
            made = image(series=series, plan={"local_manifests": local})
            (found,) = levels.list_instances(self.catalog, made, None)
            self.assertEqual(local, found.isolated)

    def test_one_of_several(self) -> None:
        made = image()
        (one,) = made.datastores
        both = (one, dataclasses.replace(one, name="postgresql"))
        made = dataclasses.replace(made, datastores=both)
        self.assertEqual(
            2, len(levels.list_instances(self.catalog, made, None))
        )
        (found,) = levels.list_instances(self.catalog, made, "postgresql")
        self.assertEqual(
            ("postgresql", "postgresql", 5432),
            (found.name, found.protocol, found.port),
        )
        error = self.assertRaises(
            errors.UsageError,
            levels.list_instances,
            self.catalog,
            made,
            "mysql",
        )
        self.assertIn("mariadb, postgresql", error.hint)

    def test_no_container_of_this_version(self) -> None:
        entry = manifest.Datastore(
            "mariadb", "10.11", "mariadb", "container", (), 1, 1,
            containers=(manifest.Container(("mariadb:11.8",)),),
        )  # fmt: skip
        made = image(datastores=(entry,))
        (found,) = levels.list_instances(self.catalog, made, None)
        self.assertEqual("", found.image)

    def test_another_series(self) -> None:
        error = self.assertRaises(
            errors.ImageError,
            levels.list_instances,
            self.catalog,
            image(series={"trove": "25"}),
            None,
        )
        self.assertIn("Trove 25", error.message)

    def test_no_manifest(self) -> None:
        (found,) = levels.list_instances(self.catalog, None, "mariadb")
        self.assertEqual("", found.image)
        error = self.assertRaises(
            errors.UsageError, levels.list_instances, self.catalog, None, None
        )
        self.assertIn("--datastore", error.hint)


class RecordTest(base.TestCase):
    def test_what_was_asked_counts(self) -> None:
        image = self.temp_dir() / "x.qcow2"
        manifest.sidecar(image).mkdir()
        asked = verification.Asked("agent", "auto", {"x": samples.HEALTH})
        from trove_tools.verify import outcome

        found = outcome.Report(image="x", level="agent")
        with found.check("boot"):
            pass
        written = verification.write(found.as_dict(), image, "abc", asked)
        self.assertEqual(written, verification.recall(image, "abc", asked))
        for other in (
            dataclasses.replace(asked, machine="container"),
            dataclasses.replace(asked, level="boot"),
            dataclasses.replace(asked, questions={}),
        ):
            self.assertIsNone(verification.recall(image, "abc", other))
        self.assertIsNone(verification.recall(image, "abd", asked))
