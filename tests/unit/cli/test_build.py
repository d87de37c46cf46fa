# SPDX-License-Identifier: Apache-2.0
"""Several images in one run: a failed build does not stop the others."""

import dataclasses
import json
import pathlib
import typing

from tests import base
from tests.unit.plan import samples
from trove_tools import console
from trove_tools import errors
from trove_tools.build import jobs
from trove_tools.catalog import loader
from trove_tools.cli import build as building
from trove_tools.cli import cache
from trove_tools.cli import verify
from trove_tools.plan import plan


@dataclasses.dataclass(frozen=True)
class Result:
    image: pathlib.Path
    built: bool = True

    def as_dict(self) -> dict[str, typing.Any]:
        return {"image": str(self.image), "size": 3 << 20, "seconds": 1.5}


class BuildingTest(base.TestCase):
    def setUp(self) -> None:
        super().setUp()
        self.set_env(XDG_CACHE_HOME=str(self.temp_dir()))
        self.patch_object(building._build, "build", self.build)
        self.patch_object(cache, "open_cache", lambda *_, **__: None)
        self.patch_object(cache, "evict", lambda *_: None)
        self.patch_object(verify, "examine", self.examine)
        self.failing = ""
        self.silent = ""
        self.jobs = 1

    def build(self, made: plan.Plan, **_: typing.Any) -> Result:
        if made.name == self.failing:
            raise errors.BuildError("no such luck\nand more")
        return Result(pathlib.Path(f"/out/{made.name}.qcow2"))

    def examine(
        self, image: pathlib.Path, *_: typing.Any, **__: typing.Any
    ) -> tuple[dict[str, typing.Any], None]:
        ok = image.stem != self.silent
        check = {"name": "mariadb", "ok": ok, "detail": "no answer"}
        return {"ok": ok, "checks": [check]}, None

    def run_for(self, *names: str, form: str = "table") -> tuple[int, str]:
        """Return exit status and what is on stdout."""
        plans = [plan.make(samples.a_request(name=name)) for name in names]
        out, err = self.capture()
        settings = samples.settings(
            format=form, verify=True, fresh=False, force=False, lock=None,
            refresh_packages=False, max_age=7, jobs=self.jobs, debug=False,
        )  # fmt: skip
        status = 0
        try:
            building.build(plans, settings, console.Console(), loader.load())
        except (errors.BuildError, errors.UsageError) as exc:
            status, self.said = exc.exit_status, exc.message
        out.seek(0)
        err.seek(0)
        self.shown = err.read()
        return status, out.read()

    def read_result(
        self, image: pathlib.Path, seconds: float, built: bool
    ) -> Result:
        self.assertEqual((12.5, True), (seconds, built))
        return Result(image)

    def test_all_well(self) -> None:
        status, out = self.run_for("a", "b")
        self.assertEqual(0, status)
        for words in ("a.qcow2", "b.qcow2", "verified", "3.0 MiB"):
            self.assertIn(words, out)

    def test_one_fails(self) -> None:
        self.failing = "a"
        status, out = self.run_for("a", "b", form="json")
        self.assertEqual(1, status)
        first, second = json.loads(out)
        self.assertEqual("FAILED", first["result"])
        self.assertEqual(("ok", "ok"), (second["result"], second["verified"]))
        self.assertIn("1 of 2 images", self.said)
        self.assertIn("a: no such luck", self.said)

    def test_one_does_not_answer(self) -> None:
        self.silent = "b"
        status, out = self.run_for("a", "b")
        self.assertEqual(1, status)
        self.assertIn("mariadb: no answer", self.said)

    def test_the_only_one_fails(self) -> None:
        self.failing = "a"
        status, out = self.run_for("a")
        self.assertEqual((1, ""), (status, out))
        self.assertEqual("no such luck\nand more", self.said)

    def test_at_a_time(self) -> None:
        asked: list[jobs.Job] = []

        def run(
            wanted: list[jobs.Job], limit: int, _: console.Console
        ) -> dict[str, jobs.Outcome]:
            self.assertEqual(2, limit)
            asked.extend(wanted)
            built = {"seconds": 12.5, "built": True}
            failed = errors.BuildError("no such luck", "another time")
            return {
                "a": jobs.Outcome(built, warnings=["old"]),
                "b": jobs.Outcome(error=failed),
                "c": jobs.Outcome(built),
            }

        self.patch_object(jobs, "run", run)
        self.patch_object(building._build, "require", lambda *_: [])
        self.patch_object(building._build, "read_result", self.read_result)
        # what a child process has built is not built again
        self.patch_object(building._build, "build", None)
        self.jobs = 2
        status, out = self.run_for("a", "b", "c", form="json")
        self.assertEqual(1, status)
        self.assertEqual(
            ["ok", "FAILED", "ok"], [row["result"] for row in json.loads(out)]
        )
        self.assertIn("b: no such luck", self.said)
        self.assertIn("a: old", self.shown)
        self.assertIn("hint: another time", self.shown)
        self.assertEqual(["a", "b", "c"], [job.name for job in asked])
        for job in asked:
            self.assertEqual(["mariadb:11.8"], job.data()["datastores"])

    def test_no_jobs(self) -> None:
        self.jobs = 0
        self.assertEqual(2, self.run_for("a")[0])
