# SPDX-License-Identifier: Apache-2.0
"""The scripts around devstack: scenario tests, and the developer's loop."""

import re
import shutil
import subprocess
import typing

from tests import base
from tests.devstack import scripts
from trove_tools.catalog import loader

_RECORD = 'printf "%s\\n" "${0##*/} $*" >>"$CALLS"'


class ToolsCase(scripts.ScriptCase):
    def run_tool(self, name: str, *words: str, **env: str) -> scripts.Done:
        return subprocess.run(
            [self.checkout / "tools" / name, *words],
            env={"PATH": "/usr/bin:/bin", "HOME": str(self.temp_dir()),
                 "CALLS": str(self.calls), **env},
            cwd=self.checkout, capture_output=True, text=True,
            stdin=subprocess.DEVNULL,
        )  # fmt: skip

    def program(
        self,
        name: str,
        script: str = "",
        venv: str = "",
        record: str = _RECORD,
    ) -> None:
        """Put a program that records its call into a virtual environment."""
        directory = self.checkout / f".venv{venv}" / "bin"
        directory.mkdir(parents=True, exist_ok=True)
        program = directory / name
        program.write_text(f"#!/bin/bash\n{record}\n{script}\n")
        program.chmod(0o755)


class RenewTest(ToolsCase):
    def setUp(self) -> None:
        super().setUp()
        self.program("trove-image-builder", "echo '{}'")
        self.program("trove-devstack", "echo activate mysql:8.4 /i/a b.qcow2")
        self.program("load-trove-image")

    def test_renew(self) -> None:
        done = self.run_tool("renew-guest-agent", "mysql", "mariadb:11.8",
                             "--", "--together")  # fmt: skip
        self.assertEqual(0, done.returncode, done.stderr)
        self.assertEqual(
            ["trove-image-builder build mysql mariadb:11.8 --output-dir"
             " /opt/stack/trove-guest-images --agent /opt/stack/trove"
             " --patch --format json --together",
             "trove-devstack images /dev/stdin",
             "load-trove-image --os-cloud trove --activate /i/a b.qcow2"],
            self.recorded(),
        )  # fmt: skip

    def test_as_the_plugin_has_built(self) -> None:
        data = self.temp_dir()
        state = data / "trove-tools"
        state.mkdir()
        (state / "build-options").write_text(
            "--output-dir\n/my images\n--agent\n/opt/stack/trove\n"
            "--constraints\n/c.txt\n"
        )
        done = self.run_tool("renew-guest-agent", "mysql", TROVE_DIR="/t",
                             DATA_DIR=str(data))  # fmt: skip
        self.assertEqual(0, done.returncode, done.stderr)
        self.assertEqual(
            "trove-image-builder build mysql --output-dir"
            " /opt/stack/trove-guest-images --output-dir /my images --agent"
            " /opt/stack/trove --constraints /c.txt --agent /t --patch"
            " --format json",
            self.recorded()[0],
        )

    def test_as_the_plugin_has_loaded(self) -> None:
        data, trove = self.temp_dir(), self.temp_dir()
        (trove / "trove/templates").mkdir(parents=True)
        environment = {"TROVE_DIR": str(trove), "DATA_DIR": str(data)}
        done = self.run_tool("renew-guest-agent", "mysql", **environment)
        self.assertEqual(0, done.returncode, done.stderr)
        load = "load-trove-image --os-cloud trove --activate"
        self.assertEqual(
            f"{load} --parameters {trove} /i/a b.qcow2", self.recorded()[-1]
        )
        (data / "trove-tools").mkdir()
        (data / "trove-tools/load-options").write_text("--keep\n3\n")
        done = self.run_tool("renew-guest-agent", "mysql", **environment)
        self.assertEqual(f"{load} --keep 3 /i/a b.qcow2", self.recorded()[-1])

    def test_elsewhere(self) -> None:
        done = self.run_tool(
            "renew-guest-agent", "mysql", TROVE_DIR="/t",
            TROVE_GUEST_IMAGE_DIR="/o", OS_CLOUD="mine",
        )  # fmt: skip
        self.assertEqual(0, done.returncode, done.stderr)
        build, _, load = self.recorded()
        self.assertIn("--agent /t", build)
        self.assertIn("--output-dir /o", build)
        self.assertIn("--os-cloud mine", load)

    def test_devstacks_environment(self) -> None:
        """Nobody has to make it the active one."""
        data = self.temp_dir()
        environment = data / "venv"
        environment.mkdir()
        (self.checkout / ".venv/bin").rename(environment / "bin")
        done = self.run_tool("renew-guest-agent", "mysql", DATA_DIR=str(data))
        self.assertEqual(0, done.returncode, done.stderr)
        self.assertEqual(3, len(self.recorded()))

    def test_not_installed(self) -> None:
        shutil.rmtree(self.checkout / ".venv")
        done = self.run_tool("renew-guest-agent", "mysql", DATA_DIR="/none")
        self.assertEqual(3, done.returncode)
        self.assertIn("nor on PATH, nor in /none/venv", done.stderr)
        self.assertIn("hint: ", done.stderr)

    def test_wrong(self) -> None:
        for words, said in (
            ([], "usage:"),
            (["--force"], "options of the build follow --"),
        ):
            done = self.run_tool("renew-guest-agent", *words)
            self.assertEqual(2, done.returncode)
            self.assertIn(said, done.stderr)
        self.assertEqual([], self.recorded())

    def test_build_fails(self) -> None:
        self.program("trove-image-builder", "exit 3")
        done = self.run_tool("renew-guest-agent", "mysql")
        self.assertEqual(3, done.returncode)
        self.assertEqual(1, len(self.recorded()))

    def test_no_manager(self) -> None:
        self.program("trove-devstack", "echo keep redis:7 /i/a.qcow2")
        done = self.run_tool("renew-guest-agent", "redis")
        self.assertEqual(1, done.returncode)
        self.assertIn("no manager for redis", done.stderr)


class TrovestackTest(ToolsCase):
    def test_devstacks_environment(self) -> None:
        """In devstack, the commands are in devstack's environment."""
        script = self.checkout / "integration/scripts/trovestack"
        script.parent.mkdir(parents=True)
        shutil.copy(base.ROOT / "integration/scripts/trovestack", script)
        self.program("trove-devstack")
        data = self.temp_dir()
        (data / "venv").mkdir()
        (self.checkout / ".venv/bin").rename(data / "venv/bin")
        done = self.run_tool("../integration/scripts/trovestack", "test-init",
                             DATA_DIR=str(data))  # fmt: skip
        self.assertEqual(0, done.returncode, done.stderr)
        self.assertEqual(
            ["trove-devstack prepare --os-cloud devstack-admin"],
            self.recorded(),
        )


class ScenarioTest(ToolsCase):
    def setUp(self) -> None:
        super().setUp()
        # what is set up already is not set up again
        for venv, files in (
            ("", ("setup.cfg", "setup.py", "pyproject.toml",
                  "requirements.txt")),
            ("-tempest", ("tools/lib/scenario-requirements.txt",)),
        ):  # fmt: skip
            self.program("python", 'exec python3 "$@"', venv, record="")
            mark = "tempest" if venv else "project"
            done = self.run_lib(
                f'mark_up_to_date "$ROOT/.venv{venv}" {mark}'
                + "".join(f' "$ROOT/{name}"' for name in files)
            )
            self.assertEqual(0, done.returncode, done.stderr)
        self.program("bindep")
        self.program("trove-devstack", self.configured("mysql"))
        self.tempest = self.temp_dir() / "tempest"
        self.tempest.mkdir()
        (self.tempest / "__init__.py").touch()
        self.program("tempest", "", "-tempest")
        self.program("stestr", "[[ $1 != last ]] || echo stream", "-tempest")
        self.program("subunit2html", 'echo page >"$2"', "-tempest")

    def configured(self, datastores: str) -> str:
        """Return a script that writes tempest's configuration."""
        return (
            "while [[ $1 != --tempest-conf ]]; do shift; done\n"
            f'echo "enabled_datastores = {datastores}" >"$2"'
        )

    def excluded(self, *tested: str) -> str:
        """Return the expression for tests of other datastores."""
        others = sorted(set(loader.load().datastores) - set(tested))
        return rf"\.Test\w*(?i:{'|'.join(['^$', *others])})\."

    def scenario(self, *words: str, **env: str) -> scripts.Done:
        given: dict[str, typing.Any] = {
            "OS_CLOUD": "c", "PYTHONPATH": str(self.tempest.parent), **env,
        }  # fmt: skip
        return self.run_tool("run-scenario-tests", *words, **given)

    def called(self) -> list[str]:
        return [line for line in self.recorded()
                if line.split()[0] != "bindep"]  # fmt: skip

    def test_run(self) -> None:
        done = self.scenario("--output", "out put", "mysql", "backup")
        self.assertEqual(0, done.returncode, done.stderr)
        output = self.checkout / "out put"
        self.assertEqual(
            [f"trove-devstack tempest --network private --tempest-conf"
             f" {output}/tempest.conf mysql",
             "stestr init",
             f"tempest run --config-file {output}/tempest.conf --regex"
             " trove_tempest_plugin.*backup --exclude-regex"
             f" {self.excluded('mysql')} --concurrency 1",
             "stestr last --subunit",
             f"subunit2html {output}/tests.subunit {output}/report.html"],
            self.called(),
        )  # fmt: skip
        self.assertEqual("page\n", (output / "report.html").read_text())
        self.assertEqual("stream\n", (output / "tests.subunit").read_text())
        self.assertIn(f"test_path={self.tempest}/test_discover\n",
                      (output / ".stestr.conf").read_text())  # fmt: skip

    def test_list(self) -> None:
        done = self.scenario("--list")
        self.assertEqual(0, done.returncode, done.stderr)
        self.assertIn("--list-tests", self.called()[-1])

    def test_only_tests_of_the_datastores(self) -> None:
        names = {
            "mysql": "scenario.test_backup.TestBackupMySQL.test_full",
            "mariadb": "scenario.test_backup.TestBackupMariaDB.test_full",
            "postgresql": "scenario.test_x.TestXPostgreSQL.test_mysql",
            "": "api.test_flavors.TestFlavors.test_list",
        }
        for tested in (["mariadb"], ["mariadb", "mysql"]):
            self.program("trove-devstack", self.configured(",".join(tested)))
            done = self.scenario("--list")
            self.assertEqual(0, done.returncode, done.stderr)
            words = self.called()[-1].split()
            expression = words[words.index("--exclude-regex") + 1]
            left = [
                name for name, test in names.items()
                if not re.search(expression, f"trove_tempest_plugin.{test}")
            ]  # fmt: skip
            self.assertEqual(sorted([*tested, ""]), sorted(left))

    def test_devstacks_environments(self) -> None:
        """Neither commands nor tempest are installed a second time."""
        data, tempest = self.temp_dir(), self.temp_dir()
        (data / "venv").mkdir()
        (self.checkout / ".venv/bin").rename(data / "venv/bin")
        (tempest / ".tox/tempest").mkdir(parents=True)
        venv = self.checkout / ".venv-tempest/bin"
        # os-testr is in devstack's own environment
        (venv / "subunit2html").rename(data / "venv/bin/subunit2html")
        venv.rename(tempest / ".tox/tempest/bin")
        (self.tempest.parent / "trove_tempest_plugin").mkdir()
        done = self.scenario(
            "mysql", DATA_DIR=str(data), TEMPEST_DIR=str(tempest)
        )
        self.assertEqual(0, done.returncode, done.stderr)
        self.assertNotIn("installing", done.stderr)
        self.assertFalse((self.checkout / ".venv").joinpath("bin").exists())
        self.assertEqual(
            ["trove-devstack", "stestr", "tempest", "stestr", "subunit2html"],
            [line.split()[0] for line in self.called()],
        )

    def test_failure_has_a_report(self) -> None:
        self.program("tempest", "exit 1", "-tempest")
        done = self.scenario()
        self.assertEqual(1, done.returncode)
        self.assertTrue(
            (self.checkout / "scenario-tests/report.html").exists()
        )

    def test_cloud_that_refuses(self) -> None:
        self.program("trove-devstack", "exit 4")
        self.assertEqual(4, self.scenario().returncode)
        self.assertNotIn("tempest run", " ".join(self.called()))

    def test_wrong(self) -> None:
        for words, env, said in (
            ([], {"OS_CLOUD": ""}, "OS_CLOUD"),
            (["a", "b", "c"], {}, "more than a datastore"),
            (["--plugin", "/nowhere"], {}, "no checkout"),
            (["--wrong"], {}, "unknown option"),
            (["--output"], {}, "wants a value"),
        ):
            done = self.scenario(*words, **env)
            self.assertEqual(2, done.returncode, done.stderr)
            self.assertIn(said, done.stderr)
        self.assertEqual([], self.called())
