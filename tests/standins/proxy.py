# SPDX-License-Identifier: Apache-2.0
"""A forward proxy on loopback that knows names which nobody else knows."""

import base64
import http.client
import http.server
import select
import socket
import typing
import urllib.parse

from tests.standins import loopback


class Proxy(loopback.Server):
    """Serves until it is closed.

    :param names: where servers really are, by their names; it reaches no
        others.
    :param login: user and password that it wants, with ``:`` between them.
    """

    def __init__(self, names: dict[str, str], login: str = "") -> None:
        #: what it was asked for: method and address
        self.asked: list[tuple[str, str]] = []
        handler = type(
            "Handler",
            (_Handler,),
            {"names": names, "login": login, "asked": self.asked},
        )
        super().__init__(handler)


class _Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    names: dict[str, str]
    login: str
    asked: list[tuple[str, str]]

    def log_message(self, *words: object) -> None:
        pass

    def _place(self, host: str | None) -> str | None:
        """Return where a server is; answer when there is no such name."""
        self.asked.append((self.command, self.path))
        wanted = base64.b64encode(self.login.encode()).decode()
        told = self.headers.get("Proxy-Authorization", "")
        if self.login and told != f"Basic {wanted}":
            self.send_error(407)
            return None
        if host not in self.names:
            self.send_error(503, "no such name")
            return None
        return self.names[host]

    def do_GET(self) -> None:
        parts = urllib.parse.urlsplit(self.path)
        place = self._place(parts.hostname)
        if place is None:
            return
        connection = http.client.HTTPConnection(place, timeout=30)
        path = parts._replace(scheme="", netloc="").geturl()
        connection.request(self.command, path)
        answer = connection.getresponse()
        content = answer.read()
        self.send_response(answer.status)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)
        connection.close()

    def do_HEAD(self) -> None:
        self.do_GET()

    def do_CONNECT(self) -> None:
        place = self._place(self.path.rpartition(":")[0])
        if place is None:
            return
        self.close_connection = True
        host, _, port = place.partition(":")
        with socket.create_connection((host, int(port))) as far:
            self.send_response(200)
            self.end_headers()
            ends: dict[typing.Any, typing.Any] = {
                self.connection: far, far: self.connection,
            }  # fmt: skip
            while True:
                for end in select.select(list(ends), [], [], 30)[0]:
                    block = end.recv(65536)
                    if not block:
                        return
                    ends[end].sendall(block)
