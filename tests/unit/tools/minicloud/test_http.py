# SPDX-License-Identifier: Apache-2.0
import http.server
import json
import threading

from minicloud import http as minihttp
from tests import base
from trove_tools import errors


class _Handler(http.server.BaseHTTPRequestHandler):
    def do_POST(self) -> None:
        length = int(self.headers.get("Content-Length") or 0)
        seen = {
            "token": self.headers.get("X-Auth-Token"),
            "body": self.rfile.read(length).decode(),
        }
        self.send_response(int(self.path[1:]))
        self.send_header("X-Subject-Token", "abc")
        self.end_headers()
        self.wfile.write(json.dumps(seen).encode())

    def do_GET(self) -> None:
        self.do_POST()

    def log_message(self, *args: object) -> None:
        pass


class HttpTest(base.TestCase):
    def setUp(self) -> None:
        super().setUp()
        server = http.server.HTTPServer(("127.0.0.1", 0), _Handler)
        self.url = f"http://127.0.0.1:{server.server_port}"
        thread = threading.Thread(
            target=server.serve_forever, kwargs={"poll_interval": 0.01}
        )
        thread.start()
        self.addCleanup(server.server_close)
        self.addCleanup(thread.join)
        self.addCleanup(server.shutdown)

    def test_what_is_sent_and_answered(self) -> None:
        reply = minihttp.need(
            "POST", f"{self.url}/201", token="t", body={"a": 1}
        )
        self.assertEqual(201, reply.status)
        self.assertEqual("abc", reply.headers["x-subject-token"])
        self.assertEqual({"token": "t", "body": '{"a": 1}'}, reply.body)

    def test_a_refusal(self) -> None:
        reply = minihttp.call("GET", f"{self.url}/403")
        self.assertEqual(403, reply.status)
        self.assertRaisesRegex(
            errors.CloudError, "403", minihttp.need, "GET", f"{self.url}/403"
        )

    def test_nobody_there(self) -> None:
        self.assertRaises(
            errors.CloudError, minihttp.call, "GET", "http://127.0.0.1:1/"
        )

    def test_answers(self) -> None:
        self.assertTrue(minihttp.answers(f"{self.url}/200"))
        self.assertFalse(minihttp.answers(f"{self.url}/503"))
        self.assertFalse(minihttp.answers("http://127.0.0.1:1/"))

    def test_a_proxy_is_not_asked(self) -> None:
        self.set_env(
            http_proxy="http://127.0.0.1:1", no_proxy=None, NO_PROXY=None
        )
        self.assertTrue(minihttp.answers(f"{self.url}/200"))
