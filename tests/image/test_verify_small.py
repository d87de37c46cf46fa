# SPDX-License-Identifier: Apache-2.0
"""verify, with guests of one sector: what can go wrong at the beginning.

QEMU and the command are real; each guest takes a second or two.
"""

import concurrent.futures
import contextlib
import hashlib
import os
import pathlib
import shutil
import signal
import subprocess
import time
import typing

from tests import base
from tests import commands
from tests.image import base as image_base
from tests.image import sectors
from trove_tools.host import process
from trove_tools.verify import disks
from trove_tools.verify import machine
from trove_tools.verify import qemu_command


class SmallCase(base.TestCase):
    timeout = 120

    def setUp(self) -> None:
        super().setUp()
        for tool in (disks.TOOL, *qemu_command.tools("amd64")):
            if shutil.which(tool) is None:
                self.skipTest(f"{tool} is not installed")
        self.place = self.temp_dir()
        self.scratch = self.temp_dir()
        self.state = self.temp_dir()
        self.set_env(TMPDIR=str(self.scratch), XDG_STATE_HOME=str(self.state))

    def guest(self, code: bytes) -> pathlib.Path:
        return sectors.write(code, self.place / "guest.raw")

    def arguments(
        self, image: pathlib.Path, *words: str
    ) -> list[str | os.PathLike[str]]:
        return [
            "verify", image, "--datastore", "mariadb", "--machine", "qemu",
            *words,
        ]  # fmt: skip

    def verify(self, image: pathlib.Path, *words: str) -> commands.Outcome:
        return image_base.builder(*self.arguments(image, *words))

    def fails(self, image: pathlib.Path, *words: str, status: int = 1) -> str:
        """Return what the command says of an image that it refuses."""
        outcome = self.verify(image, *words)
        self.assertEqual(status, outcome.status, outcome.stderr)
        self.assertNotIn("Traceback", outcome.stderr)
        return outcome.stderr

    def left(self) -> list[str]:
        """Return what is left where a verify works."""
        return os.listdir(self.scratch)

    def guests_here(self) -> list[int]:
        """Return the QEMUs that work in this test's directory."""
        found = []
        for entry in pathlib.Path("/proc").iterdir():
            with contextlib.suppress(OSError):
                where = os.readlink(entry / "cwd")
                if where.startswith(str(self.scratch)):
                    found.append(int(entry.name))
        return found


class BrokenTest(SmallCase):
    def test_nothing_to_boot(self) -> None:
        image = self.place / "empty.qcow2"
        process.run([disks.TOOL, "create", "-q", "-f", "qcow2", image, "1G"])
        begin = time.monotonic()
        said = self.fails(image)
        self.assertIn("failed boot (qemu): the firmware found nothing", said)
        # the firmware's period may come after the guest was taken down
        self.assertIn("No bootable device", said)
        # the guest's ten minutes are not waited for
        self.assertLess(time.monotonic() - begin, 60)

    def test_a_guest_that_never_boots(self) -> None:
        said = self.fails(
            self.guest(sectors.printing("Hello...")), "--timeout", "4"
        )
        self.assertIn("failed boot (qemu): waiting for firmware", said)
        self.assertIn("did not end within 4 s (--timeout)", said)
        self.assertIn("Hello...", said)

    def test_a_kernel_that_panics(self) -> None:
        said = self.fails(
            self.guest(
                sectors.printing("Kernel panic - not syncing: no root\r\n")
            )
        )
        self.assertIn("the guest's kernel panicked", said)
        self.assertIn("not syncing: no root", said)

    def test_a_boot_loader_that_is_lost(self) -> None:
        said = self.fails(
            self.guest(
                sectors.printing("error: no such device.\r\ngrub rescue> ")
            )
        )
        self.assertIn("does not find its own files", said)

    def test_a_guest_that_resets_itself(self) -> None:
        said = self.fails(self.guest(sectors.RESET))
        self.assertIn("the guest reset itself", said)

    def test_a_guest_that_powers_off(self) -> None:
        said = self.fails(self.guest(sectors.POWER_OFF))
        self.assertIn("the guest powered off by itself", said)

    def test_the_logs_are_kept_and_the_rest_removed(self) -> None:
        """Beside the image if it has a place there."""
        image = self.guest(sectors.printing("grub rescue> "))
        beside = self.place / "guest.d"
        for sidecar, kept in (
            (False, self.state / "trove-tools" / "verify" / "guest"),
            (True, beside / "verify"),
        ):
            if sidecar:
                beside.mkdir()
            said = self.fails(image, "--quiet")
            self.assertIn(f"all logs are in {kept}\n", said)
            log = kept / "qemu-1" / machine.CONSOLE
            console = log.read_text(errors="replace")
            self.assertIn("grub rescue>", console)
            self.assertEqual([], self.left())
            self.assertEqual([], self.guests_here())

    def test_the_report_is_json_on_stdout(self) -> None:
        outcome = self.verify(
            self.guest(sectors.RESET), "--format", "json", "--quiet"
        )
        report = outcome.json()
        self.assertFalse(report["ok"])
        self.assertEqual(
            [("image", True), ("boot", False)],
            [(check["name"], check["ok"]) for check in report["checks"]],
        )

    def test_bad_files(self) -> None:
        text = self.place / "text.qcow2"
        text.write_text("no image\n" * 100)
        whole = self.place / "whole.qcow2"
        content = self.place / "content"
        content.write_bytes(os.urandom(1 << 20))
        process.run([disks.TOOL, "convert", "-O", "qcow2", content, whole])
        os.truncate(whole, 400_000)
        for image, message, status in (
            (self.place / "absent.qcow2", "cannot be read", 2),
            (text, "is not a disk image", 1),
            (whole, "is truncated", 1),
        ):
            said = self.fails(image, status=status)
            self.assertIn(message, said)
            self.assertIn("hint: ", said)

    def test_nothing_says_what_to_ask(self) -> None:
        outcome = image_base.builder("verify", self.guest(sectors.HALT))
        self.assertEqual(2, outcome.status)
        self.assertIn("--datastore", outcome.stderr)

    def test_no_qemu(self) -> None:
        self.set_env(PATH=str(self.temp_dir()))
        said = self.fails(self.guest(sectors.HALT), status=3)
        self.assertIn("qemu-system-x86_64", said)
        self.assertIn("install with: ", said)

    def test_kvm_that_is_not_there(self) -> None:
        if qemu_command.DEVICE.exists():
            self.skipTest(f"this host has a {qemu_command.DEVICE}")
        said = self.fails(
            self.guest(sectors.HALT), "--accelerator", "kvm", status=3
        )
        self.assertIn("KVM was asked for", said)


class LifeTest(SmallCase):
    """What happens to a guest when its verify ends early."""

    def start(self) -> subprocess.Popen[bytes]:
        """Start a verify of a guest that hangs, and wait for the guest."""
        image = self.guest(sectors.printing("Here I am"))
        child = subprocess.Popen(
            commands.command_line(
                "trove-image-builder", *self.arguments(image)
            ),
            env={**os.environ, "PYTHONPATH": str(base.ROOT)},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
        )
        self.addCleanup(child.communicate)
        self.addCleanup(child.kill)
        while not self.runs():
            self.assertIsNone(child.poll())
            time.sleep(0.1)
        return child

    def runs(self) -> bool:
        return any(
            b"Here I am" in log.read_bytes()
            for log in self.scratch.glob(f"*/*/{machine.CONSOLE}")
        )

    def end(self, sign: signal.Signals) -> tuple[int, bytes]:
        child = self.start()
        self.assertEqual(1, len(self.guests_here()))
        child.send_signal(sign)
        said = child.communicate(timeout=30)[1]
        return child.returncode, said

    def test_interrupted(self) -> None:
        for sign in (signal.SIGINT, signal.SIGTERM):
            status, said = self.end(sign)
            self.assertEqual(130, status)
            self.assertNotIn(b"Traceback", said)
            self.assertEqual([], self.guests_here())
            self.assertEqual([], self.left())

    def test_killed(self) -> None:
        self.end(signal.SIGKILL)
        deadline = time.monotonic() + 10
        while self.guests_here() and time.monotonic() < deadline:
            time.sleep(0.1)
        self.assertEqual([], self.guests_here())

    def test_the_guest_is_killed(self) -> None:
        child = self.start()
        os.kill(self.guests_here()[0], signal.SIGKILL)
        said = child.communicate(timeout=30)[1].decode()
        self.assertEqual(1, child.returncode)
        self.assertIn("QEMU ended unexpectedly, with status -9", said)


class TogetherTest(SmallCase):
    def test_two_of_one_image_do_not_meet(self) -> None:
        image = self.guest(sectors.printing("Kernel panic - not syncing"))
        before = hashlib.sha256(image.read_bytes()).hexdigest()
        image.chmod(0o444)
        with (
            concurrent.futures.ThreadPoolExecutor(2) as pool,
            # a third one reads it all the while
            open(image, "rb"),
        ):
            said = list(pool.map(self.fails, [image, image]))
        for each in said:
            self.assertIn("the guest's kernel panicked", each)
        self.assertEqual(
            before, hashlib.sha256(image.read_bytes()).hexdigest()
        )
        self.assertEqual([], self.left())


class ProbeTest(SmallCase):
    def test_a_processor_that_works_finishes_the_probe(self) -> None:
        """TCG is right, only slow: in KVM's place, it gets the job."""

        def tcg(reason: str) -> qemu_command.Accelerator:
            return qemu_command.Accelerator(
                "tcg", reason, "tcg", cpu="max"
            )

        self.patch_object(qemu_command, "_kvm", tcg)
        self.patch_object(qemu_command, "_PATIENCE", 60)
        self.assertEqual(
            qemu_command.Kvm(True, "KVM ran a one-sector guest"),
            qemu_command._ask(),
        )

    def test_this_host_gets_an_answer(self) -> None:
        self.set_env(XDG_CACHE_HOME=str(self.place))
        begin = time.monotonic()
        found = qemu_command.probe_kvm()
        took = time.monotonic() - begin
        self.assertLess(took, 15)
        again: typing.Any = qemu_command.probe_kvm()
        self.assertEqual(found.usable, again.usable)
