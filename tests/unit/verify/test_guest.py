# SPDX-License-Identifier: Apache-2.0
"""Following a guest, with files in QEMU's place."""

import json
import pathlib
import time
import types
import typing

from tests import base
from trove_tools import console
from trove_tools.verify import guest
from trove_tools.verify import qemu
from trove_tools.verify import report


class Machine:
    """What a guest looks like from outside."""

    def __init__(self, directory: pathlib.Path) -> None:
        self.directory = directory
        self.happened: list[typing.Any] = []
        self.exit_status: int | None = None
        self.pressed = False
        self.monitor = types.SimpleNamespace(poll=lambda: None)

    def events(self) -> typing.Any:
        return iter(self.happened)

    def status(self) -> int | None:
        return self.exit_status

    def output(self) -> list[str]:
        return ["qemu said"]

    def press_power_button(self) -> None:
        self.pressed = True

    def shutdown(self, reason: str) -> None:
        self.happened.append({"event": "SHUTDOWN", "data": {"reason": reason}})


class States(console.Progress):
    def __init__(self) -> None:
        self.seen: list[str] = []

    def state(self, text: str) -> None:
        if text not in self.seen:
            self.seen.append(text)


class GuestTest(base.TestCase):
    def setUp(self) -> None:
        super().setUp()
        self.patch_object(guest, "_INTERVAL", 0.01)
        self.machine = Machine(self.temp_dir())
        self.progress = States()
        machine: typing.Any = self.machine
        self.guest = guest.Guest(machine, "n0", self.progress)

    def prints(self, text: str) -> None:
        with open(self.machine.directory / qemu.CONSOLE, "a") as stream:
            stream.write(text)

    def reports(self, event: str, nonce: str = "n0", **facts: object) -> None:
        line = json.dumps({"nonce": nonce, "event": event, **facts})
        with open(self.machine.directory / qemu.REPORT, "a") as stream:
            stream.write(line + "\n")

    def wait(self, event: str = "booted", patience: float = 5) -> typing.Any:
        return self.guest.wait_for(event, time.monotonic() + patience)

    def fails(self, patience: float = 5) -> report.CheckError:
        begin = time.monotonic()
        error: report.CheckError = self.assertRaises(
            report.CheckError, self.wait, "booted", patience
        )
        self.assertLess(time.monotonic() - begin, 2)
        return error

    def test_a_report(self) -> None:
        self.reports("started")
        self.reports("booted", state="running")
        self.assertEqual("running", self.wait()["state"])

    def test_a_report_of_something_else(self) -> None:
        self.reports("prepared", probe="one")
        self.reports("prepared", probe="two")
        found = self.guest.wait_for(
            "prepared",
            time.monotonic() + 5,
            lambda each: each["probe"] == "two",
        )
        self.assertEqual("two", found["probe"])

    def test_only_our_own_nonce_counts(self) -> None:
        self.reports("booted", nonce="n1")
        with open(self.machine.directory / qemu.REPORT, "a") as stream:
            stream.write('not JSON\n[]\n{"event": "booted"}\n')
        self.assertIn("time is up", self.fails(0.1).message)

    def test_half_a_line_is_no_report(self) -> None:
        file = self.machine.directory / qemu.REPORT
        file.write_text('{"nonce": "n0", "event": "boo')
        self.guest.look()
        with open(file, "a") as stream:
            stream.write('ted"}\n')
        self.assertEqual("booted", self.wait()["event"])

    def test_the_stages_are_told(self) -> None:
        for step in (
            lambda: self.prints("Booting from Hard Disk...\r\n"),
            lambda: self.prints("[    0.000000] Linux version 6.12\r\n"),
            lambda: self.prints("[    3.0] systemd[1]: systemd 257\r\n"),
            lambda: self.reports("started"),
            lambda: self.reports("waiting", jobs=["a.service", "b.service"]),
        ):
            step()
            self.guest.look()
        self.assertEqual(
            [
                "firmware and boot loader",
                "the kernel has started",
                "systemd has started",
                "cloud-init has started",
                "the guest waits for a.service, b.service",
            ],
            self.progress.seen,
        )

    def test_what_no_guest_recovers_from(self) -> None:
        for text, meaning in (
            ("\x1b[0mNo boot\x1b[1mable device.\r\n", "nothing to boot"),
            ("error: no such device.\r\ngrub rescue> ", "boot loader"),
            ("Minimal BASH-like line editing is", "no configuration"),
            ("[ 1.2] Kernel panic - not syncing: VFS", "panicked"),
            ("BusyBox v1.37\r\n(initramfs) ", "root file system"),
            ("You are in emergency mode. After", "emergency mode"),
        ):
            self.guest._text = ""
            self.prints(text)
            self.assertIn(meaning, self.fails().message)

    def test_qemu_dies(self) -> None:
        self.machine.exit_status = 1
        error = self.fails()
        self.assertIn("unexpectedly, with status 1", error.message)
        self.assertEqual(["qemu said"], error.log)

    def test_the_guest_ends_by_itself(self) -> None:
        self.machine.shutdown("guest-shutdown")
        self.assertIn("powered off by itself", self.fails().message)

    def test_the_guest_resets_itself(self) -> None:
        self.machine.shutdown("guest-reset")
        self.assertIn("reset itself", self.fails().message)

    def test_the_guest_is_stopped(self) -> None:
        self.machine.happened.append({"event": "STOP"})
        self.assertIn("stopped the guest", self.fails().message)
        self.machine.happened[:] = [{"event": "GUEST_PANICKED"}]
        self.assertIn("panicked", self.fails().message)

    def test_nothing_happens(self) -> None:
        self.assertEqual(
            "time is up: still at firmware and boot loader",
            self.fails(0.1).message,
        )

    def test_the_seed_is_not_looked_for(self) -> None:
        self.prints("[ 1.0] Linux version\r\n\r\nDebian 13\r\nguest login: ")
        error = self.fails(0.1)
        self.assertIn("asks for a login", error.message)
        self.assertIn("NoCloud", error.hint or "")

    def test_a_boot_that_does_not_end(self) -> None:
        self.reports("waiting", jobs=["slow.service"])
        self.assertEqual(
            "time is up: the guest waits for slow.service",
            self.fails(0.1).message,
        )

    def test_the_tail_of_the_console(self) -> None:
        self.prints(
            "".join(f"\x1b[32mline {i}\x1b[0m\r\n\r\n" for i in range(40))
        )
        tail = self.guest.console_tail()
        self.assertEqual(guest.TAIL_LINES, len(tail))
        self.assertEqual("line 39", tail[-1])

    def test_the_power_button(self) -> None:
        self.machine.exit_status = 0
        self.machine.shutdown("guest-shutdown")
        self.guest.shut_down(5)
        self.assertTrue(self.machine.pressed)

    def test_the_power_button_is_ignored(self) -> None:
        error = self.assertRaises(report.CheckError, self.guest.shut_down, 0.1)
        self.assertIn("does not obey", error.message)

    def test_qemu_ends_in_another_way(self) -> None:
        for status, reason in ((1, "guest-shutdown"), (0, "host-signal")):
            self.machine.happened.clear()
            self.machine.exit_status = status
            self.machine.shutdown(reason)
            self.assertRaises(report.CheckError, self.guest.shut_down, 5)
        self.machine.happened.clear()
        error = self.assertRaises(report.CheckError, self.guest.shut_down, 5)
        self.assertIn("nothing it told", error.message)
