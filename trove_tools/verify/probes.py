# SPDX-License-Identifier: Apache-2.0
"""Asks a database a question that only a working one answers rightly.

One function for each protocol makes one attempt.  What it raises tells
whether another attempt makes sense: :class:`NoAnswerError` is a server that is
not there yet, :class:`RefusedError` one that is there and will not change its
mind.
"""

import collections.abc
import contextlib
import dataclasses
import re
import socket
import time
import typing

from trove_tools.catalog import model
from trove_tools.verify import outcome
from trove_tools.verify import subject as _subject

#: Seconds that a database of usual speed gets for one answer.
ATTEMPT = 10.0
# seconds, for a guest of usual speed: what a command gets that makes the
# database ready for the question; without anything new from a database that
# its own guest starts
_SETUP, _QUIET = 300.0, 120.0
_PAUSE = 1.0
_BLOCK = 65536
_MOST = 1 << 20
# pymysql's own errors, as opposed to those that a server sends
_MYSQL_CLIENT = 2000
_POSTGRESQL_STARTING = "FATAL: the database system is "


class NoAnswerError(Exception):
    """The server does not answer; it may later."""


class RefusedError(Exception):
    """The server answers, but not what was expected."""


@dataclasses.dataclass(frozen=True)
class Target:
    """Where to ask, and as whom.

    :param port: on loopback.
    """

    port: int
    user: str
    password: str
    address: str = "127.0.0.1"

    def fill(self, text: str) -> str:
        """Put user and password into what is sent."""
        return text.replace("{user}", self.user).replace(
            "{password}", self.password
        )


def ask(
    health: model.Health, target: Target, patience: float = ATTEMPT
) -> str:
    """Ask once.

    :param patience: seconds that the server gets.
    :returns: its answer, which matches what is expected.
    :raises NoAnswerError: there is none.
    :raises RefusedError: it is another one.
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
    """Ask until there is an answer.

    :param between: called after each attempt, with what became of it;
        raises to give up.
    :param patience: seconds that the server gets each time.
    :raises RefusedError: the answer is another one than expected.
    """
    while True:
        try:
            return ask(health, target, patience)
        except NoAnswerError as exc:
            between(exc)
        time.sleep(_PAUSE)


def _rows(rows: collections.abc.Iterable[typing.Any]) -> str:
    return "\n".join("\t".join(map(str, row)) for row in rows)


def _mysql(health: model.Health, target: Target, patience: float) -> str:
    import pymysql

    try:
        with (
            pymysql.connect(
                host=target.address,
                port=target.port,
                user=target.user,
                password=target.password,
                connect_timeout=max(round(patience), 1),
                read_timeout=patience,
                write_timeout=patience,
            ) as connection,
            connection.cursor() as cursor,
        ):
            cursor.execute(target.fill(health.query))
            return _rows(cursor.fetchall())
    except pymysql.err.MySQLError as exc:
        code = exc.args[0] if exc.args else 0
        if isinstance(code, int) and 0 < code < _MYSQL_CLIENT:
            raise RefusedError(f"refused: {exc.args[1]} ({code})") from exc
        raise NoAnswerError(str(exc.args[-1] if exc.args else exc)) from exc


def _postgresql(health: model.Health, target: Target, patience: float) -> str:
    import psycopg2

    from trove_tools.verify import sql

    try:
        rows = sql.execute_postgresql(
            [(target.fill(health.query), None)],
            patience,
            host=target.address,
            port=target.port,
            user=target.user,
            password=target.password,
            dbname="postgres",
        )
    except psycopg2.Error as exc:
        message = " ".join(str(exc).split())
        # an error of a connection has no code, only the server's message
        starting = _POSTGRESQL_STARTING in message
        if exc.pgcode or ("FATAL: " in message and not starting):
            raise RefusedError(f"refused: {message}") from exc
        raise NoAnswerError(message) from exc
    return _rows(rows)


def _tcp(health: model.Health, target: Target, patience: float) -> str:
    deadline = time.monotonic() + patience
    answer = b""
    with socket.create_connection(
        (target.address, target.port), patience
    ) as connection:
        # each character a byte: few protocols are text
        connection.sendall(target.fill(health.query).encode("latin-1"))
        # a stream has no end of an answer: what is expected is the end
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
        raise NoAnswerError("the connection was closed without a word")
    return answer.decode(errors="replace")


def _http(health: model.Health, target: Target, patience: float) -> str:
    import base64
    import http.client

    word = base64.b64encode(f"{target.user}:{target.password}".encode())
    connection = http.client.HTTPConnection(
        target.address, target.port, timeout=patience
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
    "mysql": _mysql,
    "postgresql": _postgresql,
    "tcp": _tcp,
    "http": _http,
}


def probe(subject: _subject.Subject) -> str:
    """Ask a datastore its question, from outside the guest.

    :returns: its answer, in one line.
    :raises CheckError: there is none, or it is wrong.
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
            said = done.output.replace(subject.password, "***")
            raise outcome.CheckError(
                "the probe's setup failed in the guest"
                f" (status {done.status})",
                said.splitlines(),
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
