# SPDX-License-Identifier: Apache-2.0
"""Runs Trove's own conductor with an SQLite database.

This is a separate program, like :mod:`trove_tools.verify.driver`, and both
use the same database at the same time.

Usage: conductor.py --config-file TROVE.CONF
"""

import typing


def commit_at_once() -> None:
    """Switch off transactions in all database connections of this process.

    SQLite refuses a write ("database is locked") in a transaction that has
    already read, if another process has written since.  Trove leaves such
    transactions open while it waits for a guest.
    """
    import sqlalchemy.event
    import sqlalchemy.pool

    def skip_begin(_: object, record: typing.Any, __: object) -> None:
        # oslo.db begins no transaction if this is set
        record.info["in_transaction"] = True

    sqlalchemy.event.listen(sqlalchemy.pool.Pool, "checkout", skip_begin)


def main() -> None:
    """Run Trove's conductor until the process is ended."""
    # this has to be the first import, because it patches the standard library
    from trove.cmd import conductor

    commit_at_once()
    conductor.main()


if __name__ == "__main__":
    main()
