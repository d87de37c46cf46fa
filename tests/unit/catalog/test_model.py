# SPDX-License-Identifier: Apache-2.0

from tests import base
from trove_tools import errors
from trove_tools.catalog import model


class SplitNameTest(base.TestCase):
    def test_parts(self) -> None:
        self.assertEqual(("a", ""), model.split_name("a"))
        self.assertEqual(("a", "1:2"), model.split_name("a:1:2"))

    def test_a_part_is_missing(self) -> None:
        for word in ("", ":", "a:", ":1"):
            error = self.assertRaises(
                errors.UsageError, model.split_name, word
            )
            self.assertIn(repr(word), error.message)
