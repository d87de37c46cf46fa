# SPDX-License-Identifier: Apache-2.0
"""What a virtual machine's guest tells, and what it leaves behind."""

import json
import pathlib
import socket
import types
import typing

from tests import base
from trove_tools import hostload
from trove_tools.verify import defects
from trove_tools.verify import journal
from trove_tools.verify import limits
from trove_tools.verify import qemu
from trove_tools.verify import vm

_JOURNAL = (
    "[    9.000000] trove-guestagent[612]: useradd: UID 999 is not unique"
    "\n"
)


class EvidenceTest(base.TestCase):
    def setUp(self) -> None:
        super().setUp()
        ours, self.theirs = socket.socketpair()
        self.addCleanup(ours.close)
        self.addCleanup(self.theirs.close)
        self.place = self.temp_dir()
        machine: typing.Any = types.SimpleNamespace(directory=self.place)
        self.patch_object(hostload, "load", lambda: 1.0)
        nobody: typing.Any = types.SimpleNamespace(limits=limits.Limits())
        self.guest = vm.VmGuest(machine, nobody, ours)
        self.patch_object(vm, "_ANSWER", 0.2)

    def tell(self, request: int, **found: typing.Any) -> None:
        line = json.dumps({"request": request, "found": found})
        self.theirs.sendall(line.encode() + b"\n")

    def journal(self) -> pathlib.Path:
        file = self.place / qemu.JOURNAL
        file.write_text(_JOURNAL)
        return file

    def test_all_pieces_of_an_answer(self) -> None:
        self.tell(1, facts={"database_uid": "x"})
        self.tell(1, logs={"guest agent": ["a"]})
        self.tell(1, logs={"containers": ["b"]})
        self.tell(1)
        found = self.guest.evidence(True)
        self.assertEqual(b"all 1 20\n", self.theirs.recv(99))
        self.assertEqual({"database_uid": "x"}, found["facts"])
        self.assertEqual({"guest agent", "containers"}, set(found["logs"]))

    def test_the_journal_has_the_agents_log_already(self) -> None:
        self.journal()
        self.tell(1, logs={"guest agent": ["a"]})
        self.tell(1)
        logs = self.guest.evidence(True)["logs"]
        self.assertEqual([journal.AGENT], list(logs))

    def test_a_guest_that_hangs_is_explained_by_its_journal(self) -> None:
        self.journal()
        found = self.guest.evidence(True)
        self.assertNotIn("facts", found)
        causes, lines = defects.explain(None, found["logs"])
        self.assertIn("database_service_uid", causes[0])
        self.assertIn("UID 999 is not unique", lines[0])

    def test_what_came_before_it_hung_is_kept(self) -> None:
        self.tell(1, facts={"database_uid": "x"})
        self.assertEqual(
            {"facts": {"database_uid": "x"}}, self.guest.evidence(False)
        )

    def test_an_answer_that_comes_too_late_is_not_taken_for_another(
        self,
    ) -> None:
        self.assertEqual({}, self.guest.evidence(False))
        self.tell(1, facts={"old": True})
        self.tell(1)
        self.tell(2, facts={"new": True})
        self.tell(2)
        self.assertEqual({"facts": {"new": True}}, self.guest.evidence(False))

    def test_a_machine_that_is_gone(self) -> None:
        self.theirs.close()
        self.assertEqual({}, self.guest.evidence(False))
