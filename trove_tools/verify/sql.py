# SPDX-License-Identifier: Apache-2.0
"""Runs SQL statements on a database as its owner would.

An instance that is HEALTHY may still not work: Trove's agent only warns if it
could not create a database or a user.
"""

import collections.abc
import contextlib
import dataclasses
import select
import time
import typing

from trove_tools.verify import machine as _machine

Rows = list[tuple[typing.Any, ...]]

#: Seconds that a server of usual speed gets for one answer.
ATTEMPT = 15.0
# seconds without anything new after which a database that should answer is
# given up, for a guest of usual speed
_QUIET = 60.0
_PAUSE = 1.0
_TABLE = "trove_tools_verify"
# wrong user or password, no access to the database, no access to the table;
# the numbers are MySQL's and the texts PostgreSQL's
_REFUSED = (1044, 1045, 1142, "28000", "28P01", "42501")
_REFUSALS = ("password authentication failed", "permission denied for")


@dataclasses.dataclass(frozen=True)
class Account:
    """A user's account for a database, reached from outside the guest.

    :param protocol: ``mysql`` or ``postgresql``.
    :param port: TCP port on loopback.
    :param database: None only for MySQL and MariaDB.
    :param patience: timeout of one answer in seconds.
    """

    protocol: str
    port: int
    user: str
    password: str
    database: str | None
    patience: float = ATTEMPT


@contextlib.contextmanager
def open_session(
    account: Account,
) -> collections.abc.Iterator[collections.abc.Callable[..., Rows]]:
    """Connect to a database as a user while the context is open.

    :returns: a function that runs and commits a statement, with values for
        its placeholders if it has any, and returns the rows, if any.
    """
    server: dict[str, typing.Any] = {
        "host": "127.0.0.1",
        "port": account.port,
        "user": account.user,
        "password": account.password,
    }
    if account.protocol == "postgresql":
        with _postgresql_session(
            account.patience, dbname=account.database, **server
        ) as run:
            yield run
        return
    import pymysql

    with contextlib.closing(
        pymysql.connect(
            **server,
            database=account.database,
            connect_timeout=max(round(account.patience), 1),
            read_timeout=account.patience,
            write_timeout=account.patience,
            autocommit=True,
        )
    ) as connection:

        def execute(
            statement: str, values: tuple[str, ...] | None = None
        ) -> Rows:
            cursor = connection.cursor()
            cursor.execute(statement, values)
            return list(cursor.fetchall())

        yield execute


def execute(account: Account, statement: str, *values: str) -> Rows:
    """Run a statement in a separate connection; see :func:`open_session`."""
    with open_session(account) as run:
        return run(statement, values or None)


def write(account: Account, word: str) -> None:
    """Insert a word into verify's table, which is made if it is missing."""
    with open_session(account) as run:
        run(f"CREATE TABLE IF NOT EXISTS {_TABLE} (word VARCHAR(64))")
        run(f"INSERT INTO {_TABLE} VALUES (%s)", (word,))  # noqa: S608


def read(account: Account) -> str:
    """Return the first word in verify's table; empty if there is none."""
    return next(iter(read_words(account)), "")


def read_words(account: Account) -> list[str]:
    """Return the words in verify's table."""
    rows = execute(account, f"SELECT word FROM {_TABLE}")  # noqa: S608
    return [str(row[0]) for row in rows]


def read_version(account: Account) -> str:
    """Return the server's version; for PostgreSQL with its name."""
    ((text,),) = execute(account, "SELECT VERSION()")
    parts = str(text).split()
    # PostgreSQL's text begins with its name, and describes compilers later
    return " ".join(parts[: 2 if account.protocol == "postgresql" else 1])


def read_setting(account: Account, name: str) -> str:
    """Return the value of a parameter of the running server."""
    if account.protocol == "postgresql":
        return str(execute(account, f"SHOW {name}")[0][0])
    rows = execute(account, "SHOW GLOBAL VARIABLES LIKE %s", name)
    return str(rows[0][1])


def is_refusal(exc: Exception) -> bool:
    """Return whether an error means that the server denied access.

    :param exc: the client's error; it may also be a missing answer.
    """
    code = getattr(exc, "pgcode", None) or (exc.args[0] if exc.args else None)
    # psycopg2's error has no code if the server refuses the connection
    return code in _REFUSED or any(words in str(exc) for words in _REFUSALS)


def try_until_works(
    machine: _machine.Machine,
    action: collections.abc.Callable[[], typing.Any],
    what: str,
) -> typing.Any:
    """Repeat an action on a database until it works, and return its result.

    :param machine: the machine that runs the database's guest.
    :param what: a description of the failure, for the message.
    :raises CheckError: the action fails, and the guest makes no progress.
    """
    wait = machine.limits.wait(_QUIET)
    while True:
        try:
            return action()
        # the drivers' errors have no other common base class
        except Exception as exc:
            why = " ".join(f"{type(exc).__name__}: {exc}".split())
        machine.stay_alive()
        wait.require(f"{what} ({why})", machine.signs())
        time.sleep(_PAUSE)


@contextlib.contextmanager
def _postgresql_session(
    patience: float, **server: typing.Any
) -> collections.abc.Iterator[collections.abc.Callable[..., Rows]]:
    """Connect to a PostgreSQL server while the context is open.

    libpq has a timeout only for the connection; here, each answer of the
    server has one.

    :param patience: timeout of one answer in seconds.
    :param server: psycopg2's ``host``, ``port``, ``user``, ``password`` and
        ``dbname``.
    :returns: a function that runs and commits a statement, with values for
        its placeholders if it has any, and returns the rows, if any.
    :raises psycopg2.Error: the server refuses, or does not answer.
    """
    import psycopg2

    with contextlib.closing(
        psycopg2.connect(
            # one attempt at one address, without GSS encryption, because the
            # server is on loopback
            **server, async_=True, sslmode="prefer", gssencmode="disable",
        )
    ) as connection:  # fmt: skip
        _wait_postgresql(connection, patience)

        def run(statement: str, values: tuple[str, ...] | None = None) -> Rows:
            cursor = connection.cursor()
            cursor.execute(statement, values)
            _wait_postgresql(connection, patience)
            return cursor.fetchall() if cursor.description else []

        yield run


def _wait_postgresql(connection: typing.Any, patience: float) -> None:
    """Wait until a connection has finished its current operation."""
    import psycopg2
    from psycopg2 import extensions

    while (state := connection.poll()) != extensions.POLL_OK:
        reads = [connection] * (state == extensions.POLL_READ)
        writes = [connection] * (state == extensions.POLL_WRITE)
        if not any(select.select(reads, writes, [], patience)):
            raise psycopg2.OperationalError("timed out")
