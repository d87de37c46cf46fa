# SPDX-License-Identifier: Apache-2.0
"""A proxy on loopback that hurts one request of a command.

It stands before each service of the minicloud, in a process of its own,
and counts the requests of all of them.  At the one that it was told, or
from that one on, it does what networks, services and people do.  After
each request that may have changed something it looks at what Trove would
take, and writes that down.
"""

import asyncio
import collections.abc
import contextlib
import dataclasses
import json
import os
import signal
import socket
import typing

#: Nothing arrives; it arrives and the answer is lost; half the answer comes
#: back; it arrives when nobody waits for an answer any more.
_CUT, _LOSE, _TRUNCATE, _DELAY = "cut", "lose", "truncate", "delay"
#: A change is answered as if it had been made.
SWALLOW = "swallow"
#: The command dies when it has sent the request, and when it was answered.
_KILL, _KILL_LATER = "kill", "kill later"

#: The answer has as many bytes, and others.
WRONG = "wrong bytes"

STATUSES = ("401", "409", "413", "500", "503")
ONCE = (_CUT, _LOSE, _TRUNCATE, _DELAY, SWALLOW, *STATUSES)
#: From the request on, as when a service or the network is down.
STAYS = ("cut on", "500 on", "503 on")
KILLS = (_KILL, _KILL_LATER)
KINDS = (*ONCE, *STAYS, *KILLS)

_ON = " on"
#: What a registry may do once, or from a request on.
OF_REGISTRIES = (
    _CUT, _LOSE, _TRUNCATE, _DELAY, WRONG, "401", "404", "429", "500",
    "cut on", "truncate on", "delay on", "wrong bytes on", "401 on", "404 on",
    "429 on", "500 on",
)  # fmt: skip

_DELAYED = 1.5
_ACCEPTED = (
    b"HTTP/1.1 202 Accepted\r\nContent-Type: application/json\r\n"
    b"Content-Length: 2\r\nConnection: close\r\n\r\n{}"
)
#: Seconds after which a client of :class:`Proxy` shall give up.
PATIENCE = 1.0


@dataclasses.dataclass(frozen=True)
class Plan:
    """What is to happen.

    :param number: of the request, from 1; 0 for nothing.
    :param kind: one of :data:`KINDS`.
    :param watch: the path at Glance that Trove would ask.
    :param token: to ask it with.
    """

    number: int = 0
    kind: str = ""
    watch: str = ""
    token: str = ""


@dataclasses.dataclass
class Seen:
    """What a proxy saw.

    :param requests: as ``SERVICE METHOD PATH``.
    :param served: what Trove would have taken, after each change.
    :param hurt: whether the fault came to pass.
    """

    requests: list[str]
    served: list[typing.Any]
    hurt: bool


class Proxy:
    """Proxies of some services, in a process of their own.

    :param upstream: the port of each service.
    """

    def __init__(self, upstream: collections.abc.Mapping[str, int]) -> None:
        listeners = {}
        self.ports = {}
        for name in upstream:
            listener = socket.create_server(("127.0.0.1", 0))
            listeners[name] = listener
            self.ports[name] = listener.getsockname()[1]
        self._control, theirs = socket.socketpair()
        self._pid = os.fork()
        if self._pid == 0:
            signal.alarm(0)
            self._control.close()
            try:
                server = _Server(upstream, theirs)
                asyncio.run(server.run(listeners))
            finally:
                os._exit(0)
        theirs.close()
        for listener in listeners.values():
            listener.close()
        self._reader = self._control.makefile("r")

    def plan(self, plan: Plan, pid: int = 0) -> None:
        """Say what is to happen, to which process; counting begins anew."""
        self._ask({**dataclasses.asdict(plan), "pid": pid})

    def seen(self) -> Seen:
        """Return what was seen since then."""
        return Seen(**self._ask({"report": True}))

    def _ask(self, message: dict[str, typing.Any]) -> typing.Any:
        self._control.sendall(json.dumps(message).encode() + b"\n")
        return json.loads(self._reader.readline())

    def close(self) -> None:
        """End it."""
        self._reader.close()
        self._control.close()
        os.kill(self._pid, signal.SIGKILL)
        os.waitpid(self._pid, 0)


class _Hurt(Exception):
    """The client gets no answer."""


class _Server:
    def __init__(
        self, upstream: collections.abc.Mapping[str, int], control: typing.Any
    ) -> None:
        self._upstream = upstream
        self._control = control
        self._plan: dict[str, typing.Any] = {}
        self._seen = Seen([], [], False)
        self._late: set[asyncio.Task[typing.Any]] = set()

    async def run(self, listeners: dict[str, socket.socket]) -> None:
        for name, listener in listeners.items():
            await asyncio.start_server(
                lambda r, w, name=name: self._serve(name, r, w),
                sock=listener,
            )
        reader, writer = await asyncio.open_connection(sock=self._control)
        while line := await reader.readline():
            message = json.loads(line)
            answer: typing.Any = {}
            if "report" in message:
                # what comes late belongs to this round
                if self._late:
                    await asyncio.wait(self._late)
                answer = dataclasses.asdict(self._seen)
            else:
                self._plan, self._seen = message, Seen([], [], False)
            writer.write(json.dumps(answer).encode() + b"\n")
            await writer.drain()

    async def _serve(
        self,
        name: str,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
    ) -> None:
        try:
            with contextlib.suppress(
                _Hurt, OSError, asyncio.IncompleteReadError
            ):
                await self._exchange(name, reader, writer)
        finally:
            writer.close()

    async def _exchange(
        self,
        name: str,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
    ) -> None:
        head = await reader.readuntil(b"\r\n\r\n")
        method, path, _ = head.split(b"\r\n")[0].decode().split(" ")
        self._seen.requests.append(f"{name} {method} {path}")
        kind = self._fault()
        body = await reader.readexactly(_length(head))
        if kind.isdecimal():
            writer.write(_refusal(int(kind)))
            await writer.drain()
            return
        if kind == SWALLOW and changes_something(name, method):
            writer.write(_ACCEPTED)
            await writer.drain()
            return
        if kind == _CUT:
            raise _Hurt
        if kind == _KILL:
            self._kill()
        if kind == _DELAY:
            task = asyncio.create_task(self._later(name, head, body))
            self._late.add(task)
            task.add_done_callback(self._late.discard)
            answer = await asyncio.shield(task)
        else:
            answer = await self._forward(name, head, body)
        if kind == _LOSE:
            raise _Hurt
        if kind == _KILL_LATER:
            self._kill()
        if kind == _TRUNCATE:
            answer = answer[: answer.index(b"\r\n\r\n") + 4 + 5]
        if kind == WRONG:
            answer = _change(answer)
        writer.write(answer)
        await writer.drain()

    def _fault(self) -> str:
        kind: str = self._plan.get("kind", "")
        number = len(self._seen.requests)
        wanted = self._plan.get("number", 0)
        stays = kind.endswith(_ON) and 0 < wanted < number
        if number != wanted and not stays:
            return ""
        self._seen.hurt = True
        return kind.removesuffix(_ON)

    def _kill(self) -> typing.NoReturn:
        with contextlib.suppress(ProcessLookupError):
            os.kill(self._plan["pid"], signal.SIGKILL)
        raise _Hurt

    async def _later(self, name: str, head: bytes, body: bytes) -> bytes:
        await asyncio.sleep(_DELAYED)
        return await self._forward(name, head, body)

    async def _forward(self, name: str, head: bytes, body: bytes) -> bytes:
        answer = await self._call(self._upstream[name], head, body)
        method = head.partition(b" ")[0].decode()
        if changes_something(name, method) and self._plan.get("watch"):
            self._seen.served.append(await self._watch())
        return answer

    async def _watch(self) -> typing.Any:
        head = (
            f"GET {self._plan['watch']} HTTP/1.1\r\nHost: 127.0.0.1\r\n"
            f"X-Auth-Token: {self._plan['token']}\r\n\r\n"
        )
        answer = await self._call(self._upstream["glance"], head.encode(), b"")
        images = json.loads(answer.partition(b"\r\n\r\n")[2])["images"]
        return images[0] if images else None

    async def _call(self, port: int, head: bytes, body: bytes) -> bytes:
        """Make one request, and return the whole answer."""
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        try:
            writer.write(_closing(head) + body)
            await writer.drain()
            answer = await reader.read(-1)
        finally:
            writer.close()
        begin, _, rest = answer.partition(b"\r\n\r\n")
        return _closing(begin + b"\r\n\r\n") + rest


def changes_something(service: str, method: str) -> bool:
    """Tell whether a request changes what the cloud has."""
    return service != "keystone" and method not in ("GET", "HEAD")


def _change(answer: bytes) -> bytes:
    """Return an answer with another byte in the middle of its body."""
    begin, end, body = answer.partition(b"\r\n\r\n")
    half = len(body) // 2
    other = bytes([body[half] ^ 1]) if body else b""
    return begin + end + body[:half] + other + body[half + 1 :]


def _length(head: bytes) -> int:
    for line in head.lower().split(b"\r\n"):
        if line.startswith(b"content-length:"):
            return int(line.partition(b":")[2])
    return 0


def _closing(head: bytes) -> bytes:
    """Return a message's head that says the connection ends after it."""
    lines = [
        line
        for line in head.rstrip().split(b"\r\n")
        if not line.lower().startswith((b"connection:", b"keep-alive:"))
    ]
    return b"\r\n".join([*lines, b"Connection: close", b"", b""])


def _refusal(status: int) -> bytes:
    text = json.dumps({"error": {"code": status, "message": "by the proxy"}})
    return (
        f"HTTP/1.1 {status} Planned\r\nContent-Type: application/json\r\n"
        f"Content-Length: {len(text)}\r\nConnection: close\r\n\r\n{text}"
    ).encode()
