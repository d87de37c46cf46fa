# SPDX-License-Identifier: Apache-2.0
"""Does with a database what its owner would do first.

That an instance is HEALTHY says little: Trove's agent only warns when it
could not create a database or a user.
"""

import collections.abc
import contextlib
import dataclasses
import time
import typing

#: Seconds that a server of usual speed gets for one answer.
ATTEMPT = 15.0
_PAUSE = 1.0
_TABLE = "trove_tools_verify"


@dataclasses.dataclass(frozen=True)
class Account:
    """A user's database, reached from outside the guest.

    :param protocol: ``mysql`` or ``postgresql``.
    :param port: on loopback.
    :param patience: seconds that the server gets for one answer.
    """

    protocol: str
    port: int
    user: str
    password: str
    database: str
    patience: float = ATTEMPT


def _connect(account: Account) -> typing.Any:
    if account.protocol == "postgresql":
        import pg8000.dbapi

        return pg8000.dbapi.connect(
            host="127.0.0.1",
            port=account.port,
            user=account.user,
            password=account.password,
            database=account.database,
            timeout=account.patience,
        )
    import pymysql

    return pymysql.connect(
        host="127.0.0.1",
        port=account.port,
        user=account.user,
        password=account.password,
        database=account.database,
        connect_timeout=round(account.patience),
        read_timeout=account.patience,
        write_timeout=account.patience,
    )


def write(account: Account, word: str) -> None:
    """Make a table and put a word into it; may be done again."""
    with contextlib.closing(_connect(account)) as connection:
        cursor = connection.cursor()
        cursor.execute(
            f"CREATE TABLE IF NOT EXISTS {_TABLE} (word VARCHAR(64))"
        )
        cursor.execute(f"INSERT INTO {_TABLE} VALUES (%s)", (word,))  # noqa: S608
        connection.commit()


def read(account: Account) -> str:
    """Return the word."""
    with contextlib.closing(_connect(account)) as connection:
        cursor = connection.cursor()
        cursor.execute(f"SELECT word FROM {_TABLE}")  # noqa: S608
        rows = cursor.fetchall()
    return str(rows[0][0]) if rows else ""


def version(account: Account) -> str:
    """Return what the server says it is."""
    with contextlib.closing(_connect(account)) as connection:
        cursor = connection.cursor()
        cursor.execute("SELECT VERSION()")
        words = str(cursor.fetchone()[0]).split()
    # PostgreSQL's begins with its name and goes on about compilers
    return " ".join(words[: 2 if account.protocol == "postgresql" else 1])


def patiently(
    what: collections.abc.Callable[[], typing.Any],
    between: collections.abc.Callable[[str], None],
) -> typing.Any:
    """Do something until it works.

    :param between: called after each attempt, with what the server or its
        client said; raises to give up.
    """
    while True:
        try:
            return what()
        # the drivers' errors have no base in common but this
        except Exception as exc:
            between(_said(exc))
        time.sleep(_PAUSE)


def _said(exc: Exception) -> str:
    said = exc.args[0] if exc.args else ""
    if isinstance(said, dict):
        # a server's message, as pg8000 has it
        return f"{said.get('M', said)}"
    return " ".join(f"{type(exc).__name__}: {exc}".split())
