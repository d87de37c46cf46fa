# SPDX-License-Identifier: Apache-2.0
"""What is read of Swift, from a server that has two objects."""

import http.server
import json

from tests import base
from tests.standins import loopback
from trove_tools.verify import outcome
from trove_tools.verify.life import swift

OBJECTS = {"i/log-1": b"one", "i/log-2": b"two"}


class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        path = self.path.removeprefix("/v1/AUTH_t/logs")
        if self.headers["X-Auth-Token"] != "token":
            self.send_error(401)
            return
        if path.startswith("?"):
            body = json.dumps(
                [
                    {"name": name, "bytes": len(data)}
                    for name, data in OBJECTS.items()
                ]
            ).encode()
        else:
            body = OBJECTS[path[1:]]
        self.send_response(200)
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        pass


class SwiftTest(base.TestCase):
    def test_objects_and_sizes(self) -> None:
        server = loopback.Server(Handler)
        self.addCleanup(server.close)
        port = server.port
        found = swift.Swift(port, "t", "token")
        self.assertEqual(OBJECTS, found.read("logs", "i/"))
        self.assertEqual(6, found.size("logs", "i/log"))
        other = swift.Swift(port, "t", "other")
        exc = self.assertRaises(outcome.CheckError, other.read, "logs")
        self.assertIn("401", str(exc))

    def test_a_guest_has_another_address(self) -> None:
        found = swift.Swift(1, "t", "token")
        self.assertEqual(
            "http://10.0.2.100:8080/v1/AUTH_t", found.url("10.0.2.100", 8080)
        )
