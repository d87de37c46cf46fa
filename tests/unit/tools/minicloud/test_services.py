# SPDX-License-Identifier: Apache-2.0
import pathlib
import sqlite3
import threading

from minicloud import databases
from minicloud import services
from tests.unit.tools.minicloud import layout_case
from trove_tools.host import process


class CommandLinesTest(layout_case.LayoutCase):
    def setUp(self) -> None:
        super().setUp()
        self.given_up = threading.Event()
        self.calls: list[list[str]] = []
        self.patch_object(process, "run", self.run_nothing)

    def run_nothing(self, argv: list[str], env: dict[str, str],
                    cwd: pathlib.Path) -> None:  # fmt: skip
        self.calls.append(argv)
        self.password = env["OS_BOOTSTRAP_PASSWORD"]

    def prepare(self, service: services.Service) -> None:
        databases.prepare(service, self.layout, self.state, self.given_up)

    def test_only_loopback_is_served(self) -> None:
        for service in (services.KEYSTONE, services.GLANCE):
            line = services.serve(
                service, pathlib.Path("/opt/venv"), self.layout, 5000
            )
            place = line[line.index("--http-socket") + 1]
            self.assertEqual("127.0.0.1:5000", place)

    def test_no_password_on_a_command_line(self) -> None:
        for service in services.ALL:
            self.prepare(service)
            self.calls.append(
                services.serve(service, pathlib.Path("/v"), self.layout, 1)
            )
        self.assertEqual(self.state.passwords["admin"], self.password)
        for word in (word for line in self.calls for word in line):
            for secret in self.state.passwords.values():
                self.assertNotIn(secret, word)

    def test_what_is_run_for_a_database(self) -> None:
        for service, tasks in (
            (services.KEYSTONE, ["db_sync", "bootstrap"]),
            (services.GLANCE, ["db_sync"]),
            (services.TROVE, ["db_sync"]),
        ):
            self.calls.clear()
            self.prepare(service)
            self.assertEqual(tasks, [line[3] for line in self.calls])

    def test_a_database_lets_readers_be(self) -> None:
        self.prepare(services.TROVE)
        database = sqlite3.connect(self.layout.database("trove"))
        self.addCleanup(database.close)
        (mode,) = database.execute("PRAGMA journal_mode").fetchone()
        self.assertEqual("wal", mode)

    def test_another_service_has_failed(self) -> None:
        self.given_up.set()
        self.prepare(services.KEYSTONE)
        self.assertEqual([], self.calls)
