# SPDX-License-Identifier: Apache-2.0
"""The relay on loopback, before real servers and proxies on loopback."""

import http.server
import os
import socket
import ssl
import threading
import typing
import urllib.error
import urllib.request

from tests import base
from tests.standins import authority
from tests.standins import proxy
from tests.standins import repository
from trove_tools.sources.network import dial
from trove_tools.sources.network import relay

_NAME = "mirror.invalid"


class RelayCase(base.TestCase):
    def setUp(self) -> None:
        super().setUp()
        # urllib would go around the relay
        self.set_env(no_proxy=None, NO_PROXY=None)
        self.files = self.temp_dir()
        (self.files / "file").write_bytes(os.urandom(300_000))
        self.server = repository.Server(self.files)
        self.addCleanup(self.server.close)
        self.place = self.server.url.removeprefix("http://")

    def relayed(self, choose: relay.Choose) -> relay.Relay:
        made = relay.Relay(choose)
        self.addCleanup(made.close)
        return made

    def standin(self, login: str = "", **names: str) -> proxy.Proxy:
        made = proxy.Proxy({_NAME: self.place, **names}, login)
        self.addCleanup(made.close)
        return made

    def get(
        self, through: relay.Relay, url: str, *more: typing.Any
    ) -> bytes:
        handler = urllib.request.ProxyHandler(
            {"http": through.url, "https": through.url}
        )
        opener = urllib.request.build_opener(handler, *more)
        with opener.open(url, timeout=10) as answer:
            found: bytes = answer.read()
            return found

    def failure(self, through: relay.Relay, url: str) -> str:
        error = self.assertRaises(
            urllib.error.URLError, self.get, through, url
        )
        return str(error)


class HttpTest(RelayCase):
    def test_direct(self) -> None:
        through = self.relayed(lambda url: "")
        found = self.get(through, f"{self.server.url}/file")
        self.assertEqual((self.files / "file").read_bytes(), found)

    def test_path_as_it_is(self) -> None:
        class Handler(http.server.BaseHTTPRequestHandler):
            seen: typing.ClassVar[list[str]] = []

            def log_message(self, *words: object) -> None:
                pass

            def do_GET(self) -> None:
                # its path has lost a slash
                self.seen.append(self.requestline.split()[1])
                self.send_error(404)

        server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.addCleanup(server.server_close)
        threading.Thread(
            target=server.serve_forever, args=(0.05,), daemon=True
        ).start()
        self.addCleanup(server.shutdown)
        through = self.relayed(lambda url: "")
        paths = ["/", "//two/slashes?a=/b", "/a%2Fb"]
        for path in paths:
            url = f"http://127.0.0.1:{server.server_port}{path}"
            self.failure(through, url)
        self.assertEqual(paths, Handler.seen)

    def test_through_a_proxy(self) -> None:
        standin = self.standin()
        found = self.get(
            self.relayed(lambda url: standin.url), f"http://{_NAME}/file"
        )
        self.assertEqual((self.files / "file").read_bytes(), found)
        self.assertEqual([("GET", f"http://{_NAME}/file")], standin.asked)

    def test_it_tells_the_password(self) -> None:
        standin = self.standin("me:se/cret")
        address = f"http://me:se%2Fcret@127.0.0.1:{standin.port}"
        found = self.get(
            self.relayed(lambda url: address), f"http://{_NAME}/file"
        )
        self.assertEqual(300_000, len(found))

    def test_wrong_password(self) -> None:
        standin = self.standin("me:secret")
        address = f"http://me:wrong@127.0.0.1:{standin.port}"
        through = self.relayed(lambda url: address)
        for scheme in ("http", "https"):
            text = self.failure(through, f"{scheme}://{_NAME}/file")
            self.assertIn("502", text)
            self.assertIn(f"the proxy {standin.url} refuses: 407", text)
            self.assertNotIn("wrong", text)

    def test_proxy_that_is_away(self) -> None:
        with socket.create_server(("127.0.0.1", 0)) as closed:
            port = closed.getsockname()[1]
        through = self.relayed(lambda url: f"http://me:secret@127.0.0.1:{port}")
        for scheme in ("http", "https"):
            text = self.failure(through, f"{scheme}://{_NAME}/")
            self.assertIn(
                f"the proxy http://127.0.0.1:{port} cannot be reached", text
            )
            self.assertNotIn("secret", text)

    def test_server_that_is_away(self) -> None:
        text = self.failure(self.relayed(lambda url: ""), f"http://{_NAME}/")
        self.assertIn(f"{_NAME} cannot be reached", text)

    def test_absent_file(self) -> None:
        error = self.assertRaises(
            urllib.error.HTTPError, self.get, self.relayed(lambda url: ""),
            f"{self.server.url}/absent",
        )  # fmt: skip
        self.assertEqual(404, error.code)

    def test_several_over_one_connection(self) -> None:
        """As apt does it: the next request before the answer to the last."""
        standin = self.standin()
        through = self.relayed(lambda url: standin.url)
        port = int(through.url.rpartition(":")[2])
        with socket.create_connection(("127.0.0.1", port), 10) as near:
            for name in ("one", "two", "three"):
                (self.files / name).write_text(name)
                near.sendall(
                    f"GET http://{_NAME}/{name} HTTP/1.1\r\n"
                    f"Host: {_NAME}\r\n\r\n".encode()
                )
            near.shutdown(socket.SHUT_WR)
            text = b""
            while block := near.recv(65536):
                text += block
        self.assertEqual(3, text.count(b"200 OK"))
        for name in (b"one", b"two", b"three"):
            self.assertIn(b"\r\n\r\n" + name, text)

    def test_ordinary_users_are_refused(self) -> None:
        through = self.relayed(lambda url: "")
        self.patch_object(relay, "_owner", lambda port, to: 54321)
        self.assertRaises(
            OSError, self.get, through, f"{self.server.url}/file"
        )

    def test_owner(self) -> None:
        with socket.create_server(("127.0.0.1", 0)) as server:
            to = server.getsockname()[1]
            with socket.create_connection(("127.0.0.1", to)) as near:
                port = near.getsockname()[1]
                self.assertEqual(os.geteuid(), relay._owner(port, to))
                self.assertIsNone(relay._owner(port, port))


class TunnelTest(RelayCase):
    def setUp(self) -> None:
        super().setUp()
        self.authority = authority.Authority(self.temp_dir())
        self.tls = repository.Server(
            self.files, self.authority.server(_NAME)
        )
        self.addCleanup(self.tls.close)
        context = ssl.create_default_context(cafile=self.authority.file)
        self.handler = urllib.request.HTTPSHandler(context=context)

    def test_through_a_proxy(self) -> None:
        standin = self.standin("me:secret", **{_NAME: self.tls.place})
        address = f"http://me:secret@127.0.0.1:{standin.port}"
        found = self.get(
            self.relayed(lambda url: address), f"https://{_NAME}/file",
            self.handler,
        )  # fmt: skip
        self.assertEqual((self.files / "file").read_bytes(), found)
        self.assertEqual([("CONNECT", f"{_NAME}:443")], standin.asked)

    def test_what_the_proxy_does_not_reach(self) -> None:
        standin = self.standin()
        text = self.failure(
            self.relayed(lambda url: standin.url), "https://other.invalid/"
        )
        self.assertIn("refuses: 503 no such name", text)


class SocksTest(RelayCase):
    """A server that does RFC 1928's part for one connection."""

    def serve(self, login: bytes, status: int = 0) -> str:
        listener = socket.create_server(("127.0.0.1", 0))
        self.addCleanup(listener.close)
        self.seen: list[bytes] = []
        thread = threading.Thread(
            target=self._one, args=(listener, login, status), daemon=True
        )
        thread.start()
        self.addCleanup(thread.join, 10)
        return f"127.0.0.1:{listener.getsockname()[1]}"

    def _one(
        self, listener: socket.socket, login: bytes, status: int
    ) -> None:
        near, _ = listener.accept()
        with near:
            near.recv(100)
            near.sendall(b"\x05\x02" if login else b"\x05\x00")
            if login:
                wrong = near.recv(100) != login
                near.sendall(b"\x01" + bytes([wrong]))
                if wrong:
                    return
            self.seen.append(near.recv(100))
            near.sendall(bytes([5, status, 0, 1]) + b"\0" * 6)
            if status:
                return
            host, _, port = self.place.partition(":")
            with socket.create_connection((host, int(port))) as far:
                far.sendall(near.recv(65536))
                while block := far.recv(65536):
                    near.sendall(block)

    def test_it_goes_through(self) -> None:
        place = self.serve(b"\x01\x02me\x06secret")
        found = self.get(
            self.relayed(lambda url: f"socks5h://me:secret@{place}"),
            f"http://{_NAME}/file",
        )
        self.assertEqual((self.files / "file").read_bytes(), found)
        name = bytes([len(_NAME)]) + _NAME.encode()
        self.assertEqual([b"\x05\x01\x00\x03" + name + b"\x00\x50"], self.seen)

    def test_refusals(self) -> None:
        place = self.serve(b"\x01\x02me\x06secret")
        through = self.relayed(lambda url: f"socks5h://me:wrong@{place}")
        text = self.failure(through, f"http://{_NAME}/")
        self.assertIn("refuses the user or the password", text)
        place = self.serve(b"", 4)
        through = self.relayed(lambda url: f"socks5://{place}")
        text = self.failure(through, f"http://{_NAME}/")
        self.assertIn(f"does not reach {_NAME}", text)


class DialTest(base.TestCase):
    def test_what_does_not_speak_http(self) -> None:
        listener = socket.create_server(("127.0.0.1", 0))
        self.addCleanup(listener.close)

        def answer() -> None:
            near, _ = listener.accept()
            with near:
                near.recv(1000)
                near.sendall(b"SSH-2.0-something\r\n")

        threading.Thread(target=answer, daemon=True).start()
        port = listener.getsockname()[1]
        error = self.assertRaises(
            dial.RefusedError, dial.connect, f"http://127.0.0.1:{port}", "a",
            443, tunnel=True,
        )  # fmt: skip
        self.assertIn("does not speak http", str(error))

    def test_numbers_of_any_length(self) -> None:
        made = relay.Relay(lambda url: "")
        self.addCleanup(made.close)
        host, _, port = made.url.removeprefix("http://").partition(":")
        many = "9" * 5000
        for request, status in (
            (f"CONNECT a:{many}", 502),
            ("CONNECT a:65536", 502),
            (f"GET http://a:{many}/", 502),
            ("GET http://[a/", 502),
            (f"GET http://a/\r\nContent-Length: {many}", 411),
            ("GET http://a/\r\nContent-Length: -1", 411),
            ("GET http://a/\r\nContent-Length: 99999999999", 413),
        ):
            line, _, more = request.partition("\r\n")
            with socket.create_connection((host, int(port)), 10) as near:
                head = f"{line} HTTP/1.1\r\n{more}\r\n\r\n"
                near.sendall(head.encode())
                with near.makefile("rb") as stream:
                    answer = stream.readline().decode()
            self.assertIn(f" {status} ", answer, request[:40])
