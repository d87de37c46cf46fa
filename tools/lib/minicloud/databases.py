# SPDX-License-Identifier: Apache-2.0
"""Making a service's database: its tables, and what cannot wait for HTTP.

All of it may be repeated on a database that is complete.
"""

import collections.abc
import contextlib
import pathlib
import sqlite3
import threading

from minicloud import layout as layouts
from minicloud import services
from minicloud import state as states
from trove_tools.host import process


def prepare(
    service: services.Service,
    layout: layouts.Layout,
    state: states.State,
    given_up: threading.Event,
) -> None:
    """Make the database of a service ready.

    :param given_up: set when there is no use in going on.
    :raises CommandError: one of the service's own tools failed.
    """
    env = services.environment(layout)
    # no command line holds a password: others can read those
    env["OS_BOOTSTRAP_PASSWORD"] = state.passwords["admin"]
    for argv in _commands(service, layout, state):
        if given_up.is_set():
            return
        process.run(argv, env=env, cwd=layout.data)
    let_readers_be(layout.database(service.name))


def _commands(
    service: services.Service, layout: layouts.Layout, state: states.State
) -> collections.abc.Iterator[list[str]]:
    manage = [
        str(pathlib.Path(state.venv) / f"bin/{service.name}-manage"),
        "--config-file", str(layout.etc / service.config),
    ]  # fmt: skip
    yield [*manage, "db_sync"]
    if service is services.KEYSTONE:
        url = service.url(state.ports[service.name])
        yield [
            *manage, "bootstrap",
            "--bootstrap-public-url", url,
            "--bootstrap-internal-url", url,
            "--bootstrap-admin-url", url,
            "--bootstrap-region-id", services.REGION,
        ]  # fmt: skip


def let_readers_be(path: pathlib.Path) -> None:
    """Switch a database to its write-ahead log.

    Trove leaves read transactions open.  With SQLite's default journal
    they keep every later write waiting until it fails.
    """
    with contextlib.closing(sqlite3.connect(path)) as database:
        database.execute("PRAGMA journal_mode=WAL")
