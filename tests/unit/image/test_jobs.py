# SPDX-License-Identifier: Apache-2.0
"""Several builds at a time, played by scripts."""

import pathlib
import sys
import threading
import time

from tests import base
from trove_tools import console
from trove_tools import process
from trove_tools.image import jobs


class JobsTest(base.TestCase):
    def job(self, name: str, script: str) -> jobs.Job:
        return jobs.Job(name, lambda: [sys.executable, "-c", script])

    def run_jobs(self, *scripts: str) -> tuple[dict[str, str], str]:
        _, err = self.capture()
        failed = jobs.run(
            [self.job(f"j{n}", text) for n, text in enumerate(scripts)],
            2,
            console.Console(),
        )
        err.seek(0)
        return failed, str(err.read())

    def test_states_are_shown_once(self) -> None:
        failed, said = self.run_jobs(
            "print('trove-x: [   1 s] base: install packages')",
            "print('trove-y: [  12 s] convert')",
        )
        self.assertEqual({"j0": "", "j1": ""}, failed)
        self.assertRegex(said, r"j0: \[ *\d+ s\] base: install packages")
        self.assertRegex(said, r"j1: \[ *\d+ s\] convert")

    def test_one_fails_the_others_go_on(self) -> None:
        done = self.temp_dir() / "done"
        failed, _ = self.run_jobs(
            "print('Building x'); print('error: no such luck');"
            "print('hint: another'); raise SystemExit(1)",
            f"import time; time.sleep(0.5); open({str(done)!r}, 'w')",
        )
        self.assertEqual(
            {"j0": "no such luck\nhint: another", "j1": ""}, failed
        )
        self.assertTrue(done.exists())

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
            "from trove_tools import liveness\n"
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
            "from trove_tools.image import jobs\n"
            f"job = jobs.Job('x', lambda: [sys.executable, '-c', {child!r}])\n"
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
