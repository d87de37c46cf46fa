# SPDX-License-Identifier: Apache-2.0

from gate import tables
from tests import base
from trove_tools.catalog import loader


class TablesTest(base.TestCase):
    def test_a_stale_table_is_replaced(self) -> None:
        old = (
            "before\n\n.. catalog table support begins\n\nold\n\n"
            ".. catalog table ends\n\nafter\n"
        )
        new = tables.update(old, loader.load())
        self.assertNotIn("old", new)
        self.assertIn("couchdb", new)
        self.assertTrue(new.startswith("before\n"))
        self.assertTrue(new.endswith("\nafter\n"))
        self.assertEqual(new, tables.update(new, loader.load()))
