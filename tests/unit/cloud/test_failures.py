# SPDX-License-Identifier: Apache-2.0
"""What goes wrong on the wire, and what is made of it."""

import importlib.util
import socketserver
import threading
import typing

import fixtures
from keystoneauth1 import exceptions as ksa
from openstack import exceptions as sdk
import requests

from tests import base
from tests.unit.cloud import fakes
from trove_tools import errors
from trove_tools.cloud import connection
from trove_tools.cloud import failures

_VARIABLES = ("http_proxy", "https_proxy", "all_proxy", "no_proxy")

_PAUSE = "trove_tools.cloud.retry.PAUSE"

#: A name that no resolver knows (RFC 6761).
_KEYSTONE = "keystone.invalid"

PEER = failures.Peer("Trove", "database", "http://t", "user me in project p")


class ExplainedTest(base.TestCase):
    def explain(self, raised: BaseException) -> errors.CloudError:
        def fail() -> None:
            with failures.explained(PEER):
                raise raised

        error = self.assertRaises(errors.CloudError, fail)
        self.assertIs(raised, error.__cause__)
        self.assertEqual(4, error.exit_status)
        return error

    def test_login(self) -> None:
        for raised in (ksa.Unauthorized("bad"), ksa.BadRequest("bad")):
            error = self.explain(raised)
            self.assertIn("refused the login: bad", error.message)
            self.assertIn("clouds.yaml", error.hint or "")

    def test_nobody_there(self) -> None:
        try:
            raise ConnectionRefusedError(111, "Connection refused")
        except OSError as cause:
            raised = ksa.ConnectFailure("a very long text")
            raised.__cause__ = cause
        error = self.explain(raised)
        self.assertEqual(
            "Trove at http://t cannot be reached: Connection refused",
            error.message,
        )
        self.assertIn("is Trove running", error.hint or "")

    def test_silence(self) -> None:
        raised = ksa.ConnectTimeout("a very long text")
        raised.__context__ = TimeoutError()
        self.assertIn("no answer in time", self.explain(raised).message)

    def test_cut_off(self) -> None:
        raised = requests.ConnectionError("cut off")
        self.assertIn("cannot be reached: cut", self.explain(raised).message)

    def test_discovery(self) -> None:
        error = self.explain(ksa.DiscoveryFailure("no versions"))
        self.assertIn("cannot be reached", error.message)

    def test_certificate(self) -> None:
        error = self.explain(ksa.SSLError("self-signed"))
        self.assertIn("--os-cacert", error.hint or "")

    def test_catalog(self) -> None:
        for raised in (ksa.EndpointNotFound(), sdk.EndpointNotFound("x")):
            error = self.explain(raised)
            self.assertIn("no endpoint of Trove", error.message)
            self.assertIn("'database'", error.message)

    def test_server(self) -> None:
        error = self.explain(ksa.InternalServerError("oops"))
        self.assertIn("Trove at http://t failed: oops", error.message)

    def test_anything_else(self) -> None:
        for raised in (ksa.ClientException("odd"), sdk.SDKException("odd")):
            self.assertIn("odd", self.explain(raised).message)

    def test_our_own_errors_pass(self) -> None:
        def fail() -> None:
            with failures.explained(PEER):
                raise errors.ImageError("short")

        self.assertRaises(errors.ImageError, fail)


class CheckTest(base.TestCase):
    def refused(self, status: int) -> typing.Any:
        response = requests.Response()
        response.status_code = status
        response.url = "http://t/x"
        response.headers["Content-Type"] = "application/json"
        response._content = b'{"badRequest": {"message": "no way"}}'
        return self.assertRaises(
            failures.Refused, failures.check, response, PEER, "asking"
        )

    def test_words(self) -> None:
        error = self.refused(400)
        self.assertEqual("asking: Trove answered 400: no way", error.message)
        self.assertEqual((4, 400), (error.exit_status, error.status))

    def test_hints(self) -> None:
        for status, words in (
            (401, "user me in project p is not allowed this"),
            (403, "admin role"),
            (404, "is http://t really the endpoint"),
            (409, "the log of Trove"),
            (413, "image_size_cap"),
            (415, "qemu-img info"),
            (500, "the log of Trove"),
            (503, "overloaded"),
        ):
            self.assertIn(words, self.refused(status).hint)

    def test_good_answers_pass(self) -> None:
        response = requests.Response()
        for response.status_code in (200, 202, 204, 300):
            failures.check(response, PEER, "asking")


class _Answering(socketserver.StreamRequestHandler):
    """A proxy that refuses everything with one status."""

    status = "403 Forbidden"

    def handle(self) -> None:
        while self.rfile.readline().strip():
            pass
        head = f"HTTP/1.1 {self.status}\r\nContent-Type: text/html\r\n"
        self.wfile.write(f"{head}Content-Length: 2\r\n\r\nno".encode())


class ProxyCase(base.TestCase):
    def setUp(self) -> None:
        super().setUp()
        for name in _VARIABLES:
            self.set_env(**{name: None, name.upper(): None})


class FindProxyTest(ProxyCase):
    def test_none(self) -> None:
        self.assertIsNone(failures.find_proxy("http://k/v3"))
        self.assertIsNone(failures.find_proxy("the image endpoint"))

    def test_variables(self) -> None:
        for variable, url in (
            ("http_proxy", "http://k/v3"),
            ("HTTPS_PROXY", "https://k/v3"),
            ("all_proxy", "https://k/v3"),
            ("ALL_PROXY", "http://k/v3"),
        ):
            with fixtures.EnvironmentVariable(variable, "http://u:pw@p:1"):
                found = failures.find_proxy(url)
            self.assertEqual(failures.Proxy("http://p:1", variable), found)

    def test_the_proxy_of_another_scheme(self) -> None:
        self.set_env(https_proxy="http://p:1")
        self.assertIsNone(failures.find_proxy("http://k/v3"))

    def test_no_proxy(self) -> None:
        self.set_env(http_proxy="p:1", no_proxy="k")
        self.assertIsNone(failures.find_proxy("http://k/v3"))
        found = failures.find_proxy("http://other/v3")
        self.assertEqual(failures.Proxy("http://p:1", "http_proxy"), found)

    def test_what_is_no_url(self) -> None:
        self.assertIsNone(failures.find_proxy("http://[k"))


class FailingProxyTest(ProxyCase):
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
