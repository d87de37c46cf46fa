# SPDX-License-Identifier: Apache-2.0
"""The monitor's protocol, with a QEMU of a few lines."""

import collections.abc
import json
import socket
import threading
import typing

from tests import base
from trove_tools import errors
from trove_tools.verify import qmp

_GREETING = {"QMP": {"version": {}}}
_STOP = {"event": "STOP"}


class MonitorTest(base.TestCase):
    def setUp(self) -> None:
        super().setUp()
        ours, self.theirs = socket.socketpair()
        self.monitor = qmp.Monitor(ours)
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
        self.patch_object(qmp, "_ANSWER", 0.1)
        error = self.assertRaises(errors.VerifyError, self.monitor.greet)
        self.assertIn("did not answer", error.message)
