# SPDX-License-Identifier: Apache-2.0
"""What is a refusal of a server, and what is no answer."""

from tests import base
from trove_tools.verify import sql


class RefusalTest(base.TestCase):
    def test_what_is_refused(self) -> None:
        for said in (
            1045,
            1044,
            'FATAL:  password authentication failed for user "u"',
            'FATAL:  permission denied for database "d"',
        ):
            self.assertTrue(sql.is_refusal(Exception(said, "no")))
        denied = Exception("no")
        denied.pgcode = "42501"  # type: ignore[attr-defined]
        self.assertTrue(sql.is_refusal(denied))

    def test_what_is_no_answer(self) -> None:
        for said in (2013, "the database system is starting up"):
            self.assertFalse(sql.is_refusal(Exception(said)))
        self.assertFalse(sql.is_refusal(Exception()))
