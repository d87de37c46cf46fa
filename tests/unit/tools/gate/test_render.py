# SPDX-License-Identifier: Apache-2.0
"""zuul.d, and the documentation's table, are what the catalog makes."""

import dataclasses

import yaml

from gate import guests
from gate import page
from gate import render
from gate import selection
from tests import base
from trove_tools.catalog import loader

_STALE = "run: tools/gate-jobs --write"


class RenderTest(base.TestCase):
    def setUp(self) -> None:
        super().setUp()
        self.set_env(XDG_CACHE_HOME=str(self.temp_dir()))
        self.catalog = loader.load()

    def test_files_are_up_to_date(self) -> None:
        for name, text in render.files(self.catalog).items():
            file = base.ROOT / "zuul.d" / name
            self.assertEqual(text, file.read_text(), _STALE)

    def test_pages_are_up_to_date(self) -> None:
        every = ""
        for name in page.PAGES:
            text = (base.ROOT / name).read_text()
            self.assertIn(".. catalog table", text)
            self.assertEqual(page.update(text, self.catalog), text, _STALE)
            every += text
        self.assertIn(page.TYPICAL[0][0], every)

    def test_ten_changes_of_files_that_exist(self) -> None:
        self.assertEqual(10, len(page.TYPICAL))
        for _, file in page.TYPICAL:
            self.assertTrue((base.ROOT / file).is_file(), file)

    def test_writing_twice_changes_nothing(self) -> None:
        top = self.temp_dir()
        (top / "zuul.d").mkdir()
        self.assertEqual(3, len(render.write(self.catalog, top)))
        self.assertEqual([], render.write(self.catalog, top))

    def test_yaml_says_what_was_meant(self) -> None:
        (stanza,) = yaml.safe_load(
            render.files(self.catalog)["projects.yaml"]
        )
        for pipeline in selection.PIPELINES:
            jobs = selection.jobs(self.catalog, pipeline)
            listed = stanza["project"][pipeline]["jobs"]
            for job, entry in zip(jobs, listed, strict=True):
                if isinstance(entry, str):
                    entry = {entry: {}}
                ((name, said),) = entry.items()
                self.assertEqual(job.name, name)
                self.assertEqual(
                    [each.pattern for each in job.matchers],
                    said.get("files", []),
                )
                self.assertEqual(job.voting, said.get("voting", True))

    def test_each_datastore_that_trove_starts_is_published(self) -> None:
        self.assertEqual(
            {
                store.name
                for store in self.catalog.datastores.values()
                if store.tier == "supported"
            },
            {each.datastore.name for each in render.published(self.catalog)},
        )

    def test_jobs_of_packages_that_vendors_give_use_stand_ins(self) -> None:
        jobs = {
            each["job"]["name"]: each["job"]
            for each in yaml.safe_load(
                render.files(self.catalog)["images.yaml"]
            )
        }
        for image in guests.images(self.catalog):
            said = jobs[image.name]["vars"]
            self.assertEqual(
                image.kind == "file", said.get("trove_image_stand_in", False)
            )

    def test_layers_of_each_image_are_written(self) -> None:
        made = render.files(self.catalog)
        writing = {
            job["job"]["name"]: job["job"].get("parent")
            for job in yaml.safe_load(made["images.yaml"])
            if "secrets" in job["job"]
        }
        (stanza,) = yaml.safe_load(made["projects.yaml"])
        project = stanza["project"]
        weekly = project["periodic-weekly"]["jobs"]
        self.assertEqual(
            {image.name for image in guests.images(self.catalog)},
            {writing[name] for name in weekly},
        )
        daily = project["periodic"]["jobs"]
        self.assertEqual(set(writing), {*daily, *weekly})

    def test_cross_series_follows_the_series(self) -> None:
        series = dataclasses.replace(self.catalog.series, name="2027.1")
        self.assertEqual(("2026.2", "2026.1"), series.previous)
        catalog = dataclasses.replace(self.catalog, series=series)
        text = render.files(catalog)["scenarios.yaml"]
        self.assertIn("trove@stable/2026.2", text)
        self.assertIn("trove@stable/2026.1", text)
        self.assertEqual(
            ("2027.1",),
            dataclasses.replace(series, name="2027.2").previous,
        )
