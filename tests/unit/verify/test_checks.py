# SPDX-License-Identifier: Apache-2.0
"""The checks, with a machine and a control plane of a few lines."""

import contextlib
import json
import threading
import time
import types
import typing

from tests import base
from tests.unit.verify import fakes
from tests.unit.verify import samples
from tests.unit.verify import test_defects
from trove_tools import console
from trove_tools import errors
from trove_tools.artifact import verification
from trove_tools.verify import checks
from trove_tools.verify import control
from trove_tools.verify import diagnosis
from trove_tools.verify import disks
from trove_tools.verify import ladder
from trove_tools.verify import limits
from trove_tools.verify import machine
from trove_tools.verify import machines
from trove_tools.verify import outcome
from trove_tools.verify import probes
from trove_tools.verify import sql
from trove_tools.verify import subject as _subject

DATASTORE = _subject.Datastore("mariadb", "11.8", "mariadb", "", "mysql", 3306)


class FakePlane:
    """Answers what it is told to, and notes what it is asked."""

    def __init__(self) -> None:
        self.answers: dict[str, typing.Any] = {
            "create": {"id": "i1", "user_data": ""},
            "ping": {"alive": True},
            "prepare": {},
            "status": {"status": "healthy", "faults": []},
            "restart": {},
        }
        self.calls: list[tuple[str, dict[str, typing.Any]]] = []
        self.broker = types.SimpleNamespace(port=1)

    def call(
        self,
        name: str,
        between: typing.Callable[[], None] | None = None,
        **arguments: typing.Any,
    ) -> dict[str, typing.Any]:
        self.calls.append((name, arguments))
        answer = self.answers[name]
        if callable(answer):
            answer = answer()
        if isinstance(answer, BaseException):
            raise answer
        return dict(answer)


class LadderCase(base.TestCase):
    def setUp(self) -> None:
        super().setUp()
        self.place = self.temp_dir()
        self.machine = fakes.Machine(self.place)
        self.facts = dict(test_defects.GOOD)
        self.machine.answers = {
            "systemctl is-system-running": "running",
            "ip ": "".join(
                f"inet {nic.address}\n"
                for nic in (machine.MANAGEMENT, machine.TENANT)
            ),
            "blockdev": f"{2 << 30}\n",
            "python3 - facts": lambda: json.dumps(self.facts),
            "python3 - file-system": '""',
        }
        self.plane = FakePlane()
        self.found = outcome.Report(image="x.qcow2", level="agent")
        self.stored = ""
        self.accounts: list[sql.Account] = []
        self.patch_object(sql, "read_version", lambda account: "11.8-MariaDB")
        self.patch_object(sql, "write", self.write)
        self.patch_object(sql, "read", lambda account: self.stored)
        self.patch_object(machines.Machines, "open", self.open)
        self.patch_object(ladder._Ladder, "_plane", self.opened_plane)

    @contextlib.contextmanager
    def open(self, kind: str, *words: typing.Any) -> typing.Any:
        self.machine.kind = kind
        yield self.machine

    @contextlib.contextmanager
    def opened_plane(self, *words: typing.Any) -> typing.Any:
        yield self.plane

    def write(self, account: sql.Account, word: str) -> None:
        self.accounts.append(account)
        self.stored = word

    def climb(
        self,
        most: float = limits.MOST,
        kinds: tuple[str, ...] = (machine.QEMU,),
        **asked: typing.Any,
    ) -> None:
        self.machine.limits.most = most
        asked = asked or {"level": "agent", "datastores": (DATASTORE,)}
        ladder._Ladder(
            self.found,
            self.place,
            disks.Disk(self.place / "x", "raw", 1),
            ladder.Request(**asked),
            machines.Machines(kinds, "there is none"),
            console.Progress(),
        ).climb()

    def fails(
        self, most: float = 0.2, **how: typing.Any
    ) -> verification.Check:
        self.assertRaises(outcome.CheckError, self.climb, most, **how)
        return self.found.checks[-1]

    def names(self) -> list[str]:
        return [check.name for check in self.found.checks]


class AgentTest(LadderCase):
    def test_everything_holds(self) -> None:
        self.climb()
        self.assertEqual(
            ["boot", "systemd", "network", "kernel settings", "volume",
             "file systems",
             *(f"mariadb: {name}" for name in (
                "agent answers", "no known defect", "prepare", "SQL",
                "restart",
             )), "power off"],
            self.names(),
        )  # fmt: skip
        self.assertTrue(self.found.ok)
        self.assertEqual({}, self.found.missing)
        self.assertEqual({"qemu"}, {c.machine for c in self.found.checks})
        self.assertEqual({"ping", "healthy"}, set(self.found.facts["mariadb"]))
        names = [name for name, _ in self.plane.calls]
        self.assertEqual(
            ["create", "ping", "prepare", "status", "restart"], names
        )
        asked = self.plane.calls[2][1]
        (account,) = self.accounts
        self.assertEqual(
            (asked["user"], asked["password"], asked["database"], 13306),
            (account.user, account.password, account.database, account.port),
        )

    def test_a_container_proves_no_boot(self) -> None:
        self.climb(kinds=(machine.CONTAINER,))
        self.assertTrue(self.found.ok)
        self.assertEqual(
            dict.fromkeys(
                ("boot", "kernel settings", "volume", "file systems"),
                "there is none",
            ),
            self.found.missing,
        )
        self.assertEqual({"container"}, {c.machine for c in self.found.checks})

    def test_the_console_of_the_machine_that_failed(self) -> None:
        failed = threading.Event()
        emulated = fakes.Machine(self.temp_dir())
        emulated.directory.joinpath(machine.CONSOLE).write_text("no root\n")
        emulated.started = False
        emulated.lost = "the guest's kernel panicked"
        (self.place / machine.CONSOLE).write_text("nothing is wrong\n")
        answer = self.machine.answers["ip "]

        def wait() -> str:
            self.assertTrue(failed.wait(10))
            return str(answer)

        @contextlib.contextmanager
        def open_one(
            chosen: machines.Machines, kind: str, *words: typing.Any
        ) -> typing.Any:
            if kind == machine.CONTAINER:
                self.machine.kind = kind
                yield self.machine
                return
            try:
                yield emulated
            finally:
                failed.set()

        self.machine.answers["ip "] = wait
        self.patch_object(machines.Machines, "open", open_one)
        self.fails(10, kinds=(machine.CONTAINER, machine.QEMU))
        (wrong,) = [check for check in self.found.checks if not check.ok]
        self.assertEqual(machine.QEMU, wrong.machine)
        self.assertEqual(["no root"], self.found.console)

    def test_a_guest_of_each_datastore(self) -> None:
        """What needs no second look gets none."""
        self.climb(level="agent", datastores=(DATASTORE, DATASTORE))
        names = self.names()
        for name in ("boot", "systemd", "mariadb: SQL", "power off"):
            self.assertEqual(2, names.count(name), name)
        self.assertEqual(1, names.count("volume"))

    def test_an_agent_that_never_answers(self) -> None:
        self.plane.answers["ping"] = {"alive": False}
        (self.place / machine.JOURNAL).write_text(
            "[ 1.0] trove-guestagent[1]: sudo: a password is required\n"
        )
        check = self.fails()
        self.assertEqual("mariadb: agent answers", check.name)
        self.assertIn("answers no ping", check.detail)
        self.assertIn("sudo: a password is required", "\n".join(check.log))
        self.assertIn("sudoers", check.hint or "")
        self.assertIn(
            "mariadb: waiting for the guest agent to answer a ping",
            self.machine.said,
        )

    def test_an_agent_that_is_known_not_to_answer(self) -> None:
        self.plane.answers["ping"] = {"alive": False}
        self.facts["database_uid_owner"] = "debian"
        check = self.fails(3600.0)
        self.assertIn("belongs to the user `debian`", check.detail)
        self.assertIn("another uid in the image", check.hint or "")

    def test_a_guest_that_is_lost(self) -> None:
        def lose() -> typing.Any:
            self.machine.lost = "the guest's kernel panicked"
            self.machine.answers = {"": outcome.CheckError("no answer")}
            return {"alive": False}

        self.plane.answers["ping"] = lose
        check = self.fails()
        self.assertEqual("the guest's kernel panicked", check.detail)
        self.assertEqual(["the guest does not answer any more"], check.log)

    def test_a_defect_that_lies_in_wait(self) -> None:
        self.facts["hostname_resolves"] = False
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
            self.machine.said,
        )

    def search_at_once(self) -> None:
        self.plane.answers["status"] = {"status": "building", "faults": []}
        self.patch_object(control, "_POLL", 0.01)
        self.patch_object(checks, "_LOOK_INTERVAL", 0.01)

    def test_a_database_that_cannot_start(self) -> None:
        self.search_at_once()
        # a busy host is no reason to search later
        self.machine.limits.measure(1e6, 1.0)
        self.machine.answers["docker inspect"] = (
            'exec: "healthcheck.sh": executable file not found in $PATH'
        )
        check = self.fails(3600.0)
        self.assertEqual("mariadb: prepare", check.name)
        self.assertIn("has no health check that works", check.detail)

    def test_a_search_that_takes_long_is_not_repeated_soon(self) -> None:
        self.search_at_once()
        self.patch_object(checks, "_LOOK_SHARE", 0.0001)
        self.machine.answers["docker ps"] = lambda: time.sleep(0.01) or ""
        check = self.fails()
        self.assertIn("the instance stays 'building'", check.detail)
        # once more to explain the failure
        self.assertEqual(
            2, self.machine.asked.count(("docker", "ps", "--all"))
        )

    def test_healthy_without_the_user(self) -> None:
        def refuse(account: sql.Account) -> str:
            raise RuntimeError("Access denied")

        self.patch_object(sql, "read_version", refuse)
        check = self.fails()
        self.assertEqual("mariadb: SQL", check.name)
        self.assertIn("Access denied", check.detail)

    def test_data_that_is_lost(self) -> None:
        self.patch_object(sql, "read", lambda account: "other")
        check = self.fails()
        self.assertIn("the written word is missing", check.detail)

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
            self.machine.answers["docker logs"] = (
                f"IDENTIFIED BY {account.password}\n"
            )
            raise RuntimeError("no")

        self.patch_object(sql, "read_version", tell)
        self.assertIn("  IDENTIFIED BY ***", self.fails().log)

    def test_a_degraded_guest_is_looked_at_to_its_end(self) -> None:
        self.machine.answers["systemctl is-system-running"] = "degraded"
        self.climb()
        failed = [check for check in self.found.checks if not check.ok]
        self.assertEqual(["systemd"], [check.name for check in failed])
        self.assertEqual("power off", self.names()[-1])

    def test_a_kernel_that_keeps_core_dumps(self) -> None:
        self.facts["core_pattern"] = "core"
        self.climb(level="boot")
        (wrong,) = [check for check in self.found.checks if not check.ok]
        self.assertEqual("kernel settings", wrong.name)
        self.assertIn("core_pattern", wrong.hint or "")

    def test_no_second_disk(self) -> None:
        self.machine.answers["blockdev"] = (1, "cannot open /dev/vdb\n")
        self.climb()
        (wrong,) = [check for check in self.found.checks if not check.ok]
        self.assertIn("cannot open /dev/vdb", wrong.detail)

    def test_an_interface_without_an_address(self) -> None:
        self.patch_object(checks, "_ADDRESS", 0.0)
        self.machine.answers["ip "] = f"inet {machine.MANAGEMENT.address}\n"
        self.climb()
        (wrong,) = [check for check in self.found.checks if not check.ok]
        self.assertIn(f"no interface has {machine.TENANT.address}",
                      wrong.detail)  # fmt: skip

    def test_an_interface_that_the_agent_has_taken(self) -> None:
        self.patch_object(checks, "_ADDRESS", 0.0)
        self.machine.answers["ip "] = f"inet {machine.MANAGEMENT.address}\n"
        self.machine.answers["journalctl -b -t cloud-init"] = (
            "ci-info: |  eth1  | True |  10.0.3.15  | 255.255.255.0 |\n"
        )
        self.climb()
        self.assertTrue(self.found.ok)

    def test_file_systems(self) -> None:
        for answers, detail in (
            ({"ext3": "null", "ext4": '""', "xfs": '""'},
             "ext4, xfs: created, mounted and grown"),
            ({"ext3": "null", "ext4": '"it did not grow"', "xfs": '""'},
             "ext4: it did not grow"),
        ):  # fmt: skip
            self.found.checks.clear()
            for kind, answer in answers.items():
                self.machine.answers = {
                    f"python3 - file-system {kind}": answer,
                    **self.machine.answers,
                }
            self.place = self.temp_dir()
            self.climb()
            (check,) = [
                each for each in self.found.checks
                if each.name == "file systems"
            ]  # fmt: skip
            self.assertEqual(detail, check.detail)
            self.machine.is_on = False
            self.machine.answers = dict(
                list(self.machine.answers.items())[3:]
            )


class NativeTest(LadderCase):
    def look(self) -> verification.Check:
        self.climb(
            1, level="datastore", healths={"mariadb": samples.HEALTH}
        )
        self.assertEqual("power off", self.names()[-1])
        return self.found.checks[-2]

    def test_an_answer(self) -> None:
        def ask(*words: typing.Any) -> str:
            return "11.8-MariaDB"

        self.patch_object(probes, "ask_until", ask)
        check = self.look()
        self.assertEqual("mariadb: probe", check.name)
        self.assertEqual("port 3306 answers '11.8-MariaDB'", check.detail)
        self.assertTrue(self.found.ok)
        setup = self.machine.asked[-1][-1]
        self.assertRegex(setup, "^make verify_[0-9a-f]{8} Aa1[0-9a-f]{32}$")

    def test_a_setup_that_fails(self) -> None:
        self.machine.answers["sh -c"] = (4, "no such user\n")
        check = self.look()
        self.assertIn("setup failed in the guest (status 4)", check.detail)
        self.assertEqual(["no such user"], check.log)

    def test_no_answer(self) -> None:
        def ask(
            health: typing.Any, target: typing.Any, between: typing.Any,
            patience: float,
        ) -> str:  # fmt: skip
            while True:
                between(probes.NoAnswerError("refused"))

        self.patch_object(probes, "ask_until", ask)
        check = self.look()
        self.assertIn("no answer on port 3306 (refused)", check.detail)
        self.assertIn("bound to all addresses", check.hint or "")

    def test_another_answer(self) -> None:
        def ask(*words: typing.Any) -> str:
            raise probes.RefusedError("answered 'x'")

        self.patch_object(probes, "ask_until", ask)
        self.assertEqual("port 3306: answered 'x'", self.look().detail)


class TwoTest(LadderCase):
    """QEMU and a container at a time."""

    def setUp(self) -> None:
        super().setUp()
        self.both = {
            kind: fakes.Machine(self.temp_dir())
            for kind in (machine.QEMU, machine.CONTAINER)
        }
        for each in self.both.values():
            each.answers = self.machine.answers

    @contextlib.contextmanager
    def open(self, kind: str, *words: typing.Any) -> typing.Any:
        self.both[kind].kind = kind
        # tells it that nobody waits for it any more
        self.both[kind]._tell = words[-1]
        yield self.both[kind]

    def climb(self, *words: typing.Any, **how: typing.Any) -> None:
        super().climb(
            *words, kinds=(machine.QEMU, machine.CONTAINER), **how
        )

    def of(self, kind: str) -> list[str]:
        return [c.name for c in self.found.checks if c.machine == kind]

    def test_each_does_what_it_can(self) -> None:
        self.climb()
        self.assertTrue(self.found.ok)
        self.assertEqual({}, self.found.missing)
        self.assertEqual(
            ["boot", "systemd", "network", "kernel settings", "volume",
             "file systems",
             "power off"],
            self.of("qemu"),
        )  # fmt: skip
        self.assertNotIn("boot", self.of("container"))
        self.assertIn("mariadb: restart", self.of("container"))

    def test_one_fails_and_the_other_goes_on(self) -> None:
        self.both[machine.QEMU].started = False
        self.both[machine.QEMU].limits.most = 0.2
        self.assertRaises(outcome.CheckError, self.climb)
        self.assertIn("mariadb: restart", self.of("container"))
        self.assertFalse(self.found.ok)

        self.found.checks.clear()
        self.both[machine.QEMU].started = True
        self.both[machine.QEMU].limits.most = limits.MOST
        self.place = self.temp_dir()
        self.both[machine.CONTAINER].is_on = False
        self.plane.answers["prepare"] = errors.VerifyError("broken")
        self.climb()
        self.assertIn("power off", self.of("qemu"))
        self.assertEqual("mariadb: prepare", self.of("container")[-1])

    def test_an_interrupted_one_ends_both(self) -> None:
        self.both[machine.QEMU].started = False
        self.plane.answers["prepare"] = KeyboardInterrupt()
        self.assertRaises(KeyboardInterrupt, self.climb)


class UserTest(LadderCase):
    def test_it_is_new_each_time_and_needs_no_quoting(self) -> None:
        self.climb()
        self.place = self.temp_dir()
        self.climb()
        one, two = self.accounts
        self.assertNotEqual(one.user, two.user)
        self.assertNotEqual(one.password, two.password)
        self.assertTrue(one.password.isalnum())
        self.assertTrue(one.user.isidentifier())
        # as long as the strictest server takes
        self.assertLessEqual(len(one.user), 16)


class DiagnosisTest(LadderCase):
    def test_a_guest_that_says_nothing_sensible(self) -> None:
        for answer in ("no JSON", "[]", outcome.CheckError("hangs")):
            self.machine.answers = {"python3": answer}
            self.assertIsNone(diagnosis.read_facts(self.machine))
