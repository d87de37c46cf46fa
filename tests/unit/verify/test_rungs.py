# SPDX-License-Identifier: Apache-2.0
"""The rungs, with a guest and a control plane of a few lines."""

import time
import typing

from tests import base
from tests.unit.verify import test_defects
from trove_tools import errors
from trove_tools.verify import control
from trove_tools.verify import limits
from trove_tools.verify import report
from trove_tools.verify import rungs
from trove_tools.verify import sql

DATASTORE = rungs.Datastore("mariadb", "11.8", "mariadb", "", "mysql", 3306)


class FakeGuest:
    def __init__(self, facts: dict[str, typing.Any]) -> None:
        self.facts = facts
        self.logs: dict[str, list[str]] = {}
        self.lost = ""
        self.answers = True
        self.limits = limits.Limits()
        self.said: list[str] = []

    def stay_alive(self) -> None:
        if self.lost:
            raise report.CheckError(self.lost)

    def settled(self) -> bool:
        return True

    def say(self, task: str) -> None:
        self.said.append(task)

    def signs(self) -> int:
        return 0

    def evidence(self, everything: bool) -> dict[str, typing.Any]:
        if not self.answers:
            return {}
        return {"facts": self.facts, "logs": self.logs}

    def port(self, number: int) -> int:
        return number + 10000


class FakePlane:
    """Answers what it is told to, and notes what it is asked."""

    def __init__(self) -> None:
        self.answers: dict[str, typing.Any] = {
            "ping": {"alive": True},
            "prepare": {},
            "status": {"status": "healthy", "faults": []},
            "restart": {},
        }
        self.calls: list[tuple[str, dict[str, typing.Any]]] = []

    def call(
        self,
        name: str,
        between: typing.Callable[[], None] | None = None,
        **arguments: typing.Any,
    ) -> dict[str, typing.Any]:
        self.calls.append((name, arguments))
        answer = self.answers[name]
        if isinstance(answer, Exception):
            raise answer
        return dict(answer)


class ClimbTest(base.TestCase):
    def setUp(self) -> None:
        super().setUp()
        self.guest = FakeGuest(dict(test_defects.GOOD))
        self.plane = FakePlane()
        self.found = report.Report(image="x.qcow2", level="agent")
        self.stored = ""
        self.accounts: list[sql.Account] = []
        self.patch_object(sql, "version", lambda account: "11.8-MariaDB")
        self.patch_object(sql, "write", self.write)
        self.patch_object(sql, "read", lambda account: self.stored)

    def write(self, account: sql.Account, word: str) -> None:
        self.accounts.append(account)
        self.stored = word

    def climb(self, most: float = limits.MOST) -> None:
        self.guest.limits.most = most
        plane: typing.Any = self.plane
        rungs.Climb(
            self.found,
            self.guest,
            plane,
            DATASTORE,
            time.monotonic(),
        ).climb()

    def fails(self, most: float = 0.2) -> report.Check:
        self.assertRaises(report.CheckError, self.climb, most)
        return self.found.checks[-1]

    def test_everything_holds(self) -> None:
        self.climb()
        self.assertEqual(
            [f"mariadb: {name}" for name in (
                "agent answers", "no known defect", "prepare", "SQL",
                "restart",
            )],
            [check.name for check in self.found.checks],
        )  # fmt: skip
        self.assertTrue(self.found.ok)
        self.assertEqual({"ping", "healthy"}, set(self.found.facts["mariadb"]))
        names = [name for name, _ in self.plane.calls]
        self.assertEqual(["ping", "prepare", "status", "restart"], names)
        asked = self.plane.calls[1][1]
        (account,) = self.accounts
        self.assertEqual(
            (asked["user"], asked["password"], asked["database"], 13306),
            (account.user, account.password, account.database, account.port),
        )

    def test_an_agent_that_never_answers(self) -> None:
        self.plane.answers["ping"] = {"alive": False}
        self.guest.logs = {"guest agent": ["sudo: a password is required"]}
        check = self.fails()
        self.assertEqual("mariadb: agent answers", check.name)
        self.assertIn("answers no ping", check.detail)
        self.assertIn("guest agent: sudo: a password is required", check.log)
        self.assertIn("sudoers", check.hint or "")
        self.assertIn(
            "mariadb: waiting for the guest agent to answer a ping",
            self.guest.said,
        )

    def test_an_agent_that_is_known_not_to_answer(self) -> None:
        self.plane.answers["ping"] = {"alive": False}
        self.guest.facts["database_uid_owner"] = "debian"
        check = self.fails(3600.0)
        self.assertIn("belongs to the user `debian`", check.detail)
        self.assertIn("another uid in the image", check.hint or "")

    def test_a_guest_that_is_lost(self) -> None:
        self.guest.lost = "the guest's kernel panicked"
        self.guest.answers = False
        check = self.fails()
        self.assertEqual("the guest's kernel panicked", check.detail)
        self.assertEqual(["the guest does not answer any more"], check.log)

    def test_a_defect_that_lies_in_wait(self) -> None:
        self.guest.facts["hostname_resolves"] = False
        check = self.fails()
        self.assertEqual("mariadb: no known defect", check.name)
        self.assertIn("own name", check.detail)
        self.assertIn("myhostname", check.hint or "")

    def test_an_instance_that_fails(self) -> None:
        self.plane.answers["status"] = {
            "status": "failed to spawn",
            "faults": ["Failed to start mysql"],
        }
        check = self.fails()
        self.assertEqual("mariadb: prepare", check.name)
        self.assertIn("'failed to spawn'", check.detail)
        self.assertIn("Failed to start mysql", check.detail)

    def test_an_instance_that_stays_as_it_is(self) -> None:
        self.plane.answers["status"] = {"status": "building", "faults": []}
        check = self.fails()
        self.assertIn("the instance stays 'building' within 0", check.detail)
        self.assertIn(
            "mariadb: waiting for HEALTHY; the instance is building",
            self.guest.said,
        )

    def test_healthy_without_the_user(self) -> None:
        def refuse(account: sql.Account) -> str:
            raise RuntimeError("Access denied")

        self.patch_object(sql, "version", refuse)
        check = self.fails()
        self.assertEqual("mariadb: SQL", check.name)
        self.assertIn("Access denied", check.detail)

    def test_data_that_is_lost(self) -> None:
        self.patch_object(sql, "read", lambda account: "other")
        check = self.fails()
        self.assertIn("what was written is not there", check.detail)

    def test_troves_own_code_fails(self) -> None:
        self.plane.answers["restart"] = control.FailedError("GuestError: no")
        check = self.fails()
        self.assertEqual("mariadb: restart", check.name)
        self.assertEqual("GuestError: no", check.detail)
        self.assertIsInstance(
            self.plane.answers["restart"], errors.VerifyError
        )

    def test_the_password_is_not_shown(self) -> None:
        def tell(account: sql.Account) -> str:
            self.guest.logs = {"agent": [f"IDENTIFIED BY {account.password}"]}
            raise RuntimeError("no")

        self.patch_object(sql, "version", tell)
        self.assertIn("  IDENTIFIED BY ***", self.fails().log)
