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


def _execute(
    account: Account, *statements: tuple[str, tuple[str, ...] | None]
) -> collections.abc.Sequence[tuple[typing.Any, ...]]:
    """Run statements as the user, and return the rows of the last one."""
    server: dict[str, typing.Any] = {
        "host": "127.0.0.1",
        "port": account.port,
        "user": account.user,
        "password": account.password,
    }
    if account.protocol == "postgresql":
        from trove_tools.verify import postgresql

        return postgresql.execute(
            statements, account.patience, dbname=account.database, **server
        )
    import pymysql

    with contextlib.closing(
        pymysql.connect(
            **server,
            database=account.database,
            connect_timeout=round(account.patience),
            read_timeout=account.patience,
            write_timeout=account.patience,
            autocommit=True,
        )
    ) as connection:
        cursor = connection.cursor()
        for statement, values in statements:
            cursor.execute(statement, values)
        return list(cursor.fetchall())


def write(account: Account, word: str) -> None:
    """Make a table and put a word into it; may be done again."""
    _execute(
        account,
        (f"CREATE TABLE IF NOT EXISTS {_TABLE} (word VARCHAR(64))", None),
        (f"INSERT INTO {_TABLE} VALUES (%s)", (word,)),  # noqa: S608
    )


def read(account: Account) -> str:
    """Return the word."""
    rows = _execute(account, (f"SELECT word FROM {_TABLE}", None))  # noqa: S608
    return str(rows[0][0]) if rows else ""


def version(account: Account) -> str:
    """Return what the server says it is."""
    ((said,),) = _execute(account, ("SELECT VERSION()", None))
    words = str(said).split()
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
    return " ".join(f"{type(exc).__name__}: {exc}".split())
