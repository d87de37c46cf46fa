# SPDX-License-Identifier: Apache-2.0
"""What the gate boots, and the tables that say so."""

from tests import base
from trove_tools.catalog import gate
from trove_tools.catalog import loader
from trove_tools.catalog import native
from trove_tools.catalog import tables


class GateTest(base.TestCase):
    def setUp(self) -> None:
        super().setUp()
        self.set_env(XDG_CACHE_HOME=str(self.temp_dir()))
        self.catalog = loader.load()

    def test_one_of_each_kind_in_one_guest_system(self) -> None:
        chosen = gate.natives(self.catalog, gate.system(self.catalog))
        self.assertEqual(list(gate.KINDS), list(chosen))
        ports = [
            port
            for name in chosen.values()
            for port in self.catalog.datastore(name).ports
        ]
        self.assertEqual(len(set(ports)), len(ports))
        for kind, name in chosen.items():
            self.assertEqual(
                kind, self.catalog.datastore(name).source("native")
            )

    def test_no_guest_system_has_all(self) -> None:
        for entry in list(self.catalog.datastores.values()):
            if entry.source("native") == native.FILE:
                del self.catalog.datastores[entry.name]  # type: ignore
        self.assertRaises(LookupError, gate.system, self.catalog)

    def test_containers(self) -> None:
        self.assertEqual(
            ["mariadb", "postgresql"], gate.containers(self.catalog)
        )


class TablesTest(base.TestCase):
    def test_documentation_is_up_to_date(self) -> None:
        catalog = loader.load()
        for name in ("README.rst",):
            file = base.ROOT / name
            text = file.read_text()
            self.assertIn(".. catalog table", text)
            self.assertEqual(
                tables.update(text, catalog), text,
                f"run: python -m trove_tools.catalog.tables {name}",
            )  # fmt: skip

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
