# SPDX-License-Identifier: Apache-2.0
"""A job of several builds exactly what its parent has planned."""

import functools
import io
import json
import pathlib
import sys
import typing

from tests import base
from tests.standins import authority
from trove_tools.build import build as _build
from trove_tools.catalog import loader
from trove_tools.cli import build_job
from trove_tools.cli import builder
from trove_tools.cli import cache
from trove_tools.cli import exit_status
from trove_tools.config import options
from trove_tools.config import table
from trove_tools.plan import mirrors
from trove_tools.plan import plan
from trove_tools.plan import request
from trove_tools.sources.container import skopeo

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
    "max_age": "mariadb --max-age 2.5",
    "jobs": "mariadb --jobs 3",
    "pid_file": "mariadb --pid-file {dir}/pid",
    "work_dir": "mariadb --work-dir {dir}",
    "cache_dir": "mariadb --cache-dir {dir}",
    "cache_size": "mariadb --cache-size 7",
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
            data = json.dumps(build_job.to_data(made, settings))
            # the variables were read by the parent
            self.set_env(TROVE_TOOLS_GUEST="ubuntu-24.04")
            again, theirs = build_job.from_data(json.loads(data))
            self.set_env(TROVE_TOOLS_GUEST=None)
            self.assertEqual(made, again, name)
            self.assertEqual(settings.as_dict(), theirs.as_dict(), name)

    def test_nothing_in_the_command_line(self) -> None:
        """Every user of the host can read it."""
        self.assertEqual(
            [sys.executable, "-m", "trove_tools.cli.build_job", "trove-x"],
            build_job.argv("trove-x"),
        )

    def test_main(self) -> None:
        """The child builds what it reads, and reports events."""
        made, settings = self.planned("mariadb --force --output-dir {dir}")
        self.patch_object(exit_status, "_unwind_on_signals", lambda: None)
        self.patch_object(cache, "open_cache", lambda _: None)
        self.patch_object(_build, "build", self.build)
        data = json.dumps(build_job.to_data(made, settings))
        self.patch_object(sys, "stdin", io.StringIO(data))
        out, _ = self.capture()
        self.assertEqual(0, build_job.main())
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
