# SPDX-License-Identifier: Apache-2.0
"""Several images in one run: a failed build does not stop the others."""

import dataclasses
import functools
import io
import json
import pathlib
import sys
import typing

from tests import base
from tests.standins import authority
from tests.unit.plan import samples
from trove_tools import console
from trove_tools import errors
from trove_tools.build import build as _build
from trove_tools.build import jobs
from trove_tools.catalog import loader
from trove_tools.cli import build as building
from trove_tools.cli import builder
from trove_tools.cli import cache
from trove_tools.cli import exit_status
from trove_tools.cli import verify
from trove_tools.config import options
from trove_tools.config import table
from trove_tools.plan import mirrors
from trove_tools.plan import plan
from trove_tools.plan import request
from trove_tools.sources.container import skopeo


@dataclasses.dataclass(frozen=True)
class Result:
    image: pathlib.Path
    built: bool = True
    fetched_from: str = ""

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
            refresh_packages=False, patch=False, max_age=7, jobs=self.jobs,
            debug=False,
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
        self.patch_object(building.preflight, "require", lambda *_: [])
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


_KEY = (
    "ssh-ed25519"
    " AAAAC3NzaC1lZDI1NTE5AAAAIAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"
)
_CONF = "[DEFAULT]\nguest_user = jo\n"
_SHA256 = 64 * "a"
_MYSQL = "quay.io/openstack.trove/mysql:8.4"

#: Each option of `build`, given in a command line that can be planned.
_LINES = {
    "allow": "mariadb --allow login:/root/.ssh/authorized_keys",
    "guest": "mariadb --guest debian-12",
    "arch": "mariadb --runtime native --arch arm64",
    "runtime": "mariadb --runtime native",
    "unsupported": "mariadb --unsupported",
    "agent": "mariadb --agent trove==26.0.0",
    "constraints": "mariadb --constraints {dir}/constraints.txt",
    "guest_user": "mariadb --guest-user jo",
    "dev": "mariadb --dev {dir}/key.pub",
    "elements_path": "mariadb --elements-path {dir}",
    "element": "mariadb --element vm",
    "container_source": "mysql --container-source mysql=registry",
    "with_backup": "mariadb --no-with-backup",
    "local_manifests": "mariadb --no-local-manifests",
    "registry_mirror": "mysql --registry-mirror registry.example:5000/x",
    "locked": "mysql --locked {dir}/lock",
    "lock": "mysql --lock {dir}/new-lock",
    "repository": "mongodb --repository mongodb=http://vendor.example/x",
    "repository_key": "mongodb --repository-key mongodb=http://v.example/x",
    "repository_fingerprint": "mongodb --repository-fingerprint mongodb="
    + 40 * "A",
    "package": "db2 --package http://vendor.example/db2.tar.gz"
    f" --package-sha256 {_SHA256}",
    "package_sha256": "db2 --package http://vendor.example/db2.tar.gz"
    f" --package-sha256 {_SHA256}",
    "mirror": "mariadb --mirror http://mirror.example/debian",
    "security_mirror": "mariadb --security-mirror http://mirror.example/sec",
    "ca_certificate": "mariadb --ca-certificate {dir}/authority.pem",
    "guest_ca": "mariadb --guest-ca {dir}/authority.pem",
    "unattended_upgrades": "mariadb --unattended-upgrades",
    "snapshot": "mariadb --snapshot 2026-01-31",
    "source_date_epoch": "mariadb --source-date-epoch 1700000000",
    "image_format": "mariadb --image-format raw",
    "compression": "mariadb --compression zlib",
    "partition_table": "mariadb --partition-table gpt",
    "disk_size": "mariadb --disk-size 9",
    "output_dir": "mariadb --output-dir {dir}",
    "name": "mariadb --name mine",
    "all": "mariadb --all",
    "together": "mariadb --together",
    "verify": "mariadb --verify",
    "sign_key": "mariadb --sign-key {dir}/key",
    "force": "mariadb --force",
    "fresh": "mariadb --fresh",
    "refresh_packages": "mariadb --refresh-packages",
    "patch": "mariadb --patch",
    "max_age": "mariadb --max-age 2.5",
    "jobs": "mariadb --jobs 3",
    "pid_file": "mariadb --pid-file {dir}/pid",
    "work_dir": "mariadb --work-dir {dir}",
    "cache_dir": "mariadb --cache-dir {dir}",
    "cache_size": "mariadb --cache-size 7",
    "trusted_key": "mariadb --trusted-key {dir}/key.pub",
    "cache_from": "mariadb --cache-from registry.example/a",
    "cache_to": "mariadb --cache-to registry.example/a",
    "image_from": "mariadb --image-from registry.example/a",
    "allow_unsigned": "mariadb --allow-unsigned",
    "level": "mariadb --level boot",
    "machine": "mariadb --machine container",
    "guest_config": "mariadb --guest-config /etc/trove/guest.conf",
    "only": "mariadb --only crash",
    "from": "mariadb --from /images/old.qcow2",
    "user_data": "mariadb --user-data /etc/trove/mysql.cloudinit",
    "disk_bus": "mariadb --disk-bus scsi",
    "broker_port": "mariadb --broker-port 5672",
    "accelerator": "mariadb --accelerator tcg",
    "timeout": "mariadb --timeout 7",
    "memory": "mariadb --memory 999",
    "cpus": "mariadb --cpus 1",
    "config_file": "mariadb --config-file {dir}/conf",
    "format": "mariadb --format json",
    "quiet": "mariadb --quiet",
    "debug": "mariadb --debug",
    "catalog": "mariadb --catalog {dir}/catalog",
}


class PlanTest(base.TestCase):
    timeout = 120

    def setUp(self) -> None:
        super().setUp()
        self.place = self.temp_dir()
        load = functools.cache(loader.load)
        # most lines have no catalog of their own
        self.patch_object(loader, "load", lambda files: load(tuple(files)))
        # all that a plan asks the network for
        self.patch_object(mirrors, "_release", lambda *_: "")
        self.patch_object(skopeo, "unreachable", lambda *_: "")
        self.set_env(HOME=str(self.place))
        (self.place / "catalog").mkdir()
        authority.Authority(self.place)
        for name, text in {
            "constraints.txt": "six==1.0\n",
            "key.pub": _KEY,
            "conf": _CONF,
            "lock": json.dumps(
                {"lock_version": 1, "containers": {_MYSQL: _SHA256}}
            ),
        }.items():
            (self.place / name).write_text(text)

    def planned(self, line: str) -> tuple[plan.Plan, options.Settings]:
        """Return what `trove-image-builder build LINE` plans."""
        words = line.format(dir=self.place).split()
        flags = builder.parser().parse_args(["build", *words])
        settings = table.settings(
            builder.PROGRAM.command("build").declared(), flags
        )
        made = plan.make(
            request.make(
                flags.datastores, settings, loader.load(settings.catalog)
            )
        )
        return made, settings

    def test_every_option_has_a_line(self) -> None:
        declared = builder.PROGRAM.command("build").declared()
        self.assertEqual(
            sorted(option.name for option in declared), sorted(_LINES)
        )

    def test_same_plan_and_settings(self) -> None:
        _, defaults = self.planned("mariadb")
        for name, line in _LINES.items():
            made, settings = self.planned(line)
            self.assertNotEqual(
                getattr(defaults, name), getattr(settings, name), name
            )
            data = json.dumps(building.to_data(made, settings))
            # the variables were read by the parent
            self.set_env(TROVE_TOOLS_GUEST="ubuntu-24.04")
            again, theirs, _ = building.from_data(json.loads(data))
            self.set_env(TROVE_TOOLS_GUEST=None)
            self.assertEqual(made, again, name)
            self.assertEqual(settings.as_dict(), theirs.as_dict(), name)

    def test_nothing_in_the_command_line(self) -> None:
        """Every user of the host can read it."""
        self.assertEqual(
            [sys.executable, "-m", "trove_tools.cli.build", "trove-x"],
            building.make_argv("trove-x"),
        )

    def test_main(self) -> None:
        """The child builds what it reads, and reports events."""
        made, settings = self.planned("mariadb --force --output-dir {dir}")
        self.patch_object(exit_status, "_unwind_on_signals", lambda: None)
        self.patch_object(cache, "open_cache", lambda *_, **__: None)
        self.patch_object(_build, "build", self.build)
        data = json.dumps(building.to_data(made, settings))
        self.patch_object(sys, "stdin", io.StringIO(data))
        out, _ = self.capture()
        self.assertEqual(0, building.main())
        out.seek(0)
        self.assertEqual(
            [{"event": "state", "text": "base"},
             {"event": "result", "data": {"name": made.name, "force": True,
                                          "output": str(self.place)}}],
            [json.loads(line) for line in out],
        )  # fmt: skip

    def build(self, made: plan.Plan, **kwargs: typing.Any) -> typing.Any:
        class Result:
            def as_dict(self) -> dict[str, typing.Any]:
                return {
                    "name": made.name,
                    "force": kwargs["force"],
                    "output": str(pathlib.Path(kwargs["output"])),
                }

        with kwargs["screen"].progress("title", 3) as progress:
            progress.state("base")
        return Result()
