# SPDX-License-Identifier: Apache-2.0
"""The door to other programs."""

import os
import signal
import time

from tests import base
from trove_tools import errors
from trove_tools.host import process


class RunTest(base.TestCase):
    def test_output(self) -> None:
        done = process.run(["sh", "-c", "cat; echo no >&2"], input="yes")
        self.assertEqual((0, "yes", "no\n"), done)

    def test_standard_input_is_empty(self) -> None:
        self.assertEqual("", process.run(["cat"], timeout=5).stdout)

    def test_failure_can_be_pasted(self) -> None:
        error = self.assertRaises(
            errors.CommandError,
            process.run,
            ["sh", "-c", "echo oh dear >&2; exit 3"],
        )
        self.assertEqual(3, error.status)
        self.assertIn(
            "`sh -c 'echo oh dear >&2; exit 3'` ended with status 3",
            error.message,
        )
        self.assertIn("\n  oh dear", error.message)

    def test_failure_that_may_be(self) -> None:
        self.assertEqual(1, process.run(["false"], check=False).status)

    def test_killed(self) -> None:
        error = self.assertRaises(
            errors.CommandError, process.run, ["sh", "-c", "kill -9 $$"]
        )
        self.assertIn("killed by SIGKILL", error.message)

    def test_takes_too_long(self) -> None:
        error = self.assertRaises(
            errors.CommandError, process.run, ["sleep", "60"], timeout=0.1
        )
        self.assertIn("did not end within", error.message)

    def test_no_such_program(self) -> None:
        error = self.assertRaises(
            errors.MissingToolError, process.run, ["no-such-program-x"]
        )
        self.assertIn("no-such-program-x", error.message)
        self.assertEqual(errors.EXIT_MISSING, error.exit_status)

    def test_require_names_all_and_their_packages(self) -> None:
        self.set_env(PATH=str(self.temp_dir()))
        self.patch_object(process, "_SYSTEM_PLACES", ())
        error = self.assertRaises(
            errors.MissingToolError, process.require, "sgdisk", "qemu-img"
        )
        self.assertIn("sgdisk, qemu-img", error.message)
        self.assertIn("install ", error.hint or "")

    def test_roots_programs_are_found(self) -> None:
        place = self.temp_dir()
        self.fake_program("for-root-x", "echo found", place)
        self.set_env(PATH="/usr/bin:/bin")
        self.assertIsNone(process.find("for-root-x"))
        self.patch_object(process, "_SYSTEM_PLACES", (str(place),))
        process.require("for-root-x")
        self.assertEqual("found\n", process.run(["for-root-x"]).stdout)


class StartTest(base.TestCase):
    def test_stop_ends_the_children_too(self) -> None:
        log = self.temp_dir() / "log"
        child = process.start(
            ["sh", "-c", "sleep 60 & echo $!; wait"], log=log
        )
        while not log.read_text().strip():
            time.sleep(0.01)
        self.assertEqual(-signal.SIGTERM, process.stop(child))
        pid = log.read_text().strip()
        end = time.monotonic() + 20
        # gone, or waiting for its new parent to notice
        while self.state(pid) not in ("", "Z"):
            self.assertLess(time.monotonic(), end, "it runs on")
            time.sleep(0.01)

    def state(self, pid: str) -> str:
        done = process.run(["ps", "-o", "stat=", pid], check=False)
        return done.stdout.strip()[:1]

    def test_stop_kills_what_does_not_listen(self) -> None:
        log = self.temp_dir() / "log"
        child = process.start(
            ["sh", "-c", "trap '' TERM; echo up; while :; do sleep 1; done"],
            log=log,
        )
        while not log.read_text():
            time.sleep(0.01)
        self.assertEqual(-signal.SIGKILL, process.stop(child, grace=0.2))


class MemoryTest(base.TestCase):
    def test_what_is_free(self) -> None:
        physical = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
        self.assertTrue(0 < process.measure_free_memory() <= physical)
