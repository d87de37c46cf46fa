# SPDX-License-Identifier: Apache-2.0
"""What is picked out of a guest's journal."""

import threading
import time
import types
import typing

from tests import base
from trove_tools.verify import diagnosis
from trove_tools.verify import machine as _machine
from trove_tools.verify import outcome

_JOURNAL = """\
[    0.000000] kernel: Linux version 6.12
[    5.123456] systemd[1]: Starting ssh.service - OpenSSH server...
[   14.000001] kernel: audit: apparmor="DENIED" operation="exec"
[   21.500000] cloud-init[301]: Cloud-init v. 25.1 running 'init'
[   21.600000] cloud-init[301]: 2026-11-23 WARNING: no such user ubuntu
[   60.000000] dockerd[500]: API listen on /run/docker.sock
[   61.000000] systemd[1]: Started trove-guestagent.service - OpenStack.
[   62.000000] trove-guestagent[612]: 2026-11-23 08:09:22 612 ERROR x   Fi
[   62.000001] trove-guestagent[612]: useradd: UID 1001 is not unique
-- no line of a journal --
"""


class JournalTest(base.TestCase):
    def test_what_may_explain_a_failure(self) -> None:
        file = self.temp_dir() / "journal"
        file.write_text(_JOURNAL)
        found = diagnosis.read_journal(file)
        self.assertEqual(
            {
                diagnosis.AGENT_JOURNAL: [
                    "Started trove-guestagent.service - OpenStack.",
                    "useradd: UID 1001 is not unique",
                ],
                "journal of docker": ["API listen on /run/docker.sock"],
                "journal of cloud-init": [
                    "2026-11-23 WARNING: no such user ubuntu"
                ],
                "journal of the kernel": [
                    'audit: apparmor="DENIED" operation="exec"'
                ],
            },
            {
                kind: [line.split(": ", 1)[1] for line in lines]
                for kind, lines in found.items()
            },
        )

    def test_a_guest_that_has_written_nothing(self) -> None:
        absent = self.temp_dir() / "journal"
        self.assertEqual({}, diagnosis.read_journal(absent))

    def test_frames_of_a_traceback_tell_nothing(self) -> None:
        stamp = "2026-11-23 08:09:22.363 133 ERROR oslo_messaging.rpc.server"
        file = self.temp_dir() / "journal"
        for tells, lines in (
            (False, [f"{stamp}{rest}" for rest in (
                " ", "   File \"x.py\"", "     ^^^", " Traceback (m",
                " During handling of",
            )]),
            (True, [
                f"{stamp} docker.errors.APIError: 500 Server Error",
                f"{stamp} [None req-1 - -] Exception during handling",
                "no date at all",
            ]),
        ):  # fmt: skip
            for line in lines:
                file.write_text(f"[ 1.0] trove-guestagent[7]: {line}\n")
                found = diagnosis.read_journal(file)
                self.assertEqual(tells, diagnosis.AGENT_JOURNAL in found)


class LateJournalTest(base.TestCase):
    """What a guest logged reaches the file later than its answers do."""

    def setUp(self) -> None:
        super().setUp()
        self.directory = self.temp_dir()
        self.file = self.directory / _machine.JOURNAL
        self.file.write_text(_JOURNAL)
        self.patience = 10.0

    def wait(self, log: typing.Callable[[str], None]) -> None:
        machine: typing.Any = types.SimpleNamespace(
            directory=self.directory,
            limits=types.SimpleNamespace(scaled=lambda _: self.patience),
            run=lambda program, text: log(text),
        )
        diagnosis._await_journal(machine)

    def test_it_is_awaited(self) -> None:
        def append(text: str) -> None:
            time.sleep(0.3)
            with self.file.open("a") as stream:
                stream.write(f"[   99.000000] root[9]: {text}\n")

        def log(text: str) -> None:
            thread = threading.Thread(target=append, args=(text,))
            thread.start()
            self.addCleanup(thread.join)

        self.wait(log)
        self.assertIn("root[9]: trove-verify", self.file.read_text())

    def test_not_for_ever(self) -> None:
        self.patience = 0.1
        self.wait(lambda text: None)
        self.assertEqual(_JOURNAL, self.file.read_text())

    def test_guest_that_is_gone(self) -> None:
        def fail(text: str) -> None:
            raise outcome.CheckError("it does not answer")

        waits: list[float] = []
        self.patch_object(time, "sleep", waits.append)
        self.wait(fail)
        self.assertEqual([], waits)
