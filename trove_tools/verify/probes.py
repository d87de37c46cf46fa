# SPDX-License-Identifier: Apache-2.0
"""Probes a database with a query that only a working one answers correctly.

One function for each protocol makes one attempt.  Its exception shows whether
another attempt makes sense: :class:`NoAnswerError` means that the server is
not ready yet; :class:`RefusedError` means that the server would give the same
answer again.
"""

import collections.abc
import contextlib
import dataclasses
import re
import socket
import time

from trove_tools.catalog import model
from trove_tools.verify import outcome
from trove_tools.verify import sql
from trove_tools.verify import subject as _subject

#: Seconds that a database of usual speed gets for one answer.
ATTEMPT = 10.0
# seconds, for a guest of usual speed: the timeout of a command that prepares
# the database for the query; the time without anything new after which a
# database that the image itself starts is given up
_SETUP, _QUIET = 300.0, 120.0
_PAUSE = 1.0
_ADDRESS = "127.0.0.1"
_BLOCK = 65536
_MOST = 1 << 20
# the lowest code of pymysql's own errors; the server's errors have lower ones
_MYSQL_CLIENT = 2000
_POSTGRESQL_STARTING = "FATAL: the database system is "


class NoAnswerError(Exception):
    """The server does not answer, but may answer later."""


class RefusedError(Exception):
    """The server's answer is not the expected one."""


@dataclasses.dataclass(frozen=True)
class Target:
    """The TCP port of a server on loopback, and the user for the probe."""

    port: int
    user: str
    password: str

    def fill(self, text: str) -> str:
        """Return a text with user and password in place of placeholders."""
        return text.replace("{user}", self.user).replace(
            "{password}", self.password
        )


def ask(
    health: model.Health, target: Target, patience: float = ATTEMPT
) -> str:
    """Send a probe's query once, and return the answer.

    :param patience: timeout in seconds.
    :returns: the answer, which matches the expected one.
    :raises NoAnswerError: the server does not answer.
    :raises RefusedError: the answer does not match.
    """
    attempt = PROTOCOLS[health.protocol]
    try:
        answer = attempt(health, target, patience)
    except (OSError, EOFError) as exc:
        raise NoAnswerError(str(exc) or type(exc).__name__) from exc
    if not re.search(health.expect, answer):
        raise RefusedError(
            f"answered {_short(answer)!r},"
            f" which does not match {health.expect!r}"
        )
    return _short(answer)


def _short(answer: str) -> str:
    line = " ".join(answer.split())
    return line if len(line) <= 120 else line[:117] + "..."


def ask_until(
    health: model.Health,
    target: Target,
    between: collections.abc.Callable[[NoAnswerError], None],
    patience: float = ATTEMPT,
) -> str:
    """Send a probe's query until there is an answer, and return it.

    :param between: called after each failed attempt with the error; may raise
        an exception to give up.
    :param patience: timeout of each attempt in seconds.
    :raises RefusedError: the answer does not match.
    """
    while True:
        try:
            return ask(health, target, patience)
        except NoAnswerError as exc:
            between(exc)
        time.sleep(_PAUSE)


def _sql(health: model.Health, target: Target, patience: float) -> str:
    import psycopg2
    import pymysql

    account = sql.Account(
        health.protocol,
        target.port,
        target.user,
        target.password,
        "postgres" if health.protocol == "postgresql" else None,
        patience,
    )
    try:
        rows = sql.execute(account, target.fill(health.query))
    except (pymysql.err.MySQLError, psycopg2.Error) as exc:
        values = exc.args or (0,)
        code, message = values[0], " ".join(str(values[-1]).split())
        if isinstance(code, int):
            is_answer = 0 < code < _MYSQL_CLIENT
            message += f" ({code})"
        else:
            # a failed connection has no error code, only the server's message
            starting = _POSTGRESQL_STARTING in message
            is_answer = getattr(exc, "pgcode", None) or (
                "FATAL: " in message and not starting
            )
        if is_answer:
            raise RefusedError(f"refused: {message}") from exc
        raise NoAnswerError(message) from exc
    return "\n".join("\t".join(map(str, row)) for row in rows)


def _tcp(health: model.Health, target: Target, patience: float) -> str:
    deadline = time.monotonic() + patience
    answer = b""
    with socket.create_connection(
        (_ADDRESS, target.port), patience
    ) as connection:
        # one byte for each character, because few protocols are text
        connection.sendall(target.fill(health.query).encode("latin-1"))
        # a stream does not mark the end of an answer: the expected text does
        while not re.search(health.expect, answer.decode(errors="replace")):
            left = deadline - time.monotonic()
            if left <= 0 or len(answer) > _MOST:
                break
            connection.settimeout(left)
            try:
                block = connection.recv(_BLOCK)
            except TimeoutError:
                break
            if not block:
                break
            answer += block
    if not answer:
        raise NoAnswerError("the connection was closed without an answer")
    return answer.decode(errors="replace")


def _http(health: model.Health, target: Target, patience: float) -> str:
    import base64
    import http.client

    word = base64.b64encode(f"{target.user}:{target.password}".encode())
    connection = http.client.HTTPConnection(
        _ADDRESS, target.port, timeout=patience
    )
    with contextlib.closing(connection):
        try:
            connection.request(
                "GET",
                target.fill(health.query) or "/",
                headers={"Authorization": f"Basic {word.decode()}"},
            )
            answer = connection.getresponse()
            body = answer.read(_MOST).decode(errors="replace")
        except http.client.HTTPException as exc:
            raise NoAnswerError(
                f"no HTTP: {type(exc).__name__} {exc}"
            ) from exc
    text = f"{answer.status} {answer.reason}\n{body}"
    if answer.status >= http.client.INTERNAL_SERVER_ERROR:
        raise NoAnswerError(_short(text))
    return text


PROTOCOLS: dict[
    str, collections.abc.Callable[[model.Health, Target, float], str]
] = {
    "mysql": _sql,
    "postgresql": _sql,
    "tcp": _tcp,
    "http": _http,
}


def probe(subject: _subject.Subject) -> str:
    """Run a datastore's probe from outside the guest.

    :returns: a description of the answer, in one line.
    :raises CheckError: there is no answer, or a wrong one.
    """
    health, machine = subject.health, subject.machine
    assert health is not None
    target = Target(
        machine.port(health.port), subject.user, subject.password
    )
    subject.say("preparing the probe in the guest")
    for command in health.setup:
        done = machine.run("sh", "-c", target.fill(command), seconds=_SETUP)
        if done.status != 0:
            output = done.output.replace(subject.password, "***")
            raise outcome.CheckError(
                "the probe's setup failed in the guest"
                f" (status {done.status})",
                output.splitlines(),
            )
    subject.say("waiting for an answer")
    wait = machine.limits.wait(_QUIET)

    def between(attempt: NoAnswerError) -> None:
        machine.look()
        machine.stay_alive()
        try:
            wait.require(
                f"no answer on port {health.port} ({attempt})",
                machine.signs(),
                log=machine.journal_tail,
            )
        except outcome.CheckError as exc:
            exc.add_hint(
                f"is {subject.name} started, and bound to all addresses?"
            )
            raise

    patience = machine.limits.scaled(ATTEMPT)
    try:
        answer = ask_until(health, target, between, patience)
    except RefusedError as exc:
        raise outcome.CheckError(f"port {health.port}: {exc}") from exc
    return f"port {health.port} answers {answer!r}"
