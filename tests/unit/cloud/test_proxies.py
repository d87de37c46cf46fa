# SPDX-License-Identifier: Apache-2.0
"""The proxy of the environment, and what is said when it fails."""

import importlib.util
import socketserver
import threading
import typing

import fixtures

from tests import base
from tests.unit.cloud import fakes
from trove_tools import errors
from trove_tools.cloud import connection
from trove_tools.cloud import proxies

_VARIABLES = ("http_proxy", "https_proxy", "all_proxy", "no_proxy")

_PAUSE = "trove_tools.cloud.retry.PAUSE"

#: A name that no resolver knows (RFC 6761).
_KEYSTONE = "keystone.invalid"


class _Answering(socketserver.StreamRequestHandler):
    """A proxy that refuses everything with one status."""

    status = "403 Forbidden"

    def handle(self) -> None:
        while self.rfile.readline().strip():
            pass
        head = f"HTTP/1.1 {self.status}\r\nContent-Type: text/html\r\n"
        self.wfile.write(f"{head}Content-Length: 2\r\n\r\nno".encode())


class TestCase(base.TestCase):
    def setUp(self) -> None:
        super().setUp()
        for name in _VARIABLES:
            self.set_env(**{name: None, name.upper(): None})


class UsedForTest(TestCase):
    def test_none(self) -> None:
        self.assertIsNone(proxies.used_for("http://k/v3"))
        self.assertIsNone(proxies.used_for("the image endpoint"))

    def test_variables(self) -> None:
        for variable, url in (
            ("http_proxy", "http://k/v3"),
            ("HTTPS_PROXY", "https://k/v3"),
            ("all_proxy", "https://k/v3"),
            ("ALL_PROXY", "http://k/v3"),
        ):
            with fixtures.EnvironmentVariable(variable, "http://u:pw@p:1"):
                found = proxies.used_for(url)
            self.assertEqual(proxies.Proxy("http://p:1", variable), found)

    def test_the_proxy_of_another_scheme(self) -> None:
        self.set_env(https_proxy="http://p:1")
        self.assertIsNone(proxies.used_for("http://k/v3"))

    def test_no_proxy(self) -> None:
        self.set_env(http_proxy="p:1", no_proxy="k")
        self.assertIsNone(proxies.used_for("http://k/v3"))
        found = proxies.used_for("http://other/v3")
        self.assertEqual(proxies.Proxy("http://p:1", "http_proxy"), found)

    def test_what_is_no_url(self) -> None:
        self.assertIsNone(proxies.used_for("http://[k"))


class FailingTest(TestCase):
    """Each of these proxies is named, and its password is not."""

    def setUp(self) -> None:
        super().setUp()
        self.useFixture(fixtures.MonkeyPatch(_PAUSE, 0.001))

    def failure(self, scheme: str, **environ: str) -> errors.TroveToolsError:
        self.set_env(OS_AUTH_URL=f"{scheme}://{_KEYSTONE}/v3", **environ)
        for name in ("username", "password", "project_name"):
            self.set_env(**{f"OS_{name.upper()}": "x"})
        error = self.assertRaises(
            errors.TroveToolsError, connection.log_in, fakes.settings()
        )
        self.assertNotIn("secret", f"{error.message} {error.hint}")
        return error

    def check(self, proxy: str, scheme: str, *words: str) -> None:
        variable = f"{scheme}_proxy"
        error = self.failure(scheme, **{variable: f"http://u:secret@{proxy}"})
        self.assertEqual(errors.EXIT_CLOUD, error.exit_status)
        for word in (proxy, variable, *words):
            self.assertIn(word, error.message)
        self.assertIn(f"add {_KEYSTONE} to no_proxy", error.hint or "")

    def test_nobody_listens(self) -> None:
        for scheme in ("http", "https"):
            self.check("127.0.0.1:9", scheme, "Connection refused")

    def test_unknown_name(self) -> None:
        self.check("proxy.invalid:3128", "http", "not known")

    def test_malformed(self) -> None:
        self.check(":3128", "http", "malformed")

    def test_socks_without_its_package(self) -> None:
        if importlib.util.find_spec("socks") is not None:
            self.skipTest("PySocks is installed here")
        for name in ("socks5h", "socks4"):
            error = self.failure(
                "http", ALL_PROXY=f"{name}://u:secret@127.0.0.1:9"
            )
            self.assertEqual(errors.EXIT_MISSING, error.exit_status)
            self.assertIn(f"{name}://127.0.0.1:9", error.message)
            self.assertIn("ALL_PROXY", error.message)
            self.assertIn("PySocks", error.hint or "")

    def test_it_refuses(self) -> None:
        for status in ("403 Forbidden", "407 Login first", "503 Busy"):
            server = self.server(status)
            for scheme in ("http", "https"):
                self.check(server, scheme, status.partition(" ")[0])

    def server(self, status: str) -> str:
        handler = type("Handler", (_Answering,), {"status": status})
        server: typing.Any = socketserver.ThreadingTCPServer(
            ("127.0.0.1", 0), handler
        )
        thread = threading.Thread(target=server.serve_forever, args=(0.02,))
        thread.start()
        self.addCleanup(server.server_close)
        self.addCleanup(thread.join)
        self.addCleanup(server.shutdown)
        return f"127.0.0.1:{server.server_address[1]}"
