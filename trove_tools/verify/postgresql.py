# SPDX-License-Identifier: Apache-2.0
"""SQL in PostgreSQL, with a limit on the time of every answer.

libpq itself limits only how long connecting takes: a server that accepts a
connection and then says nothing would be waited for without end.
"""

import collections.abc
import contextlib
import select
import typing

Rows = list[tuple[typing.Any, ...]]


def execute(
    statements: collections.abc.Iterable[tuple[str, tuple[str, ...] | None]],
    patience: float,
    **server: typing.Any,
) -> Rows:
    """Run statements in one connection; see :func:`session`.

    :param statements: each with the values of its placeholders, if any.
    :returns: the rows of the last statement; none if it has no rows.
    """
    rows: Rows = []
    with session(patience, **server) as run:
        for statement, values in statements:
            rows = run(statement, values)
    return rows


@contextlib.contextmanager
def session(
    patience: float, **server: typing.Any
) -> collections.abc.Iterator[collections.abc.Callable[..., Rows]]:
    """Connect to a server.

    :param patience: seconds that it gets for one answer.
    :param server: psycopg2's ``host``, ``port``, ``user``, ``password`` and
        ``dbname``.
    :returns: a function that runs a statement, with the values of its
        placeholders, if any; commits; and returns the rows, if any.
    :raises psycopg2.Error: the server refuses, or it does not answer.
    """
    import psycopg2

    with contextlib.closing(
        psycopg2.connect(
            # one attempt, at one address, in the clear: it is on loopback
            **server, async_=True, sslmode="prefer", gssencmode="disable",
        )
    ) as connection:  # fmt: skip
        _wait(connection, patience)

        def run(statement: str, values: tuple[str, ...] | None = None) -> Rows:
            cursor = connection.cursor()
            cursor.execute(statement, values)
            _wait(connection, patience)
            return cursor.fetchall() if cursor.description else []

        yield run


def _wait(connection: typing.Any, patience: float) -> None:
    """Wait until a connection has done what it was asked for."""
    import psycopg2
    from psycopg2 import extensions

    while (state := connection.poll()) != extensions.POLL_OK:
        reads = [connection] * (state == extensions.POLL_READ)
        writes = [connection] * (state == extensions.POLL_WRITE)
        if not any(select.select(reads, writes, [], patience)):
            raise psycopg2.OperationalError("timed out")
