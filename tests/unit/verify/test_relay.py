# SPDX-License-Identifier: Apache-2.0
"""The relay, over real sockets."""

import socket
import subprocess
import sys
import threading

from tests import base
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

    def test_several_connections(self) -> None:
        server = socket.create_server(("127.0.0.1", 0))
        relay.serve(server, lambda: relay.to_loopback(self.port))
        here = server.getsockname()[1]
        links = [socket.create_connection(("127.0.0.1", here), 20)
                 for _ in range(3)]  # fmt: skip
        for number, link in enumerate(links):
            with link:
                word = f"hello {number} ".encode() * 20000
                threading.Thread(target=link.sendall, args=(word,)).start()
                got = b""
                while len(got) < len(word):
                    got += link.recv(65536)
                self.assertEqual(word.upper(), got)
        relay.stop(server)
        self.assertRaises(
            OSError, socket.create_connection, ("127.0.0.1", here), 5
        )

    def test_nobody_listens_there(self) -> None:
        server = socket.create_server(("127.0.0.1", 0))
        self.addCleanup(relay.stop, server)
        self.server.close()

        def refuse() -> socket.socket:
            raise ConnectionRefusedError

        relay.serve(server, refuse)
        here = server.getsockname()[1]
        with socket.create_connection(("127.0.0.1", here), 5) as link:
            self.assertEqual(b"", link.recv(1))

    def test_one_connection_on_standard_input(self) -> None:
        ours, theirs = socket.socketpair()
        child = subprocess.Popen(
            [sys.executable, "-I", "-S", relay.__file__,
             str(self.port)],
            stdin=theirs, stdout=theirs,
        )  # fmt: skip
        theirs.close()
        with ours:
            ours.sendall(b"hello")
            self.assertEqual(b"HELLO", ours.recv(100))
        self.assertEqual(0, child.wait(10))
