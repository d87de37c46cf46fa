# SPDX-License-Identifier: Apache-2.0
"""A proxy on loopback that all programs of a build use.

Programs support different settings of a proxy, and some write the proxy's URL
to command lines, logs or the image.  So programs do not get the host's
proxies, but the address of this relay, which needs no password, chooses the
proxy for each URL, and ends with the build.  Since the host's proxy may need a
password, the relay only serves the building user, root and system users.
"""

import collections.abc
import contextlib
import http.client
import http.server
import os
import pathlib
import select
import socket
import ssl
import threading
import typing
import urllib.parse

from trove_tools import errors
from trove_tools.host import bounds
from trove_tools.sources.network import dial
from trove_tools.sources.network import proxies

Choose = collections.abc.Callable[[str], str]

_IDLE = 300.0
# seconds between checks whether the relay is to be closed
_POLL = 0.05
_BLOCK = 1 << 16
_LAST_PORT = 65535
_CONNECTIONS = pathlib.Path("/proc/net/tcp")
# lower user ids are those of root and of services, such as apt's _apt
_FIRST_USER = 1000
# RFC 9110, section 7.6.1, and further headers that only concern the proxy
_HOP_BY_HOP = {
    "connection", "keep-alive", "proxy-authorization", "proxy-connection",
    "te", "trailer", "transfer-encoding", "upgrade",
}  # fmt: skip


class Relay:
    """A proxy server on loopback, which runs until it is closed.

    :param choose: returns the proxy for a URL; empty for none.
    """

    def __init__(self, choose: Choose) -> None:
        self._server = _Server(choose)
        self.url = f"http://127.0.0.1:{self._server.server_port}"
        self._thread = threading.Thread(
            target=self._server.serve_forever, args=(_POLL,), daemon=True
        )
        self._thread.start()

    def close(self) -> None:
        """Stop serving."""
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


class _Server(http.server.ThreadingHTTPServer):
    daemon_threads = True
    block_on_close = False
    request_queue_size = 64

    def __init__(self, choose: Choose) -> None:
        self.choose = choose
        super().__init__(("127.0.0.1", 0), _Handler)

    def verify_request(
        self, request: typing.Any, client_address: typing.Any
    ) -> bool:
        uid = _owner(client_address[1], self.server_port)
        return uid is None or uid < _FIRST_USER or uid == os.geteuid()

    def handle_error(
        self, request: typing.Any, client_address: typing.Any
    ) -> None:
        # the client has closed the connection, which needs no message
        pass


def _owner(port: int, to: int) -> int | None:
    """Return the user id of a connection on loopback; None if unknown.

    See proc_pid_net(5): local address, remote address, ..., uid.

    :param port: the TCP port of the client.
    :param to: the TCP port of the relay.
    """
    wanted = f"0100007F:{port:04X}", f"0100007F:{to:04X}"
    with contextlib.suppress(OSError), open(_CONNECTIONS) as lines:
        for line in lines:
            fields = line.split()
            if (fields[1], fields[2]) == wanted:
                return int(fields[7])
    return None


class _Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    timeout = _IDLE
    server: _Server
    _upstream: http.client.HTTPConnection | None = None
    _origin: tuple[str, str] = ("", "")

    def log_message(self, *words: object) -> None:
        """Print nothing, because URLs may contain secrets."""

    def do_CONNECT(self) -> None:
        """Open a tunnel."""
        host, _, port = self.path.rpartition(":")
        host = host.strip("[]")
        try:
            number = bounds.parse_number(port)
            if not 0 < number <= _LAST_PORT:
                raise dial.RefusedError(f"no address: {self.path}")
            proxy = self.server.choose(f"https://{self.path}")
            far = dial.connect(proxy, host, number, tunnel=True)
        except (OSError, errors.TroveToolsError) as exc:
            self._fail(self.path, exc)
            return
        self.close_connection = True
        with far:
            self.send_response_only(200, "Connection established")
            self.end_headers()
            self.wfile.flush()
            _pump(self.connection, far)

    def do_GET(self) -> None:
        """Send a request to the server or its proxy, and return the answer."""
        try:
            parts = proxies.split(self.path)
        except errors.BuildError as exc:
            self._fail("", exc)
            return
        if parts.scheme != "http" or not parts.hostname:
            self.send_error(400, "this is a proxy")
            return
        header = self.headers.get("Content-Length") or "0"
        length = bounds.parse_number(header)
        if self.headers.get("Transfer-Encoding") or (
            not length and header.strip("0")
        ):
            self.send_error(411)
            return
        if length > bounds.LARGEST:
            self.send_error(413)
            return
        body = self.rfile.read(length) if length else b""
        try:
            proxy = self.server.choose(self.path)
            answer = self._ask(proxy, parts, body)
        except (
            OSError, errors.TroveToolsError, http.client.HTTPException,
        ) as exc:  # fmt: skip
            self._fail(parts.netloc.rpartition("@")[2], exc)
            return
        if answer.status == http.HTTPStatus.PROXY_AUTHENTICATION_REQUIRED:
            # the client has no password for the proxy, and must not prompt
            # the user for it
            answer.close()
            self._fail(parts.netloc, dial.refusal(proxy, answer.status))
            return
        self._answer(answer)

    def do_HEAD(self) -> None:
        """Handle a HEAD request like a GET request."""
        self.do_GET()

    def do_POST(self) -> None:
        """Handle a POST request like a GET request."""
        self.do_GET()

    def finish(self) -> None:
        """Close the connections to the client and to the server."""
        with contextlib.suppress(OSError):
            super().finish()
        if self._upstream is not None:
            self._upstream.close()

    def _fail(self, address: str, problem: Exception) -> None:
        text = str(problem)
        if not isinstance(problem, dial.RefusedError | errors.TroveToolsError):
            text = f"{address} cannot be reached: {text}"
        text = text.encode("ascii", "replace").decode().replace("\n", " ")
        self._drop()
        with contextlib.suppress(OSError):
            self.send_error(502, text)

    def _drop(self) -> None:
        if self._upstream is not None:
            self._upstream.close()
        self._upstream = None

    def _ask(
        self, proxy: str, parts: urllib.parse.SplitResult, body: bytes
    ) -> http.client.HTTPResponse:
        """Send the request; reuse the connection to the same server."""
        assert parts.hostname is not None
        origin = (proxy, parts.netloc)
        reused = self._upstream is not None and self._origin == origin
        if not reused:
            self._drop()
            self._upstream = _http(proxy, parts)
            self._origin = origin
        assert self._upstream is not None
        try:
            return self._send(self._upstream, proxy, parts, body)
        except (OSError, http.client.HTTPException):
            if not reused:
                raise
            # the server has closed the connection meanwhile
            self._drop()
            return self._ask(proxy, parts, body)

    def _send(
        self,
        upstream: http.client.HTTPConnection,
        proxy: str,
        parts: urllib.parse.SplitResult,
        body: bytes,
    ) -> http.client.HTTPResponse:
        target = self.path
        is_http = proxy.startswith("http")
        if not is_http:
            # cut from the URL, since the path may begin with two slashes
            target = "/" + "".join(self.path.split("/", 3)[3:])
        upstream.putrequest(
            self.command, target, skip_host=True, skip_accept_encoding=True
        )
        for name, value in self.headers.items():
            if name.lower() not in _HOP_BY_HOP:
                upstream.putheader(name, value)
        if is_http and dial.login(proxy):
            upstream.putheader("Proxy-Authorization", dial.login(proxy))
        upstream.endheaders(body or None)
        return upstream.getresponse()

    def _answer(self, answer: http.client.HTTPResponse) -> None:
        self.send_response_only(answer.status, answer.reason)
        for name, value in answer.getheaders():
            if name.lower() not in _HOP_BY_HOP:
                self.send_header(name, value)
        left = answer.length
        if left is None or answer.will_close:
            self.send_header("Connection", "close")
            self.close_connection = True
        self.end_headers()
        while block := answer.read(_BLOCK):
            self.wfile.write(block)
            if left is not None:
                left -= len(block)
        if left:
            # the client must not read the missing bytes from the next answer
            self.close_connection = True
        if answer.will_close:
            self._drop()


def _http(
    proxy: str, parts: urllib.parse.SplitResult
) -> http.client.HTTPConnection:
    """Return an HTTP connection to a server or its proxy."""
    assert parts.hostname is not None
    connection = http.client.HTTPConnection(parts.hostname)
    connection.sock = dial.connect(proxy, parts.hostname, parts.port or 80)
    # http.client would reconnect without the proxy
    connection.auto_open = 0
    return connection


def _pump(one: socket.socket, other: socket.socket) -> None:
    """Copy bytes between two connections until one is closed."""
    ends = {one: other, other: one}
    # select() does not report data that TLS has already decrypted
    while ready := _readable(list(ends)):
        for end in ready:
            try:
                block = end.recv(_BLOCK)
                if not block:
                    return
                ends[end].sendall(block)
            except OSError:
                return


def _readable(ends: list[socket.socket]) -> list[socket.socket]:
    for end in ends:
        if isinstance(end, ssl.SSLSocket) and end.pending():
            return [end]
    ready: list[socket.socket] = select.select(ends, [], [], _IDLE)[0]
    return ready
