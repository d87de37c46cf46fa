# SPDX-License-Identifier: Apache-2.0
import dataclasses
import pathlib
import subprocess
import time

from minicloud import processes
from tests import base
from trove_tools.host import liveness

#: A service with a worker, as uWSGI is one; the worker ignores SIGTERM.
_SERVICE = """
(trap '' TERM; while :; do sleep 0.05; done) &
echo started
wait
"""


class ProcessesTest(base.TestCase):
    def setUp(self) -> None:
        super().setUp()
        self.directory = self.temp_dir()

    def start(self, script: str) -> liveness.Process:
        child = subprocess.Popen(
            ["bash", "-c", script], cwd=self.directory,
            stdout=subprocess.PIPE, start_new_session=True,
        )  # fmt: skip
        self.addCleanup(child.communicate)
        self.addCleanup(child.kill)
        assert child.stdout is not None
        child.stdout.readline()
        known = liveness.identify(child.pid)
        assert known is not None
        return known

    def test_alive_until_it_ends(self) -> None:
        known = self.start("echo; exec sleep 60")
        self.assertTrue(liveness.alive(known))
        processes.end([known], self.directory)
        # it is a zombie now, because this test has not waited for it
        self.assertFalse(liveness.alive(known))
        self.assertEqual([], processes.session(known, self.directory))

    def test_another_process_with_the_same_id(self) -> None:
        known = self.start("echo; exec sleep 60")
        for other in (
            dataclasses.replace(known, start=known.start - 1),
            dataclasses.replace(known, boot="an earlier one"),
        ):
            self.assertFalse(liveness.alive(other))
            self.assertEqual([], processes.session(other, self.directory))
            processes.end([other], self.directory)
        self.assertTrue(liveness.alive(known))

    def test_what_it_started_ends_with_it(self) -> None:
        known = self.start(_SERVICE)
        self.assertGreater(len(processes.session(known, self.directory)), 1)
        processes.end([known], self.directory, grace=5)
        self.assertEqual([], processes.session(known, self.directory))

    def test_what_a_crash_left_is_ended(self) -> None:
        known = self.start(_SERVICE)
        subprocess.run(["kill", "-KILL", str(known.pid)], check=True)
        while liveness.alive(known):
            time.sleep(0.01)
        self.assertNotEqual([], processes.session(known, self.directory))
        processes.end([known], self.directory)
        self.assertEqual([], processes.session(known, self.directory))

    def test_one_that_works_elsewhere_is_not_ours(self) -> None:
        known = self.start("echo; exec sleep 60")
        elsewhere = self.temp_dir()
        self.assertEqual([], processes.session(known, elsewhere))

    def test_one_that_does_not_heed_sigterm(self) -> None:
        known = self.start("trap '' TERM; echo; while :; do sleep 0.05; done")
        processes.end([known], self.directory, grace=0.2)
        self.assertFalse(liveness.alive(known))

    def test_nothing_to_end(self) -> None:
        processes.end([], self.directory)

    def test_written_down_and_read_again(self) -> None:
        path = self.directory / "record"
        known = liveness.Process(1, 2, "boot")
        processes.remember(path, known)
        self.assertEqual(known, processes.recall(path))
        for text in ("", "{}", "[]", '{"pid": 1}'):
            path.write_text(text)
            self.assertIsNone(processes.recall(path))
        self.assertIsNone(processes.recall(pathlib.Path("/nowhere")))

    def test_an_id_that_nobody_has(self) -> None:
        self.assertIsNone(liveness.identify(2**30))
