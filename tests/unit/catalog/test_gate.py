# SPDX-License-Identifier: Apache-2.0
"""What the gate boots, and the tables that say so."""

from tests import base
from trove_tools.catalog import gate
from trove_tools.catalog import loader
from trove_tools.catalog import native


class GateTest(base.TestCase):
    def setUp(self) -> None:
        super().setUp()
        self.set_env(XDG_CACHE_HOME=str(self.temp_dir()))
        self.catalog = loader.load()

    def test_one_of_each_kind_in_one_guest_system(self) -> None:
        chosen = gate.list_natives(
            self.catalog, gate.find_system(self.catalog)
        )
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
        self.assertRaises(LookupError, gate.find_system, self.catalog)

    def test_containers(self) -> None:
        self.assertEqual(
            ["mariadb", "postgresql"], gate.list_containers(self.catalog)
        )
