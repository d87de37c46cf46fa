# SPDX-License-Identifier: Apache-2.0
"""The relay, over real sockets."""

import pathlib
import socket
import subprocess
import sys
import threading
import time

from tests import base
from trove_tools.verify import children
from trove_tools.verify import relay


class RelayTest(base.TestCase):
    def setUp(self) -> None:
        super().setUp()
        self.server = socket.create_server(("127.0.0.1", 0))
        self.addCleanup(self.server.close)
        self.port = self.server.getsockname()[1]
        threading.Thread(target=self.echo, daemon=True).start()

    def echo(self) -> None:
        """Say back in capitals, to everybody, until they hang up."""

        def serve(client: socket.socket) -> None:
            with client:
                while data := client.recv(65536):
                    client.sendall(data.upper())

        while True:
            try:
                client, _ = self.server.accept()
            except OSError:
                return
            threading.Thread(target=serve, args=(client,), daemon=True).start()

    def run_relay(self, *places: str) -> None:
        child = subprocess.Popen(
            [sys.executable, "-I", "-S", relay.__file__, *places],
            cwd=self.place,
        )
        self.addCleanup(child.wait)
        self.addCleanup(child.kill)

    def test_several_connections_over_a_socket_file(self) -> None:
        self.place: pathlib.Path = self.temp_dir()
        here = children.free_port()
        self.run_relay("unix:x.sock", f"tcp:127.0.0.1:{self.port}")
        self.run_relay(f"tcp:127.0.0.1:{here}", "unix:x.sock")
        links = [self.connect(here) for _ in range(3)]
        for number, link in enumerate(links):
            with link:
                word = f"hello {number} ".encode() * 20000
                threading.Thread(target=link.sendall, args=(word,)).start()
                got = b""
                while len(got) < len(word):
                    got += link.recv(65536)
                self.assertEqual(word.upper(), got)

    def connect(self, port: int) -> socket.socket:
        """Connect until an answer comes."""
        deadline = time.monotonic() + 20
        while True:
            try:
                link = socket.create_connection(("127.0.0.1", port), 5)
                link.sendall(b"x")
                if link.recv(1) == b"X":
                    return link
                link.close()
            except OSError:
                pass
            self.assertLess(time.monotonic(), deadline)
            time.sleep(0.05)

    def test_one_connection_on_standard_input(self) -> None:
        ours, theirs = socket.socketpair()
        child = subprocess.Popen(
            [sys.executable, "-I", "-S", relay.__file__,
             f"tcp:127.0.0.1:{self.port}"],
            stdin=theirs, stdout=theirs,
        )  # fmt: skip
        theirs.close()
        with ours:
            ours.sendall(b"hello")
            self.assertEqual(b"HELLO", ours.recv(100))
        self.assertEqual(0, child.wait(10))
