# SPDX-License-Identifier: Apache-2.0
"""tools/run-tests, with stand-ins for the test runner and the cloud."""

import fcntl
import io
import os
import pathlib
import signal
import subprocess
import time

import subunit
from testtools import matchers

from tests.devstack import scripts

PARTS = ("lint", "unit", "devstack", "functional", "image")
MORE = ("datastores",)


class RunTestsTest(scripts.ScriptCase):
    def setUp(self) -> None:
        super().setUp()
        self.set_up()
        self.run_lib(
            'mkdir -p "$LINT_VENV/bin" "$ZUUL_VENV/bin"\n'
            "make_venv() { :; }\npip_install() { :; }\n"
            "setup_lint\nsetup_zuul"
        )
        for name in (".venv-lint", ".venv-zuul"):
            python = self.checkout / name / "bin" / "python"
            python.symlink_to(self.checkout / ".venv" / "bin" / "python")
        self.cloud()

    def runner(self, status: int = 0, **outcomes: str) -> None:
        """Stand in for stestr with a run of some tests."""
        stream = io.BytesIO()
        out = subunit.StreamResultToBytes(stream)
        for name, outcome in outcomes.items():
            out.status(name, "inprogress")
            out.status(name, outcome)
        file = self.temp_dir() / "stream"
        file.write_bytes(stream.getvalue())
        self.stand_in(
            "stestr",
            f'case "$*" in *" last "*) cat "{file}" ;;'
            ' *" run "*)'
            f' echo "cloud: $TROVE_TOOLS_MINICLOUD" >>"{self.calls}";'
            f' echo "all: $TROVE_TOOLS_TEST_ALL" >>"{self.calls}";'
            f" exit {status} ;; esac",
        )

    def cloud(self, script: str = "") -> None:
        program = self.checkout / "tools" / "minicloud"
        program.unlink(missing_ok=True)
        self.fake_program(
            "minicloud",
            f'echo "minicloud $*" >>"{self.calls}"\n{script}',
            program.parent,
        )

    def closing_line(self, done: scripts.Done) -> str:
        return done.stdout.splitlines()[-1]

    def test_every_part(self) -> None:
        self.runner(a="success", b="skip")
        done = self.run_script("tools/run-tests")
        self.assertEqual(0, done.returncode, done.stdout + done.stderr)
        self.assertEqual(
            "5 passed, 0 failed, 5 skipped", self.closing_line(done)
        )
        self.assertEqual(sorted(PARTS), sorted(self.ran()))

    def ran(self) -> list[str]:
        """Return the parts whose tests ran, in their order."""
        path = f"--test-path {self.checkout}/tests/"
        return [
            line.partition(path)[2].partition(" ")[0]
            for line in self.recorded()
            if " run " in line
        ]

    def test_all_of_them(self) -> None:
        self.runner(a="success")
        self.run_script("tools/run-tests", "--all")
        self.assertEqual(sorted((*PARTS, *MORE)), sorted(self.ran()))

    def test_one_after_the_other(self) -> None:
        self.runner(a="success")
        self.run_script("tools/run-tests", "devstack", "functional", "lint")
        self.assertEqual(["devstack", "functional", "lint"], self.ran())

    def test_functional_tests_beside_the_image_tests(self) -> None:
        """Each kind of tests waits here for the other one to begin."""
        both = self.temp_dir()
        self.runner(a="success")
        self.stand_in(
            "stestr",
            'case "$*" in *" run "*) ;; *) exit 0 ;; esac\n'
            'for part in functional image; do case "$*" in *"tests/$part "*)'
            f' touch "{both}/$part" ;; esac; done\n'
            "for _ in $(seq 300); do"
            f' [ ! -e "{both}/functional" ] || [ ! -e "{both}/image" ] ||'
            " { echo together; exit 0; }; sleep 0.1; done; exit 1",
        )
        done = self.run_script("tools/run-tests", "functional", "image")
        self.assertEqual(2, done.stdout.count("together\n"), done.stdout)

    def test_interrupt_ends_both(self) -> None:
        self.stand_in(
            "stestr",
            f'case "$*" in *" run "*) echo run >>"{self.calls}";'
            " exec sleep 60 ;; esac",
        )
        run = subprocess.Popen(
            [self.checkout / "tools/run-tests", "functional", "image"],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            # an interrupt reaches a terminal's foreground process group only
            process_group=0,
        )
        self.addCleanup(run.wait)
        self.addCleanup(run.kill)
        while self.recorded().count("run") < 2:
            self.assertIsNone(run.poll())
            time.sleep(0.05)
        os.killpg(run.pid, signal.SIGINT)
        self.assertEqual(130, run.wait(30))
        place = f"{self.checkout}/.test-work/functional/minicloud"
        self.assertEqual(f"minicloud stop {place}", self.recorded()[-1])

    def test_the_gate_runs_the_same(self) -> None:
        (self.checkout / ".ci").symlink_to(scripts.base.ROOT / ".ci")
        text = (self.checkout / ".ci" / "run").read_text()
        self.assertIn("../tools/run-tests", text)

    def test_chosen_parts_with_a_filter(self) -> None:
        self.runner(a="success")
        done = self.run_script(
            "tools/run-tests", "unit", "image", "unit", "--", "my.test"
        )
        self.assertEqual(
            "2 passed, 0 failed, 0 skipped", self.closing_line(done)
        )
        runs = [line for line in self.recorded() if " run " in line]
        self.assertEqual(2, len(runs))
        self.assertThat(
            runs[0], matchers.EndsWith("--concurrency 0 --abbreviate my.test")
        )
        self.assertThat(
            runs[1], matchers.EndsWith("--concurrency 3 my.test")
        )

    def test_all(self) -> None:
        self.runner(a="success")
        for args, said in ((["unit"], "all: "), (["--all", "unit"], "all: 1")):
            done = self.run_script("tools/run-tests", *args)
            self.assertEqual(0, done.returncode, done.stdout + done.stderr)
            self.assertIn(said, self.recorded())

    def test_failure(self) -> None:
        self.runner(status=1, a="success", b="fail")
        done = self.run_script("tools/run-tests", "unit", "devstack")
        self.assertEqual(1, done.returncode)
        self.assertEqual(
            "2 passed, 2 failed, 0 skipped", self.closing_line(done)
        )

    def test_a_runner_that_crashes(self) -> None:
        self.runner(status=1)
        done = self.run_script("tools/run-tests", "unit")
        self.assertEqual(1, done.returncode)
        self.assertEqual(
            "0 passed, 1 failed, 0 skipped", self.closing_line(done)
        )

    def test_results_of_an_earlier_run_do_not_count(self) -> None:
        old = self.checkout / ".test-work" / "unit" / "stream"
        old.parent.mkdir(parents=True)
        old.write_bytes(b"old")
        self.runner()
        done = self.run_script("tools/run-tests", "unit")
        self.assertIn("no test was found", done.stdout)
        self.assertEqual(1, done.returncode)

    def test_one_cloud_for_all_functional_tests(self) -> None:
        self.runner(a="success")
        self.run_script("tools/run-tests", "unit", "functional", "devstack")
        place = f"{self.checkout}/.test-work/functional/minicloud"
        self.assertEqual(
            ["cloud: ", f"minicloud start {place}", f"cloud: {place}",
             f"minicloud stop {place}", "cloud: "],
            [line for line in self.recorded() if "cloud" in line[:10]],
        )  # fmt: skip

    def test_no_cloud(self) -> None:
        self.runner(a="skip")
        self.cloud("exit 3")
        done = self.run_script("tools/run-tests", "functional")
        self.assertEqual(1, done.returncode)
        self.assertIn("minicloud start ended with status 3", done.stdout)
        self.assertEqual(
            "0 passed, 1 failed, 1 skipped", self.closing_line(done)
        )

    def test_a_cloud_that_a_killed_run_left_is_ended(self) -> None:
        self.runner(a="success")
        old = self.checkout / ".test-work" / "functional" / "minicloud"
        old.mkdir(parents=True)
        self.run_script("tools/run-tests", "functional")
        clouds = [line for line in self.recorded() if "minicloud " in line]
        self.assertEqual(f"minicloud stop {old}", clouds[0])
        self.assertFalse(old.exists())

    def test_one_run_at_a_time(self) -> None:
        self.runner(a="success")
        work = self.checkout / ".test-work"
        work.mkdir()
        with (work / "lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            self.assert_refused(
                self.run_script("tools/run-tests", "unit"),
                1,
                "tools/run-tests is at work in this checkout already",
                "wait",
            )

    def test_help(self) -> None:
        done = self.run_script("tools/run-tests", "--help")
        self.assertEqual((0, ""), (done.returncode, done.stderr))
        for part in (*PARTS, *MORE):
            self.assertIn(f"\n  {part} ", done.stdout)

    def test_help_and_directories_agree(self) -> None:
        tests = pathlib.Path(scripts.base.ROOT, "tests")
        found = {path.name for path in tests.iterdir() if path.is_dir()}
        # no part, but what several parts use
        shared = {"__pycache__", "deployments", "standins"}
        self.assertEqual({*PARTS, *MORE}, found - shared)

    def test_unknown_part(self) -> None:
        self.assert_refused(
            self.run_script("tools/run-tests", "unti"),
            2,
            "there is no part unti",
            "the parts are: lint unit devstack functional image",
        )

    def test_unknown_option(self) -> None:
        self.assert_refused(
            self.run_script("tools/run-tests", "--fast"),
            2,
            "unknown option --fast",
            "--help",
        )
        self.assertEqual([], self.recorded())
