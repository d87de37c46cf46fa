# SPDX-License-Identifier: Apache-2.0
"""Following a guest, with files in QEMU's place."""

import json
import pathlib
import threading
import time
import types
import typing

from tests import base
from trove_tools import console
from trove_tools import hostload
from trove_tools.verify import guest
from trove_tools.verify import limits
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
        self.patch_object(hostload, "load", lambda: 1.0)
        self.limits = limits.Limits()
        self.guest = guest.Guest(machine, "n0", self.progress, self.limits)

    def prints(self, text: str) -> None:
        with open(self.machine.directory / qemu.CONSOLE, "a") as stream:
            stream.write(text)

    def reports(self, event: str, nonce: str = "n0", **facts: object) -> None:
        line = json.dumps({"nonce": nonce, "event": event, **facts})
        with open(self.machine.directory / qemu.REPORT, "a") as stream:
            stream.write(line + "\n")

    def wait(self, event: str = "booted", most: float = 5) -> typing.Any:
        self.limits.most = most
        return self.guest.wait_for(event)

    def fails(self, most: float = 5) -> report.CheckError:
        begin = time.monotonic()
        error: report.CheckError = self.assertRaises(
            report.CheckError, self.wait, "booted", most
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
            "prepared", lambda each: each["probe"] == "two"
        )
        self.assertEqual("two", found["probe"])

    def test_only_our_own_nonce_counts(self) -> None:
        self.reports("booted", nonce="n1")
        with open(self.machine.directory / qemu.REPORT, "a") as stream:
            stream.write('not JSON\n[]\n{"event": "booted"}\n')
        self.assertIn("did not end within", self.fails(0.1).message)

    def test_half_a_line_is_no_report(self) -> None:
        file = self.machine.directory / qemu.REPORT
        file.write_text('{"nonce": "n0", "event": "boo')
        self.guest.look()
        with open(file, "a") as stream:
            stream.write('ted"}\n')
        self.assertEqual("booted", self.wait()["event"])

    def test_the_stages_are_told(self) -> None:
        """As the console of a guest of Debian 13 has them."""
        for text in (
            "Booting from Hard Disk...\r\n",
            "\x1b[0;30;47mWelcome to GRUB!\r\n",
            "[    0.000000] Linux version 6.12\r\n",
            "\x1bc\x1b[?7l\x1b[2JLoading, please wait...\r\n",
            "\x1b[0;1;39mWelcome to \x1b[0m\x1b[1mDebian GNU/Linux 13"
            " (trixie)\x1b[0m\x1b[0;1;39m!\x1b[0m\r\n",
            "[\x1b[0;32m  OK  \x1b[0m] Started udev\r\n",
            "[   71.329587] cloud-init[527]: Cloud-init v. 25.1.4\r\n",
            "\r\nDebian GNU/Linux 13 trove-verify ttyS0\r\n\r\n"
            "trove-verify login: ",
        ):
            self.prints(text)
            self.guest.look()
        self.assertEqual(
            [
                "waiting for firmware and boot loader",
                "the boot loader has started; waiting for the kernel",
                "the kernel has started; waiting for its initramfs",
                "the initramfs has started; waiting for the root file system",
                "systemd has started; waiting for cloud-init",
                "cloud-init has started; waiting for the network and the seed",
                "the guest asks for a login; waiting for its cloud-init",
            ],
            self.progress.seen,
        )

    def test_what_is_waited_for_is_told(self) -> None:
        self.reports("started")
        self.guest.say("mariadb: waiting for the agent")
        self.reports("waiting", jobs=["a.service", "b.service"])
        self.guest.look()
        self.reports("booted")
        self.guest.look()
        self.guest.say("mariadb: waiting for HEALTHY")
        self.assertEqual(
            [
                "mariadb: waiting for the agent"
                " (cloud-init has started; waiting for systemd)",
                "mariadb: waiting for the agent"
                " (the guest waits for a.service, b.service)",
                "mariadb: waiting for the agent",
                "mariadb: waiting for HEALTHY",
            ],
            self.progress.seen,
        )

    def test_a_guest_that_gets_on_is_waited_for(self) -> None:
        """Far longer than one that shows nothing is."""
        self.patch_object(limits.Limits.wait, "__defaults__", (0.2,))

        def grow() -> None:
            for name in "abcdefghij":
                self.prints(f"Started {name}\r\n")
                time.sleep(0.1)
            self.reports("booted")

        thread = threading.Thread(target=grow)
        thread.start()
        self.addCleanup(thread.join)
        begin = time.monotonic()
        self.wait()
        self.assertGreater(time.monotonic() - begin, 0.8)

    def test_a_guest_that_repeats_itself_is_given_up(self) -> None:
        self.patch_object(limits.Limits.wait, "__defaults__", (0.3,))

        def fail_again_and_again() -> None:
            for number in range(20):
                self.prints(f"[ {number}.5] agent[{number}]: broken\r\n")
                time.sleep(0.1)

        thread = threading.Thread(target=fail_again_and_again)
        thread.start()
        self.addCleanup(thread.join)
        error = self.fails()
        self.assertIn("showed nothing new for the last 0 s", error.message)

    def test_the_speed_is_measured(self) -> None:
        self.guest._begin -= 10 * guest._USUAL_START
        self.reports("started")
        self.guest.look()
        self.assertEqual(10, round(self.limits.slowness()))

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
            "waiting for firmware and boot loader: this did not end within"
            " 0 s (--timeout)",
            self.fails(0.1).message,
        )

    def test_the_seed_is_not_looked_for(self) -> None:
        self.prints("[ 1.0] Linux version\r\n\r\nDebian 13\r\nguest login: ")
        error = self.fails(0.1)
        self.assertIn("asks for a login", error.message)
        self.assertIn("NoCloud", error.hint or "")

    def test_a_boot_that_does_not_end(self) -> None:
        self.reports("waiting", jobs=["slow.service"])
        (self.machine.directory / qemu.JOURNAL).write_text("[ 1.0] slow: z\n")
        error = self.fails(0.1)
        self.assertEqual(
            "the guest waits for slow.service: this did not end within 0 s"
            " (--timeout)",
            error.message,
        )
        self.assertEqual("  [ 1.0] slow: z", error.log[-1])
        self.assertIn("--timeout", error.hint or "")

    def test_a_slow_host_is_named(self) -> None:
        self.patch_object(hostload, "load", lambda: 4.4)
        self.assertIn("4 times slower than usual", self.fails(0.1).hint or "")

    def test_the_tail_of_the_console(self) -> None:
        self.prints(
            "".join(f"\x1b[32mline {i}\x1b[0m\r\n\r\n" for i in range(40))
        )
        tail = self.guest.console_tail()
        self.assertEqual(guest.TAIL_LINES, len(tail))
        self.assertEqual("line 39", tail[-1])

    def test_the_menu_of_a_boot_loader_is_short(self) -> None:
        row = f"\x1b[0;36;44m{' ' * 76}\x1b[06;79H│"
        self.prints(
            "\x1b[01;01H\x1b[2J\x1b[02;25HGNU GRUB  version 2.12\x1b[04;02H"
            f"┌{'─' * 76}┐\x1b[05;02H{row}\x1b[06;02H{row}\x1b[05;03H"
            "\x1b[0;44;1m*Debian GNU/Linux\x1b[06;03H Advanced options\r\n"
            f"{'x' * 300}\r\n"
        )
        self.assertEqual(
            [
                "GNU GRUB version 2.12",
                "*Debian GNU/Linux",
                "Advanced options",
                "x" * 200,
            ],
            self.guest.console_tail(),
        )

    def test_the_power_button(self) -> None:
        self.machine.exit_status = 0
        self.machine.shutdown("guest-shutdown")
        self.guest.shut_down()
        self.assertTrue(self.machine.pressed)

    def test_the_power_button_is_ignored(self) -> None:
        self.limits.most = 0.1
        error = self.assertRaises(report.CheckError, self.guest.shut_down)
        self.assertIn("systemd-logind", error.hint or "")
        self.assertIn("does not obey", error.message)

    def test_qemu_ends_in_another_way(self) -> None:
        for status, reason in ((1, "guest-shutdown"), (0, "host-signal")):
            self.machine.happened.clear()
            self.machine.exit_status = status
            self.machine.shutdown(reason)
            self.assertRaises(report.CheckError, self.guest.shut_down)
        self.machine.happened.clear()
        error = self.assertRaises(report.CheckError, self.guest.shut_down)
        self.assertIn("nothing it told", error.message)
