# SPDX-License-Identifier: Apache-2.0
"""QEMU's command line, a QEMU that does not start, and what its guest says."""

import collections.abc
import json
import os
import socket
import threading
import types
import typing

from tests import base
from trove_tools import errors
from trove_tools.host import process
from trove_tools.verify import disks
from trove_tools.verify import machine
from trove_tools.verify import outcome
from trove_tools.verify import qemu
from trove_tools.verify import qemu_command

_USERNET = """\
Hub -1 (net):
  Protocol[State]    FD  Source Address  Port   Dest. Address  Port RecvQ SendQ
  TCP[HOST_FORWARD]  15       127.0.0.1 40123       10.0.3.15  3306     0     0
  TCP[HOST_FORWARD]  16       127.0.0.1 40124       10.0.3.15  5432     0     0
  TCP[ESTABLISHED]   17       127.0.0.1 40123       10.0.3.15  3306     0     0
"""
TCG = qemu_command.Accelerator("tcg", "a test", "tcg", cpu="max")


class CommandTest(base.TestCase):
    def words(
        self, *ports: int, outlet: str = "", **settings: typing.Any
    ) -> list[str]:
        words = qemu_command.command(
            machine.Settings(**settings), TCG, ports=ports, outlet=outlet,
            monitor=7, channel=9,
        )  # fmt: skip
        return [str(word) for word in words]

    def test_the_guest_reaches_nothing(self) -> None:
        management, tenant = [
            w for w in self.words(3306, 80) if "restrict" in w
        ]
        self.assertEqual(
            "user,id=management,restrict=on,ipv6=off,net=10.0.2.0/24"
            ",host=10.0.2.2,dhcpstart=10.0.2.15",
            management,
        )
        self.assertEqual(
            "user,id=tenant,restrict=on,ipv6=off,net=10.0.3.0/24"
            ",host=10.0.3.2,dhcpstart=10.0.3.15"
            ",hostfwd=tcp:127.0.0.1:0-10.0.3.15:3306"
            ",hostfwd=tcp:127.0.0.1:0-10.0.3.15:80",
            tenant,
        )

    def test_the_guest_reaches_its_broker(self) -> None:
        words = self.words(outlet="relay 'a,b'")
        management, _ = [word for word in words if "restrict" in word]
        self.assertTrue(
            management.endswith(
                ",guestfwd=tcp:10.0.2.100:5672-cmd:relay 'a,,b'"
            )
        )
        self.assertIn("socket,id=commands,fd=9", words)

    def test_disks_on_scsi(self) -> None:
        words = self.words(disk_bus=machine.SCSI)
        self.assertEqual([], [word for word in words if "if=virtio" in word])
        disks = [word for word in words if word.startswith("scsi-hd")]
        # /dev/sda, from which it boots, and /dev/sdb
        self.assertEqual(
            ["scsi-hd,bus=scsi.0,scsi-id=0,drive=root,bootindex=0",
             "scsi-hd,bus=scsi.0,scsi-id=1,drive=volume"],
            disks,
        )  # fmt: skip
        files = [word for word in words if "if=none" in word]
        self.assertIn(qemu_command.OVERLAY, files[0])
        self.assertIn(qemu_command.VOLUME, files[1])

    def test_the_volume_is_the_second_virtio_disk(self) -> None:
        disks = [word for word in self.words() if "if=virtio" in word]
        self.assertEqual(
            [qemu_command.OVERLAY, qemu_command.VOLUME],
            [disk.split(",")[0].removeprefix("file=") for disk in disks],
        )

    def test_it_holds_no_path(self) -> None:
        found = [w for w in self.words() if "/" in w and "net=" not in w]
        self.assertEqual([], found)

    def test_an_architecture_for_later(self) -> None:
        error = self.assertRaises(
            errors.UsageError, qemu_command.tools, "arm64"
        )
        self.assertIn("arm64", error.message)
        self.assertIn("amd64", error.hint)
        self.assertRaises(errors.UsageError, qemu.require, "arm64")


class QemuCase(base.TestCase):
    def setUp(self) -> None:
        super().setUp()
        self.patch_object(process, "measure_load", lambda: 1.0)
        place = self.temp_dir()
        guest = machine.Guest(
            disks.Disk(place / "x", "raw", 1), place / "volume"
        )
        self.machine = qemu.Qemu(
            guest, machine.Settings(), place, lambda text: None, TCG
        )


class StartTest(QemuCase):
    def setUp(self) -> None:
        super().setUp()
        self.patch_object(self.machine, "_prepare", lambda: None)

    def test_a_qemu_that_does_not_start(self) -> None:
        self.fake_program(
            qemu_command.SYSTEM, "echo 'no such machine' >&2; exit 1"
        )
        error = self.assertRaises(errors.VerifyError, self.machine.start)
        self.machine.close()
        self.assertEqual(
            "QEMU did not start\n  no such machine", error.message
        )

    def test_a_qemu_that_says_nothing_is_ended(self) -> None:
        self.patch_object(qemu, "_ANSWER", 0.3)
        mark = self.temp_dir() / "pid"
        self.fake_program(
            qemu_command.SYSTEM, f"echo $$ >{mark}; exec sleep 60"
        )
        self.assertRaises(errors.VerifyError, self.machine.start)
        self.machine.close()
        self.assertRaises(
            ProcessLookupError, os.kill, int(mark.read_text()), 0
        )


class RunningTest(QemuCase):
    """A QEMU, and a guest, of the test's own."""

    def setUp(self) -> None:
        super().setUp()
        ours, self.theirs = socket.socketpair()
        self.addCleanup(ours.close)
        self.addCleanup(self.theirs.close)
        self.events: list[typing.Any] = []
        self.status: int | None = None
        self.executed: list[str] = []
        hidden: typing.Any = self.machine
        hidden._channel = ours
        hidden._nonce = "n0"
        hidden._child = types.SimpleNamespace(poll=lambda: self.status)
        hidden._monitor = types.SimpleNamespace(
            poll=lambda: None, events=self.events, execute=self.execute
        )
        self.patch_object(qemu, "_PAUSE", 0.01)
        self.patch_object(qemu, "_LAG", 0.1)
        (self.machine.directory / "qemu.log").write_text("qemu said\n")

    def execute(self, name: str, **arguments: str) -> str:
        self.executed.append(name)
        return _USERNET

    def says(self, line: str) -> None:
        self.theirs.sendall(line.encode() + b"\n")

    def shutdown(self, reason: str) -> None:
        self.events.append({"event": "SHUTDOWN", "data": {"reason": reason}})

    def dies(self) -> outcome.CheckError:
        error: outcome.CheckError = self.assertRaises(
            outcome.CheckError, self.machine.stay_alive
        )
        return error

    def test_forwards(self) -> None:
        self.assertEqual(40123, self.machine.port(3306))
        self.assertEqual(40124, self.machine.port(5432))

    def test_only_our_own_nonce_counts(self) -> None:
        for line in ("no JSON", "[]", '{"nonce": "n1"}', '{"nonce": "n'):
            self.says(line)
            self.assertFalse(self.machine.has_started())
        self.says(json.dumps({"nonce": "n0"}))
        self.assertTrue(self.machine.has_started())

    def test_a_command(self) -> None:
        self.says('{"id": 1, "status": 3, "output": "words"}')
        done = self.machine.run("a", "b c", input="x", seconds=5)
        self.assertEqual(machine.Completed(3, "words"), done)
        asked = json.loads(self.theirs.recv(9999))
        self.assertEqual(["a", "b c"], asked["argv"])
        self.assertEqual(("x", 5.0), (asked["input"], asked["seconds"]))

    def test_an_answer_that_comes_too_late_is_no_other_one(self) -> None:
        error: outcome.CheckError = self.assertRaises(
            outcome.CheckError, self.machine.run, "one", seconds=0.1
        )
        self.assertIn("does not answer any more (one)", error.message)
        self.says('{"id": 1, "status": 0, "output": "old"}')
        self.says('{"id": 2, "status": 0, "output": "new"}')
        self.assertEqual("new", self.machine.run("two").output)

    def test_a_command_that_did_not_end(self) -> None:
        self.says('{"id": 1, "status": null, "output": "a\\nb"}')
        error: outcome.CheckError = self.assertRaises(
            outcome.CheckError, self.machine.run, "sleep", "9"
        )
        self.assertIn("did not end: sleep 9", error.message)
        self.assertEqual(["a", "b"], error.log)

    def test_qemu_dies_meanwhile(self) -> None:
        self.theirs.close()
        self.status = 1
        error: outcome.CheckError = self.assertRaises(
            outcome.CheckError, self.machine.run, "true"
        )
        self.assertIn("unexpectedly, with status 1", error.message)
        self.assertEqual(["qemu said"], error.log)

    def test_the_guest_ends_by_itself(self) -> None:
        self.shutdown("guest-shutdown")
        self.assertIn("powered off by itself", self.dies().message)
        self.events.clear()
        self.shutdown("guest-reset")
        self.assertIn("reset itself", self.dies().message)

    def test_the_guest_is_stopped(self) -> None:
        self.events.append({"event": "STOP"})
        self.assertIn("stopped the guest", self.dies().message)
        self.events[:] = [{"event": "GUEST_PANICKED"}]
        self.assertIn("panicked", self.dies().message)

    def test_a_sign_of_death_on_the_console(self) -> None:
        console = self.machine.directory / machine.CONSOLE
        console.write_text("Kernel panic - not syncing: VFS")
        self.assertIn("panicked", self.dies().message)

    def test_the_power_button(self) -> None:
        self.status = 0
        self.shutdown("guest-shutdown")
        self.machine.power_off()
        self.assertEqual(["system_powerdown"], self.executed)

    def test_the_power_button_is_ignored(self) -> None:
        self.machine.limits.most = 0.1
        error: outcome.CheckError = self.assertRaises(
            outcome.CheckError, self.machine.power_off
        )
        self.assertIn("systemd-logind", error.hint or "")
        self.assertIn("does not obey", error.message)

    def test_qemu_ends_in_another_way(self) -> None:
        for status, reason in ((1, "guest-shutdown"), (0, "host-signal")):
            self.events.clear()
            self.status = status
            self.shutdown(reason)
            self.assertRaises(outcome.CheckError, self.machine.power_off)
        self.events.clear()
        error: outcome.CheckError = self.assertRaises(
            outcome.CheckError, self.machine.power_off
        )
        self.assertIn("an unknown reason", error.message)

    def test_the_volume_grows(self) -> None:
        self.machine.grow_volume(3)
        self.assertEqual(["block_resize"], self.executed)


_GREETING = {"QMP": {"version": {}}}
_STOP = {"event": "STOP"}


class MonitorTest(base.TestCase):
    def setUp(self) -> None:
        super().setUp()
        ours, self.theirs = socket.socketpair()
        self.monitor = qemu.Monitor(ours)
        self.addCleanup(self.monitor.close)
        self.addCleanup(self.theirs.close)
        self.heard: list[typing.Any] = []

    def send(self, *lines: typing.Any) -> None:
        for line in lines:
            self.theirs.sendall(json.dumps(line).encode() + b"\r\n")

    def answer(self, *answers: collections.abc.Sequence[typing.Any]) -> None:
        """Answer each command with some lines."""

        def serve() -> None:
            with self.theirs.makefile("rb") as stream:
                for lines in answers:
                    self.heard.append(json.loads(stream.readline()))
                    self.send(*lines)

        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        self.addCleanup(thread.join, 5)

    def test_the_greeting(self) -> None:
        self.send(_GREETING)
        self.answer([{"return": {}}])
        self.monitor.greet()
        self.assertEqual("qmp_capabilities", self.heard[0]["execute"])

    def test_events_come_in_between(self) -> None:
        self.answer([_STOP, {"return": "text"}])
        result = self.monitor.execute("query", **{"command-line": "x"})
        self.assertEqual("text", result)
        self.assertEqual({"command-line": "x"}, self.heard[0]["arguments"])
        self.send({"event": "RESUME"})
        self.monitor.poll()
        self.assertEqual(
            ["STOP", "RESUME"],
            [event["event"] for event in self.monitor.events],
        )

    def test_an_event_in_pieces(self) -> None:
        data = json.dumps(_STOP).encode() + b"\n"
        self.theirs.sendall(data[:5])
        self.monitor.poll()
        self.assertEqual([], self.monitor.events)
        self.theirs.sendall(data[5:])
        self.monitor.poll()
        self.assertEqual([_STOP], self.monitor.events)

    def test_nothing_to_poll(self) -> None:
        self.monitor.poll()
        self.theirs.close()
        self.monitor.poll()
        self.assertEqual([], self.monitor.events)

    def test_a_refusal(self) -> None:
        self.answer([{"error": {"class": "x", "desc": "no such command"}}])
        error = self.assertRaises(
            errors.VerifyError, self.monitor.execute, "dance"
        )
        self.assertEqual("QEMU refused dance: no such command", error.message)

    def test_qemu_has_gone(self) -> None:
        self.theirs.close()
        self.assertRaises(errors.VerifyError, self.monitor.greet)
        self.assertRaises(errors.VerifyError, self.monitor.execute, "quit")

    def test_qemu_says_nothing(self) -> None:
        self.patch_object(qemu, "_ANSWER", 0.1)
        error = self.assertRaises(errors.VerifyError, self.monitor.greet)
        self.assertIn("did not answer", error.message)
