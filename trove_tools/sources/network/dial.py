# SPDX-License-Identifier: Apache-2.0
"""Opens connections to servers, directly or through a proxy."""

import base64
import http
import socket
import ssl
import typing
import urllib.parse

from trove_tools.host import bounds
from trove_tools.host import credentials

_TIMEOUT = 60.0
_LONGEST = 1 << 16
_DEFAULT_PORTS = {"http": 80, "https": 443, "socks5": 1080, "socks5h": 1080}


class RefusedError(OSError):
    """A proxy cannot be reached, or refuses a connection."""


def connect(
    proxy: str, host: str, port: int, *, tunnel: bool = False
) -> socket.socket:
    """Return a connection to a server, or to an HTTP proxy.

    :param proxy: the URL of the proxy; empty to connect directly.
    :param port: the server's TCP port.
    :param tunnel: connect through the HTTP proxy to the server; with a SOCKS
        proxy, this is always so.
    :raises OSError: the connection failed.
    """
    if not proxy:
        return socket.create_connection((host, port), _TIMEOUT)
    parts = urllib.parse.urlsplit(proxy)
    address = parts.hostname, parts.port or _DEFAULT_PORTS[parts.scheme]
    try:
        near = socket.create_connection(address, _TIMEOUT)
        if parts.scheme == "https":
            context = ssl.create_default_context()
            near = context.wrap_socket(near, server_hostname=parts.hostname)
    except OSError as exc:
        raise RefusedError(
            f"the proxy {credentials.hide(proxy)} cannot be reached: {exc}"
        ) from exc
    try:
        if parts.scheme.startswith("socks"):
            _socks(near, proxy, host, port)
        elif tunnel:
            _tunnel(near, proxy, host, port)
    except BaseException:
        near.close()
        raise
    return near


def login(proxy: str) -> str:
    """Return the value of Proxy-Authorization; empty without a user."""
    user, password = _account(proxy)
    if not user:
        return ""
    text = base64.b64encode(f"{user}:{password}".encode()).decode()
    return f"Basic {text}"


def _account(proxy: str) -> tuple[str, str]:
    parts = urllib.parse.urlsplit(proxy)
    return (
        urllib.parse.unquote(parts.username or ""),
        urllib.parse.unquote(parts.password or ""),
    )


def refusal(proxy: str, status: int, reason: str = "") -> RefusedError:
    meaning = reason
    if status == http.HTTPStatus.PROXY_AUTHENTICATION_REQUIRED:
        meaning = "it wants a user and a password, or others than it got"
    return RefusedError(
        f"the proxy {credentials.hide(proxy)} refuses: {status} {meaning}"
    )


def _tunnel(near: socket.socket, proxy: str, host: str, port: int) -> None:
    """Open a tunnel to a server through an HTTP proxy."""
    address = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
    lines = [f"CONNECT {address} HTTP/1.1", f"Host: {address}"]
    if login(proxy):
        lines.append(f"Proxy-Authorization: {login(proxy)}")
    near.sendall("".join(f"{line}\r\n" for line in (*lines, "")).encode())
    # unbuffered, since the data after the answer comes from the server
    with near.makefile("rb", buffering=0) as stream:
        first = _line(stream).split(None, 2)
        status = bounds.parse_number(first[1]) if len(first) > 1 else 0
        if not status:
            raise RefusedError(
                f"the proxy {credentials.hide(proxy)} does not speak http"
            )
        while _line(stream):
            pass
    if not 200 <= status < 300:
        raise refusal(proxy, status, " ".join(first[2:]))


def _line(stream: typing.Any) -> str:
    line: bytes = stream.readline(_LONGEST)
    return line.decode(errors="replace").strip()


def _socks(near: socket.socket, proxy: str, host: str, port: int) -> None:
    """Open a connection through a SOCKS proxy: RFC 1928, RFC 1929."""
    user, password = (word.encode() for word in _account(proxy))
    near.sendall(b"\x05\x02\x00\x02" if user else b"\x05\x01\x00")
    _, method = _exactly(near, 2)
    if method == 2 and user:
        near.sendall(
            b"\x01" + bytes([len(user)]) + user
            + bytes([len(password)]) + password
        )  # fmt: skip
        if _exactly(near, 2)[1] != 0:
            raise RefusedError(
                f"the proxy {credentials.hide(proxy)} refuses the user or the"
                " password"
            )
    elif method != 0:
        raise RefusedError(
            f"the proxy {credentials.hide(proxy)} refuses: no login"
        )
    name = host.encode("idna")
    near.sendall(
        b"\x05\x01\x00\x03" + bytes([len(name)]) + name
        + port.to_bytes(2, "big")
    )  # fmt: skip
    _, status, _, kind = _exactly(near, 4)
    if status != 0:
        raise RefusedError(
            f"the proxy {credentials.hide(proxy)} refuses: it does not reach"
            f" {host} (SOCKS reply {status})"
        )
    size = {1: 4, 4: 16}.get(kind) or _exactly(near, 1)[0]
    _exactly(near, size + 2)


def _exactly(near: socket.socket, count: int) -> bytes:
    data = b""
    while len(data) < count:
        block = near.recv(count - len(data))
        if not block:
            raise RefusedError("the proxy does not speak SOCKS 5")
        data += block
    return data
