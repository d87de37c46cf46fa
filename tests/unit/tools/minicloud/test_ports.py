# SPDX-License-Identifier: Apache-2.0
import socket

from minicloud import ports
from tests import base
from trove_tools import errors


class PortsTest(base.TestCase):
    def test_a_port_somebody_listens_on(self) -> None:
        for address in (ports.ADDRESS, "0.0.0.0"):
            with socket.socket() as listener:
                listener.bind((address, 0))
                listener.listen()
                port = listener.getsockname()[1]
                self.assertFalse(ports.is_free(port))
            self.assertTrue(ports.is_free(port))

    def test_below_the_ephemeral_range(self) -> None:
        first, last = ports._RANGE.read_text().split()
        for _ in range(20):
            port = ports.choose()
            self.assertFalse(int(first) <= port <= int(last))

    def test_a_range_that_leaves_no_room_below(self) -> None:
        file = self.temp_dir() / "range"
        for text in ("1024 65535", "", "x y"):
            file.write_text(text)
            self.patch_object(ports, "_RANGE", file)
            self.assertGreater(ports.choose(), 1024)

    def test_one_that_is_spoken_for(self) -> None:
        answers = iter([20001, 20001, 20002])
        self.patch_object(
            ports.random, "randrange", lambda *args: next(answers)
        )
        self.patch_object(ports, "is_free", lambda port: True)
        self.assertEqual(20002, ports.choose({20001}))

    def test_none_is_free(self) -> None:
        self.patch_object(ports, "is_free", lambda port: False)
        error = self.assertRaises(errors.TroveToolsError, ports.choose)
        self.assertIn("--port", error.hint or "")
