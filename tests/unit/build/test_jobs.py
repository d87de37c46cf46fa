# SPDX-License-Identifier: Apache-2.0
"""Several builds at a time, played by scripts."""

import pathlib
import sys
import threading
import time
import typing

from tests import base
from trove_tools import console
from trove_tools.build import jobs
from trove_tools.host import process


class JobsTest(base.TestCase):
    def job(
        self, name: str, script: str, data: typing.Any = None
    ) -> jobs.Job:
        script = (
            "from trove_tools import errors\n"
            "from trove_tools.build import jobs\n"
            "screen = jobs.EventConsole()\n" + script
        )
        return jobs.Job(name, lambda: data, [sys.executable, "-c", script])

    def run_jobs(self, *made: jobs.Job) -> tuple[list[jobs.Outcome], str]:
        self.set_env(PYTHONPATH=str(base.ROOT))
        _, err = self.capture()
        outcomes = jobs.run(made, 2, console.Console())
        self.assertEqual([job.name for job in made], list(outcomes))
        err.seek(0)
        return list(outcomes.values()), str(err.read())

    def test_states_are_shown_and_results_returned(self) -> None:
        (one, two), said = self.run_jobs(
            self.job("j0", "with screen.progress('trove-x') as progress:\n"
                     "    progress.state('base: install packages')\n"
                     "screen.warn('old')\n"
                     "screen.result({'seconds': 2})"),
            self.job("j1", "import json, sys\n"
                     "screen.say('Building y')\n"
                     "print('text of a library')\n"
                     "screen.result(json.load(sys.stdin))", {"x": [1, "a"]}),
        )  # fmt: skip
        self.assertEqual(
            ({"seconds": 2}, None, ["old"]),
            (one.result, one.error, one.warnings),
        )
        self.assertEqual(
            ({"x": [1, "a"]}, "text of a library"), (two.result, two.text)
        )
        self.assertRegex(said, r"j0: \[ *\d+ s\] base: install packages")
        self.assertRegex(said, r"j1: \[ *\d+ s\] done")

    def test_one_fails_the_others_go_on(self) -> None:
        done = self.temp_dir() / "done"
        (one, two), said = self.run_jobs(
            self.job("j0", "screen.error(errors.BuildError('no luck', 'x'))\n"
                     "raise SystemExit(1)"),
            self.job("j1", "import time; time.sleep(0.5)\n"
                     f"open({str(done)!r}, 'w'); screen.result({{}})"),
        )  # fmt: skip
        assert one.error is not None
        self.assertEqual(("no luck", "x"), (one.error.message, one.error.hint))
        self.assertIsNone(one.result)
        self.assertIsNone(two.error)
        self.assertTrue(done.exists())
        self.assertRegex(said, r"j0: \[ *\d+ s\] failed")

    def test_a_crash_is_a_failure(self) -> None:
        for script in ("1 / 0", "screen.result({})\nraise SystemExit(1)",
                       "pass"):  # fmt: skip
            (outcome,), _ = self.run_jobs(self.job("j0", script))
            self.assertIsNone(outcome.result, script)
            self.assertIsNotNone(outcome.error, script)
        (outcome,), _ = self.run_jobs(self.job("j0", "1 / 0"))
        assert outcome.error is not None
        self.assertIn("ZeroDivisionError", outcome.error.message)

    def test_interruption_ends_all(self) -> None:
        """As with Ctrl-C; those that have not begun do not begin."""
        children = jobs._Children()
        sleeping = children.start([sys.executable, "-c",
                                   "import time; time.sleep(60)"])
        threading.Timer(0.2, children.end).start()
        self.assertNotEqual(0, sleeping.wait(30))
        time.sleep(0.1)
        self.assertRaises(KeyboardInterrupt, children.start, ["true"])

    def test_a_killed_parent_ends_all(self) -> None:
        place = self.temp_dir()
        begun, undone = place / "begun", place / "undone"
        child = (
            "import os, pathlib, signal, sys, time\n"
            "from trove_tools.host import liveness\n"
            "signal.signal(signal.SIGTERM, signal.default_int_handler)\n"
            "liveness.follow()\n"
            "assert liveness.LEADER not in os.environ\n"
            f"pathlib.Path({str(begun)!r}).touch()\n"
            "try:\n"
            "    time.sleep(60)\n"
            "finally:\n"
            "    print('x' * 100000, flush=True)\n"
            f"    pathlib.Path({str(undone)!r}).touch()\n"
        )
        parent = (
            "import sys\n"
            "from trove_tools import console\n"
            "from trove_tools.build import jobs\n"
            f"argv = [sys.executable, '-c', {child!r}]\n"
            "job = jobs.Job('x', lambda: None, argv)\n"
            "jobs.run([job], 2, console.Console())\n"
        )
        started = process.start([sys.executable, "-c", parent], cwd=base.ROOT)
        self.wait_for(begun)
        started.kill()
        started.wait()
        self.wait_for(undone)

    def wait_for(self, file: pathlib.Path) -> None:
        end = time.monotonic() + 20
        while not file.exists():
            self.assertLess(time.monotonic(), end, f"no {file.name}")
            time.sleep(0.02)

    def test_default(self) -> None:
        self.assertGreaterEqual(jobs.default(), 1)
