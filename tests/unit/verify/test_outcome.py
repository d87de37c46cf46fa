# SPDX-License-Identifier: Apache-2.0
"""The report, and the error that is made of it."""

import json

from tests import base
from trove_tools import errors
from trove_tools.verify import outcome


class ReportTest(base.TestCase):
    def setUp(self) -> None:
        super().setUp()
        self.report = outcome.Report(image="/a/b.qcow2", level="boot")

    def fail_a_check(self) -> None:
        with self.report.check("systemd"):
            raise outcome.CheckError("degraded", ["a.service:"], hint="look")

    def test_nothing_checked_is_not_good(self) -> None:
        self.assertFalse(self.report.ok)

    def test_good_checks(self) -> None:
        with self.report.check("image") as check:
            check.detail = "whole"
        self.assertTrue(self.report.ok)
        self.report.raise_for_failure()
        data = json.loads(json.dumps(self.report.as_dict()))
        self.assertTrue(data["ok"])
        self.assertEqual("whole", data["checks"][0]["detail"])

    def test_a_failed_check(self) -> None:
        with self.report.check("image"):
            pass
        self.assertRaises(outcome.CheckError, self.fail_a_check)
        self.assertFalse(self.report.ok)
        self.report.console = ["last words"]
        self.report.logs = "/a/b.d/verify"
        error = self.assertRaises(
            errors.VerifyError, self.report.raise_for_failure
        )
        self.assertEqual(errors.EXIT_FAILED, error.exit_status)
        self.assertEqual(
            "b.qcow2 failed systemd: degraded\n"
            "  a.service:\n"
            "the guest's console, at its end:\n"
            "  last words",
            error.message,
        )
        self.assertEqual(
            "look; all logs are in /a/b.d/verify", error.hint
        )

    def test_a_check_that_is_interrupted(self) -> None:
        def interrupted() -> None:
            with self.report.check("boot"):
                raise KeyboardInterrupt

        self.assertRaises(KeyboardInterrupt, interrupted)
        self.assertEqual("not finished", self.report.checks[0].detail)
        self.assertFalse(self.report.ok)
