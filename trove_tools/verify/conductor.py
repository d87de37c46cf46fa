# SPDX-License-Identifier: Apache-2.0
"""Runs Trove's own conductor with an SQLite database.

A program of its own, as :mod:`trove_tools.verify.driver`, which uses the same
database at the same time.

Usage: conductor.py --config-file TROVE.CONF
"""

import typing


def commit_at_once() -> None:
    """Have no transactions in any connection of this process.

    In a transaction that has read, SQLite refuses to write ("database is
    locked") once another process has written.  Trove leaves such
    transactions open while it waits for a guest.
    """
    import sqlalchemy.event
    import sqlalchemy.pool

    def skip_begin(_: object, record: typing.Any, __: object) -> None:
        # what oslo.db looks at before it begins one
        record.info["in_transaction"] = True

    sqlalchemy.event.listen(sqlalchemy.pool.Pool, "checkout", skip_begin)


def main() -> None:
    """Serve the guests until the process is ended."""
    # has to be the first import: it patches the standard library
    from trove.cmd import conductor

    commit_at_once()
    conductor.main()


if __name__ == "__main__":
    main()
