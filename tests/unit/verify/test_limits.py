# SPDX-License-Identifier: Apache-2.0
"""How long verify waits for guests of different speed."""

import os
import time

from tests import base
from trove_tools.host import process
from trove_tools.verify import limits
from trove_tools.verify import outcome


class LimitsTest(base.TestCase):
    def setUp(self) -> None:
        super().setUp()
        self.now = 1000.0
        self.loads = 1.0
        self.patch_object(time, "monotonic", lambda: self.now)
        self.patch_object(os, "cpu_count", lambda: 2)
        self.patch_object(os, "getloadavg", lambda: (2 * self.loads, 0, 0))
        self.limits = limits.Limits(10000)

    def test_a_quiet_host(self) -> None:
        self.loads = 0.1
        self.assertEqual(1, self.limits.slowness())
        self.assertEqual(30, self.limits.scaled(30))
        self.assertEqual(30, process.scale_timeout(30))
        self.assertIsNone(self.limits.speed())

    def test_a_busy_host(self) -> None:
        self.loads = 4.0
        self.assertEqual(120, self.limits.scaled(30))
        self.assertEqual(120, process.scale_timeout(30))
        self.assertIn(
            "4 times slower than usual (load of this host: 8.0 on 2",
            self.limits.speed() or "",
        )

    def test_a_slow_guest_on_a_host_that_seems_quiet(self) -> None:
        self.limits.measure(350, 35)
        self.limits.measure(1, 35)
        self.assertEqual(300, self.limits.scaled(30))
        self.assertIn("10 times slower", self.limits.speed() or "")

    def test_nothing_is_longer_than_the_users_limit(self) -> None:
        self.limits.measure(10**6, 1)
        self.assertEqual(10000, self.limits.scaled(30))

    def lost(self, wait: limits.Wait, *signs: object) -> outcome.CheckError:
        error: outcome.CheckError = self.assertRaises(
            outcome.CheckError, wait.require, "no answer", *signs
        )
        return error

    def test_who_gets_on_is_waited_for(self) -> None:
        wait = self.limits.wait(300)
        for number in range(34):
            wait.require("no answer", number)
            self.now += 299
        error = self.lost(wait, 35)
        self.assertEqual("no answer within 10000 s (--timeout)", error.message)
        self.assertIn("--timeout", error.hint or "")

    def test_who_does_not_is_given_up(self) -> None:
        wait = self.limits.wait(300)
        wait.require("no answer", 1)
        self.now += 100
        wait.require("no answer", 2)
        self.now += 299
        wait.require("no answer", 2)
        self.now += 2
        self.assertEqual(
            "no answer in 401 s, and the guest showed nothing new for the"
            " last 301 s",
            self.lost(wait, 2).message,
        )

    def test_a_slow_one_is_given_more_time(self) -> None:
        wait = self.limits.wait(300)
        wait.require("no answer", 1)
        self.now += 1000
        self.loads = 4.0
        wait.require("no answer", 1)
        self.now += 300
        error = self.lost(wait, 1)
        self.assertIn("4 times slower", error.hint or "")
        self.now += 10000
        hint = self.lost(wait, 2).hint or ""
        self.assertTrue(hint.endswith(", or give it more time with --timeout"))


class ActivityTest(base.TestCase):
    def setUp(self) -> None:
        super().setUp()
        self.log = self.temp_dir() / "log"
        self.activity = limits.Activity(self.log, self.log.with_name("no"))

    def count(self, text: str) -> int:
        with open(self.log, "a") as stream:
            stream.write(text)
        return self.activity.count()

    def test_lines_that_are_new(self) -> None:
        self.assertEqual(0, self.activity.count())
        self.assertEqual(2, self.count("one\ntwo\nthr"))
        self.assertEqual(3, self.count("ee\n"))

    def test_a_service_that_fails_again_and_again(self) -> None:
        self.assertEqual(
            2,
            self.count(
                "[ 10.123] systemd[1]: Started agent.service\r\n"
                "[ 10.456] agent[17]: failed at 0x3f2a99, id 4b1d-77ac\r\n"
            ),
        )
        self.assertEqual(
            2,
            self.count(
                "[125.789] systemd[1]: Started agent.service\r\n"
                "[126.012] agent[932]: failed at 0x99b81c, id 90de-1f2a\r\n"
            ),
        )

    def test_a_start_job_whose_seconds_are_counted(self) -> None:
        line = "[  *** ] A start job is running for x.device ({}s / 1min 30s)"
        self.assertEqual(1, self.count(line.format(5) + "\n"))
        self.assertEqual(1, self.count(line.format(17) + "\n"))
