# SPDX-License-Identifier: Apache-2.0
"""What the checks of an instance's life judge by, without an instance."""

import contextlib
import typing
from unittest import mock

from tests import base
from trove_tools.verify import limits
from trove_tools.verify import outcome
from trove_tools.verify import sql
from trove_tools.verify import subject as _subject
from trove_tools.verify.life import copies
from trove_tools.verify.life import instance as _instance
from trove_tools.verify.life import load
from trove_tools.verify.life import server
from trove_tools.verify.life import world

MARIADB = _subject.Datastore(
    "mariadb", "11.8", "mariadb", "mariadb", "mysql", 3306
)


class LifeCase(base.TestCase):
    def setUp(self) -> None:
        super().setUp()
        self.machine = mock.Mock(limits=limits.Limits(1.0))
        self.machine.port.return_value = 1
        self.machine.signs.return_value = 0
        self.world = mock.Mock(former=None)
        self.world.machine.return_value = self.machine
        self.plane = mock.Mock()
        self.plane.call.side_effect = self.answer
        #: What Trove answers to a call, by its name.
        self.answers: dict[str, dict[str, typing.Any]] = {
            "state": {"status": "healthy", "updated": "2", "size": 2}
        }
        self.calls: list[str] = []
        self.instance = _instance.Instance(
            self.plane, self.world, mock.Mock(), MARIADB, "id", "server",
            "user", "password", "database",
        )  # fmt: skip
        self.patch_object(_instance, "_PAUSE", 0.0)
        self.patch_object(sql, "_PAUSE", 0.0)

    def answer(
        self, name: str, *_: object, **__: object
    ) -> dict[str, typing.Any]:
        self.calls.append(name)
        return self.answers.get(name, {"logged": []})


class InstanceTest(LifeCase):
    def test_silence_is_no_refusal(self) -> None:
        silent = mock.Mock(side_effect=OSError("gone"))
        with self.assertRaisesRegex(outcome.CheckError, "still logs in"):
            self.instance.require_refused(silent, "still logs in")

    def test_healthy_from_before_does_not_count(self) -> None:
        with self.assertRaisesRegex(outcome.CheckError, "HEALTHY again"):
            self.instance.wait_healthy(since="2")
        self.instance.wait_healthy(since="1")


class ConfigurationTest(LifeCase):
    def look(self, *values: str) -> str:
        found = iter(values)
        self.patch_object(sql, "setting", lambda *_: next(found))
        return server.configuration(self.instance)

    def test_a_parameter_without_effect(self) -> None:
        self.answers["attach_configuration"] = {"restart": False}
        with self.assertRaisesRegex(
            outcome.CheckError, "400, 1024 in place of 77, 1024"
        ):
            self.look("400", "1024", "400", "1024")

    def test_good(self) -> None:
        answers = iter(({"restart": False}, {"restart": True}))
        original = self.answer

        def answer(name: str, *words: object, **more: object) -> typing.Any:
            if name == "attach_configuration":
                return next(answers)
            if name == "detach_configuration":
                return {"restart": False}
            return original(name, *words, **more)

        self.plane.call.side_effect = answer
        said = self.look(
            "400", "1024", "77", "1024", "77", "1234", "400", "1024"
        )
        self.assertIn("max_connections at once", said)
        self.assertEqual(2, self.calls.count("restart"))


class UpgradeTest(LifeCase):
    def test_trove_does_no_major_upgrade(self) -> None:
        self.world.former = world.Former(mock.Mock(), "10.11")
        self.answers["bear"] = {"id": "old", "server": "old-server"}
        self.answers["upgrade"] = {
            "logged": [
                "Failed to upgrade instance old, error: Remote error:"
                " Major version upgrade is not allowed: 10.11 -> 11.8"
            ]
        }
        self.patch_object(sql, "write", lambda *_: None)
        self.patch_object(sql, "version", lambda *_: "10.11.1")
        with self.assertRaises(outcome.UnsupportedError) as caught:
            copies.upgrade(self.instance)
        self.assertIn("not allowed: 10.11 -> 11.8", caught.exception.message)
        self.assertNotIn("rebuild", self.calls)
        self.world.remove.assert_called_once_with("old-server")


class LoadTest(LifeCase):
    def setUp(self) -> None:
        super().setUp()
        self.rows: set[int] = set()
        self.losing = False
        self.patch_object(sql, "session", self.session)
        self.patch_object(sql, "version", lambda *_: "11.8")
        self.patch_object(load, "_CALM", 0.05)

    @contextlib.contextmanager
    def session(self, _: object) -> typing.Any:
        def execute(statement: str, *_: object) -> list[tuple[int]]:
            if statement.startswith("INSERT"):
                number = int(statement.split("(")[1].rstrip(")"))
                if not self.losing or number % 7:
                    self.rows.add(number)
            if statement.startswith("SELECT"):
                return [(row,) for row in self.rows]
            return []

        yield execute

    def test_all_there(self) -> None:
        self.assertIn("none lost", load.load(self.instance))
        self.assertIn("restart", self.calls)

    def test_lost_rows(self) -> None:
        self.losing = True
        with self.assertRaisesRegex(outcome.CheckError, "rows are lost"):
            load.load(self.instance)
