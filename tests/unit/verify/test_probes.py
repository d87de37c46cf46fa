# SPDX-License-Identifier: Apache-2.0
"""Probes, against servers of a few lines on loopback."""

import collections.abc
import dataclasses
import http.server
import socket
import struct
import threading
import time
import typing

from tests import base
from tests.unit.verify import samples
from trove_tools.verify import probes

Talk = collections.abc.Callable[[socket.socket], None]


class ServerTest(base.TestCase):
    def serve(self, talk: Talk) -> probes.Target:
        """Answer each connection with ``talk``, until the test ends."""
        server = socket.create_server(("127.0.0.1", 0))
        self.addCleanup(server.close)

        def accept() -> None:
            while True:
                try:
                    connection, _ = server.accept()
                except OSError:
                    return
                with connection:
                    talk(connection)

        thread = threading.Thread(target=accept, daemon=True)
        thread.start()
        self.addCleanup(thread.join, 5)
        self.addCleanup(server.shutdown, socket.SHUT_RDWR)
        return self.target(server.getsockname()[1])

    def target(self, port: int) -> probes.Target:
        return probes.Target(port, "bob", "secret")

    def nobody(self) -> probes.Target:
        """Return where nobody listens."""
        with socket.create_server(("127.0.0.1", 0)) as server:
            return self.target(server.getsockname()[1])

    def health(self, protocol: str, **changes: typing.Any) -> typing.Any:
        return dataclasses.replace(
            samples.HEALTH, protocol=protocol, **changes
        )


class EveryProtocolTest(ServerTest):
    def test_nobody_listens(self) -> None:
        for protocol in probes.PROTOCOLS:
            self.assertRaises(
                probes.NoAnswerError,
                probes.ask,
                self.health(protocol),
                self.nobody(),
                1,
            )

    def test_the_connection_is_closed_at_once(self) -> None:
        """As QEMU's user network does for a port that is closed inside."""
        target = self.serve(lambda connection: None)
        for protocol in probes.PROTOCOLS:
            self.assertRaises(
                probes.NoAnswerError,
                probes.ask,
                self.health(protocol),
                target,
                1,
            )

    def test_silence(self) -> None:
        target = self.serve(lambda connection: time.sleep(0.2))
        for protocol in probes.PROTOCOLS:
            self.assertRaises(
                probes.NoAnswerError,
                probes.ask,
                self.health(protocol),
                target,
                0.1,
            )

    def test_something_else_answers(self) -> None:
        target = self.serve(
            lambda connection: connection.sendall(b"220 mail ready\r\n")
        )
        for protocol in ("mysql", "postgresql", "http"):
            self.assertRaises(
                probes.NoAnswerError,
                probes.ask,
                self.health(protocol),
                target,
                1,
            )


class MysqlTest(ServerTest):
    def test_a_server_that_lets_nobody_in(self) -> None:
        message = b"Host '10.0.2.2' is not allowed to connect"
        body = b"\xff" + struct.pack("<H", 1130) + message
        packet = struct.pack("<I", len(body))[:3] + b"\x00" + body
        target = self.serve(lambda connection: connection.sendall(packet))
        error = self.assertRaises(
            probes.RefusedError, probes.ask, self.health("mysql"), target
        )
        self.assertIn("is not allowed to connect (1130)", str(error))


class PostgresqlTest(ServerTest):
    def refuse(self, code: bytes, message: bytes) -> probes.Target:
        fields = b"SFATAL\x00C" + code + b"\x00M" + message + b"\x00\x00"
        packet = b"E" + struct.pack(">I", len(fields) + 4) + fields

        def talk(connection: socket.socket) -> None:
            connection.recv(1024)
            # no, it cannot be encrypted
            connection.sendall(b"N")
            connection.recv(1024)
            connection.sendall(packet)

        return self.serve(talk)

    def test_a_server_that_is_starting(self) -> None:
        self.assertRaises(
            probes.NoAnswerError,
            probes.ask,
            self.health("postgresql"),
            self.refuse(b"57P03", b"the database system is starting up"),
        )

    def test_a_server_that_lets_nobody_in(self) -> None:
        error = self.assertRaises(
            probes.RefusedError,
            probes.ask,
            self.health("postgresql"),
            self.refuse(b"28000", b"no pg_hba.conf entry"),
        )
        self.assertIn("no pg_hba.conf entry", str(error))

    def test_a_server_that_falls_silent(self) -> None:
        def talk(connection: socket.socket) -> None:
            connection.recv(1024)
            connection.sendall(b"N")
            # until the client has given up
            while connection.recv(1024):
                pass

        error = self.assertRaises(
            probes.NoAnswerError,
            probes.ask,
            self.health("postgresql"),
            self.serve(talk),
            0.2,
        )
        self.assertIn("timed out", str(error))


class TcpTest(ServerTest):
    def echo(self, connection: socket.socket) -> None:
        word = connection.recv(1024)
        for byte in b"+OK " + word:
            connection.sendall(bytes([byte]))

    def test_send_and_expect(self) -> None:
        answer = probes.ask(
            self.health(
                "tcp", query="AUTH {user} {password}!", expect="OK AUTH .*!"
            ),
            self.serve(self.echo),
        )
        self.assertEqual("+OK AUTH bob secret!", answer)

    def test_another_answer(self) -> None:
        error = self.assertRaises(
            probes.RefusedError,
            probes.ask,
            self.health("tcp", query="PING", expect="PONG"),
            self.serve(self.echo),
        )
        self.assertEqual(
            "answered '+OK PING', which does not match 'PONG'", str(error)
        )


class HttpTest(ServerTest):
    def serve_http(self, status: int, body: bytes) -> probes.Target:
        seen = self.seen = []  # type: list[typing.Any]

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_GET(self) -> None:  # noqa: N802
                seen.append((self.path, self.headers["Authorization"]))
                self.send_response(status)
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *args: object) -> None:
                pass

        server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.addCleanup(server.server_close)
        threading.Thread(
            target=server.serve_forever, args=(0.01,), daemon=True
        ).start()
        self.addCleanup(server.shutdown)
        return self.target(server.server_port)

    def test_an_answer(self) -> None:
        answer = probes.ask(
            self.health("http", query="/health", expect='"status": *"up"'),
            self.serve_http(200, b'{"status": "up"}'),
        )
        self.assertEqual('200 OK {"status": "up"}', answer)
        self.assertEqual([("/health", "Basic Ym9iOnNlY3JldA==")], self.seen)

    def test_a_server_that_is_starting(self) -> None:
        self.assertRaises(
            probes.NoAnswerError,
            probes.ask,
            self.health("http", query="/", expect="up"),
            self.serve_http(503, b"up soon"),
        )

    def test_a_refusal(self) -> None:
        error = self.assertRaises(
            probes.RefusedError,
            probes.ask,
            self.health("http", query="/", expect="up"),
            self.serve_http(404, b"no such page"),
        )
        self.assertIn("404 Not Found", str(error))


class AskUntilTest(ServerTest):
    def setUp(self) -> None:
        super().setUp()
        self.patch_object(probes, "_PAUSE", 0.02)

    def test_a_server_that_comes_later(self) -> None:
        calls: list[int] = []

        def talk(connection: socket.socket) -> None:
            calls.append(1)
            if len(calls) > 2:
                connection.sendall(b"MariaDB")

        answer = probes.ask_until(
            self.health("tcp"), self.serve(talk), lambda exc: None
        )
        self.assertEqual("MariaDB", answer)
        self.assertEqual(3, len(calls))

    def test_a_wrong_answer_is_final(self) -> None:
        target = self.serve(lambda connection: connection.sendall(b"no"))
        self.assertRaises(
            probes.RefusedError,
            probes.ask_until,
            self.health("tcp"),
            target,
            lambda exc: None,
        )

    def test_who_waits_may_give_up(self) -> None:
        def give_up(exc: probes.NoAnswerError) -> None:
            raise KeyError(f"the guest is lost: {exc}")

        self.assertRaises(
            KeyError,
            probes.ask_until,
            self.health("tcp"),
            self.nobody(),
            give_up,
        )
