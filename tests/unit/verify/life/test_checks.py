# SPDX-License-Identifier: Apache-2.0
"""What the checks of an instance's life judge by, without an instance."""

import contextlib
import dataclasses
import typing
from unittest import mock

from tests import base
from trove_tools.verify import checks
from trove_tools.verify import limits
from trove_tools.verify import machine
from trove_tools.verify import outcome
from trove_tools.verify import sql
from trove_tools.verify import subject as _subject
from trove_tools.verify.life import backup
from trove_tools.verify.life import checks as life_checks
from trove_tools.verify.life import cloud
from trove_tools.verify.life import instance as _instance
from trove_tools.verify.life import server

MARIADB = _subject.Datastore(
    "mariadb", "11.8", "mariadb", "mariadb", "mysql", 3306
)


class LifeCase(base.TestCase):
    def setUp(self) -> None:
        super().setUp()
        self.machine = mock.Mock(limits=limits.Limits(1.0))
        self.machine.port.return_value = 1
        self.machine.signs.return_value = 0
        self.cloud = mock.Mock(former=None)
        self.cloud.machine.return_value = self.machine
        self.plane = mock.Mock()
        self.plane.call.side_effect = self.answer
        #: What Trove answers to a call, by its name.
        self.answers: dict[str, dict[str, typing.Any]] = {
            "state": {"status": "healthy", "updated": "2", "size": 2}
        }
        self.calls: list[str] = []
        self.instance = _instance.Instance(
            self.plane, self.cloud, mock.Mock(), MARIADB, "id", "server",
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
        self.assertIn("heartbeat", self.calls)

    def test_the_agent_reports_by_itself(self) -> None:
        self.instance.wait_healthy(since="1", ask=False)
        self.assertNotIn("heartbeat", self.calls)


class ThreadsTest(LifeCase):
    """Checks of two instances at a time."""

    def setUp(self) -> None:
        super().setUp()
        self.made: list[tuple[str, str]] = []
        self.answers["create_another"] = {
            "id": "second",
            "server": "second-server",
        }
        self.words: list[str] = []
        self.patch_object(
            sql, "write", lambda _, word: self.words.append(word)
        )
        self.patch_object(sql, "read_words", lambda _: self.words)
        self.subject = _subject.Subject(
            self.machine, mock.Mock(), mock.Mock(), mock.Mock(), {},
            life=self.instance,
        )  # fmt: skip
        self.plane.parallel = self.plane

    def check(self, check: checks.Check, subject: _subject.Subject) -> None:
        if check.name == "create":
            check.run(subject)
        self.made.append((check.name, subject.life.id))

    def make(self, *names: str) -> None:
        life_checks.make(
            self.subject, life_checks.chosen(names), self.check, mock.Mock()
        )

    def test_all(self) -> None:
        self.make()
        made = dict(self.made)
        self.assertEqual(
            {*(one.name for one in life_checks.CHECKS), "create"}, set(made)
        )
        for name in ("replication", "backup"):
            self.assertEqual("second", made[name])
        self.assertEqual("id", made["crash"])
        self.cloud.remove.assert_called_once_with("second-server")

    def test_one_instance_is_enough(self) -> None:
        self.make("replication", "backup")
        self.assertEqual(
            [("replication", "id"), ("backup", "id")], self.made
        )
        self.cloud.remove.assert_not_called()

    def test_a_failure_does_not_hide_the_others(self) -> None:
        original = self.check

        def check(one: checks.Check, subject: _subject.Subject) -> None:
            if one.name == "crash":
                raise outcome.CheckError("the guest is gone")
            original(one, subject)

        with self.assertRaisesRegex(outcome.CheckError, "gone"):
            life_checks.make(
                self.subject, life_checks.CHECKS, check, mock.Mock()
            )
        self.assertIn(("backup", "second"), self.made)

    def test_an_interruption_ends_both(self) -> None:
        end = mock.Mock()

        def check(one: checks.Check, subject: _subject.Subject) -> None:
            if one.name == "users":
                raise KeyboardInterrupt
            if one.name == "create":
                one.run(subject)

        with self.assertRaises(KeyboardInterrupt):
            life_checks.make(
                self.subject, life_checks.CHECKS, check, end
            )
        end.assert_called_once_with()


class ConfigurationTest(LifeCase):
    def look(self, *values: str) -> str:
        found = iter(values)
        self.patch_object(sql, "read_setting", lambda *_: next(found))
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
    def setUp(self) -> None:
        super().setUp()
        self.words: list[str] = []
        self.patch_object(
            sql, "write", lambda _, word: self.words.append(word)
        )
        self.patch_object(sql, "read_words", lambda _: self.words)
        self.patch_object(sql, "read_version", lambda _: "10.11.1")
        self.cloud.former = cloud.Former(mock.Mock(), "10.11")
        self.answers["create_another"] = {"id": "old", "server": "old-server"}
        self.answers["state"].update(version="11.8", task="ERROR")
        self.machine.directory = self.temp_dir()
        self.journal = self.machine.directory / machine.JOURNAL
        self.journal.write_text(
            "agent: TroveError: Major version upgrade is not allowed:"
            " 10.11 -> 11.8\nagent: still there\n"
        )

    def test_trove_does_no_major_upgrade(self) -> None:
        with self.assertRaises(outcome.UnsupportedError) as caught:
            backup.upgrade(self.instance)
        self.assertIn(
            "not allowed: 10.11 -> 11.8 (", caught.exception.message
        )
        self.assertIn("still runs 10.11.1", caught.exception.message)
        self.assertIn("shows version 11.8", caught.exception.message)
        self.assertNotIn("rebuild", self.calls)
        self.cloud.remove.assert_called_once_with("old-server")

    def test_an_upgrade_that_trove_allows(self) -> None:
        self.journal.write_text("agent: Starting new db container\n")
        self.patch_object(
            _instance.Instance, "wait_healthy", lambda *_, **__: None
        )
        self.assertIn("10.11.1 after", backup.upgrade(self.instance))
        self.assertIn("rebuild", self.calls)

    def test_an_upgrade_that_fails(self) -> None:
        self.journal.write_text("agent: no such container\n")
        self.answers["upgrade"] = {"logged": ["Failed to upgrade instance"]}
        with self.assertRaisesRegex(outcome.CheckError, "Failed to upgrade"):
            backup.upgrade(self.instance)
        self.assertNotIn("rebuild", self.calls)

    def test_a_refused_upgrade_that_loses_data_fails(self) -> None:
        self.patch_object(sql, "read_words", lambda _: [])
        with self.assertRaisesRegex(outcome.CheckError, "not there after"):
            backup.upgrade(self.instance)
        self.cloud.remove.assert_called_once_with("old-server")


class LoadTest(LifeCase):
    def setUp(self) -> None:
        super().setUp()
        self.rows: set[int] = set()
        self.losing = False
        self.patch_object(sql, "open_session", self.session)
        self.patch_object(sql, "read_version", lambda *_: "11.8")
        self.patch_object(server, "_CALM", 0.05)

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
        said = server.load(self.instance)
        self.assertIn("none lost", said)
        self.assertIn("takes no backups", said)
        self.assertIn("restart", self.calls)

    def test_backup(self) -> None:
        self.instance.datastore = dataclasses.replace(MARIADB, backup="b")
        self.answers["backup"] = {"backup": "id"}
        self.answers["backup_state"] = {"state": "COMPLETED"}
        self.assertIn("a backup", server.load(self.instance))
        self.assertIn("backup", self.calls)

    def test_lost_rows(self) -> None:
        self.losing = True
        with self.assertRaisesRegex(outcome.CheckError, "rows are lost"):
            server.load(self.instance)
