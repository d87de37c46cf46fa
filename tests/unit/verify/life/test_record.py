# SPDX-License-Identifier: Apache-2.0
"""What the record says of checks that were neither passed nor failed."""

from tests import base
from trove_tools.verify import outcome


class RecordTest(base.TestCase):
    def setUp(self) -> None:
        super().setUp()
        self.report = outcome.Report("image", "life")
        with self.report.check("mariadb: SQL"):
            pass

    def make(self, name: str, error: outcome.CheckError) -> None:
        with (
            self.assertRaises(outcome.CheckError),
            self.report.check(name),
        ):
            raise error

    def test_what_trove_cannot_do(self) -> None:
        self.make("mariadb: upgrade", outcome.UnsupportedError("not allowed"))
        self.assertEqual(
            {"mariadb: upgrade": "not allowed"},
            self.report.as_dict()["unsupported"],
        )
        names = [check.name for check in self.report.checks]
        self.assertEqual(["mariadb: SQL"], names)
        self.assertTrue(self.report.ok)

    def test_what_the_image_does_not_have(self) -> None:
        self.make("mariadb: backup", outcome.UnmadeError("no container"))
        self.assertEqual(
            {"mariadb: backup": "no container"}, self.report.missing
        )
        self.assertTrue(self.report.ok)

    def test_a_failure(self) -> None:
        self.make("mariadb: crash", outcome.CheckError("gone"))
        self.assertFalse(self.report.ok)
        self.assertEqual({}, self.report.unsupported)
