# SPDX-License-Identifier: Apache-2.0
"""zuul.d as Zuul's own code sees it.

Zuul lives in an environment of its own, whose Python the variable
``TROVE_TOOLS_TEST_ZUUL`` names.
"""

import functools
import json
import os
import pathlib
import subprocess
import typing

from tests import base
from tests.lint import test_linters

_LOAD = pathlib.Path(__file__).parent / "zuul" / "load.py"


@functools.cache
def loaded(python: str, files: tuple[str, ...]) -> typing.Any:
    """Return what Zuul makes of zuul.d."""
    done = subprocess.run(
        [python, _LOAD], capture_output=True, text=True, check=True,
        input=json.dumps({"top": os.fspath(base.ROOT), "files": files}),
    )  # fmt: skip
    return json.loads(done.stdout)


class ZuulTest(test_linters.TreeCase):
    timeout = 300

    def setUp(self) -> None:
        super().setUp()
        python = os.environ.get("TROVE_TOOLS_TEST_ZUUL")
        if not python:
            self.skipTest("Zuul is not installed")
        self.files = tuple(
            os.fspath(file.relative_to(base.ROOT))
            for file in test_linters.tracked()
        )
        self.zuul = loaded(python, self.files)

    def test_zuul_loads_all_of_it(self) -> None:
        self.assertEqual([], self.zuul["errors"])

    def test_playbooks_exist(self) -> None:
        there = {name for name in self.files if name.startswith("playbooks/")}
        self.assertEqual(there, set(self.zuul["playbooks"]))

    def test_secret(self) -> None:
        # whoever writes an element must not get at the key
        given = [
            name for name, secret in self.zuul["playbooks"].items() if secret
        ]
        self.assertEqual(["playbooks/image/share.yaml"], given)

    def test_gate_jobs_tells_the_truth(self) -> None:
        from gate import selection
        from trove_tools.catalog import loader

        catalog = loader.load()
        for pipeline in selection.PIPELINES:
            every = selection.jobs(catalog, pipeline)
            for file in self.files:
                ours = [job.name for job in every if job.reason([file])]
                zuuls = self.zuul["runs"][pipeline][file]
                self.assertEqual(sorted(ours), zuuls, (pipeline, file))

    def test_periodic_jobs(self) -> None:
        runs = self.zuul["runs"]
        self.assertTrue(all("-publish-" in name for name in runs["periodic"]))
        self.assertNotEqual([], runs["periodic"])
        weekly = {
            name.replace("-share-", "-image-")
            for name in runs["periodic-weekly"]
        }
        self.assertTrue(weekly.issuperset(runs["experimental"]))


class BrokenTest(base.TestCase):
    """The loader does not let everything pass."""

    timeout = 120

    def load(self, text: str) -> list[str]:
        python = os.environ.get("TROVE_TOOLS_TEST_ZUUL")
        if not python:
            self.skipTest("Zuul is not installed")
        top = self.temp_dir()
        (top / "zuul.d").mkdir()
        (top / "zuul.d" / "all.yaml").write_text(text)
        done = subprocess.run(
            [python, _LOAD], capture_output=True, text=True, check=True,
            input=json.dumps({"top": os.fspath(top), "files": []}),
        )  # fmt: skip
        errors: list[str] = json.loads(done.stdout)["errors"]
        return errors

    def test_defects_are_found(self) -> None:
        errors = self.load(
            """
- job: {name: a, parent: nobody}
- job: {name: b, parent: base, nodeset: nothing}
- job: {name: c, parent: base, filse: [x]}
- job: {name: d, parent: base, files: ["(?!x)"]}
- project: {check: {jobs: [unheard-of]}}
"""
        )
        text = "\n".join(errors)
        for words in ("nobody", "nothing", "filse", "(?!x)", "unheard-of"):
            self.assertIn(words, text)
