# SPDX-License-Identifier: Apache-2.0
"""Waiting for a guest, and what its systemd says."""

import threading
import time
import typing

from tests import base
from tests.unit.verify import fakes
from trove_tools.host import process
from trove_tools.verify import limits
from trove_tools.verify import machine
from trove_tools.verify import outcome
from trove_tools.verify import systemd


class MachineCase(base.TestCase):
    def setUp(self) -> None:
        super().setUp()
        self.patch_object(machine, "_INTERVAL", 0.01)
        self.patch_object(process, "measure_load", lambda: 1.0)
        self.machine = fakes.Machine(self.temp_dir())


class StartTest(MachineCase):
    def setUp(self) -> None:
        super().setUp()
        self.machine.started = False

    def fails(self, most: float = 5) -> outcome.CheckError:
        self.machine.limits.most = most
        begin = time.monotonic()
        error: outcome.CheckError = self.assertRaises(
            outcome.CheckError, self.machine.power_on
        )
        self.assertLess(time.monotonic() - begin, 2)
        self.assertFalse(self.machine.is_on)
        return error

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
            self.machine.prints(text)
            self.machine.look()
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
            self.machine.said,
        )

    def test_a_guest_that_gets_on_is_waited_for(self) -> None:
        """Far longer than one that shows nothing is."""
        self.patch_object(limits.Limits.wait, "__defaults__", (0.2,))

        def grow() -> None:
            for name in "abcdefghij":
                self.machine.prints(f"Started {name}\r\n")
                time.sleep(0.1)
            self.machine.started = True

        thread = threading.Thread(target=grow)
        thread.start()
        self.addCleanup(thread.join)
        begin = time.monotonic()
        self.machine.power_on()
        self.assertGreater(time.monotonic() - begin, 0.8)
        self.assertTrue(self.machine.is_on)

    def test_a_guest_that_repeats_itself_is_given_up(self) -> None:
        self.patch_object(limits.Limits.wait, "__defaults__", (0.3,))

        def fail_again_and_again() -> None:
            for number in range(20):
                self.machine.prints(f"[ {number}.5] agent[{number}]: bad\r\n")
                time.sleep(0.1)

        thread = threading.Thread(target=fail_again_and_again)
        thread.start()
        self.addCleanup(thread.join)
        error = self.fails()
        self.assertIn("showed nothing new for the last 0 s", error.message)

    def test_the_speed_is_measured(self) -> None:
        self.machine.started = True
        self.machine.begun -= 10 * self.machine.usual_start
        self.machine.power_on()
        self.assertEqual(10, round(self.machine.limits.slowness()))

    def test_what_no_guest_recovers_from(self) -> None:
        for text, meaning in (
            ("\x1b[0mNo boot\x1b[1mable device.\r\n", "nothing to boot"),
            ("error: no such device.\r\ngrub rescue> ", "boot loader"),
            ("Minimal BASH-like line editing is", "no configuration"),
            ("[ 1.2] Kernel panic - not syncing: VFS", "panicked"),
            ("BusyBox v1.37\r\n(initramfs) ", "root file system"),
            ("You are in emergency mode. After", "emergency mode"),
        ):
            self.machine.console.restart()
            self.machine.prints(text)
            self.machine.look()
            self.assertIn(meaning, self.machine.console.cause_of_death())

    def test_a_guest_that_is_lost(self) -> None:
        self.machine.lost = "the guest reset itself"
        self.assertEqual("the guest reset itself", self.fails().message)

    def test_nothing_happens(self) -> None:
        self.assertEqual(
            "waiting for firmware and boot loader: this did not end within"
            " 0 s (--timeout)",
            self.fails(0.1).message,
        )

    def test_the_seed_is_not_looked_for(self) -> None:
        self.machine.prints("[ 1.0] Linux version\r\n\r\nDebian\r\nlogin: ")
        error = self.fails(0.1)
        self.assertIn("asks for a login", error.message)
        self.assertIn("ConfigDrive", error.hint or "")

    def test_a_slow_host_is_named(self) -> None:
        self.patch_object(process, "measure_load", lambda: 4.4)
        self.assertIn("4 times slower than usual", self.fails(0.1).hint or "")

    def test_the_tail_of_the_console(self) -> None:
        self.machine.prints(
            "".join(f"\x1b[32mline {i}\x1b[0m\r\n\r\n" for i in range(40))
        )
        tail = self.machine.console.tail()
        self.assertEqual(limits.TAIL_LINES, len(tail))
        self.assertEqual("line 39", tail[-1])

    def test_the_menu_of_a_boot_loader_is_short(self) -> None:
        row = f"\x1b[0;36;44m{' ' * 76}\x1b[06;79H│"
        self.machine.prints(
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
            self.machine.console.tail(),
        )


class SystemdTest(MachineCase):
    def answers(self, *words: str) -> None:
        """Have systemd say words, one after the other."""
        left = list(words)

        def say() -> str:
            return left.pop(0) if len(left) > 1 else left[0]

        self.machine.answers["systemctl is-system-running"] = say

    def test_a_good_boot(self) -> None:
        self.answers("Failed to connect to bus", "starting", "running\n")
        self.machine.answers["systemctl list-jobs"] = (
            "12 slow.service start running\n13 next.service start waiting\n"
        )
        self.assertEqual("running", systemd.wait_booted(self.machine))
        self.assertIn("the guest waits for slow.service", self.machine.said)

    def test_what_is_waited_for_is_told(self) -> None:
        self.answers("starting", "running")
        self.machine.answers["systemctl list-jobs"] = "".join(
            f"1 {name}.service start running\n" for name in "abcde"
        )
        self.machine.say("mariadb: waiting")
        systemd.wait_booted(self.machine)
        self.machine.say("done")
        self.assertEqual(
            [
                "mariadb: waiting (waiting for firmware and boot loader)",
                "mariadb: waiting (the guest waits for a.service, b.service,"
                " c.service and 2 more)",
                "done",
            ],
            self.machine.said,
        )

    def test_a_boot_that_does_not_end(self) -> None:
        self.answers("starting")
        self.machine.limits.most = 0.1
        journal = self.machine.directory / machine.JOURNAL
        journal.write_text("[ 1.0] slow: z\n")
        error: outcome.CheckError = self.assertRaises(
            outcome.CheckError, systemd.wait_booted, self.machine
        )
        self.assertIn("the guest waits for systemd: this did", error.message)
        self.assertEqual("  [ 1.0] slow: z", error.log[-1])
        self.assertIn("--timeout", error.hint or "")

    def test_failed_units_come_with_their_logs(self) -> None:
        self.machine.answers["systemctl list-units"] = (
            "a.service loaded failed failed A\n"
        )
        self.machine.answers["journalctl"] = "it broke\n"
        error: outcome.CheckError = self.assertRaises(
            outcome.CheckError,
            systemd.raise_for_failure, self.machine, "degraded",
        )  # fmt: skip
        self.assertEqual(
            "systemd is degraded, failed: a.service", error.message
        )
        self.assertEqual(["a.service:", "  it broke"], error.log)
        self.machine.answers.clear()
        systemd.raise_for_failure(self.machine, "running")
        error = self.assertRaises(
            outcome.CheckError,
            systemd.raise_for_failure, self.machine, "maintenance",
        )  # fmt: skip
        self.assertIn("no unit", error.message)

    def test_the_times(self) -> None:
        self.machine.answers["systemctl show"] = (
            "UserspaceTimestampMonotonic=5100000\n"
            "FinishTimestampMonotonic=25600000\n"
        )
        self.assertEqual(
            {"kernel": 5.1, "userspace": 20.5, "total": 25.6},
            systemd.read_boot_times(self.machine),
        )
        container: typing.Any = self.machine
        container.kind = machine.CONTAINER
        self.assertEqual(
            {"userspace": 20.5}, systemd.read_boot_times(self.machine)
        )
        self.machine.answers.clear()
        self.assertEqual({}, systemd.read_boot_times(self.machine))
