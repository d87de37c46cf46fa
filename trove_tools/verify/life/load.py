# SPDX-License-Identifier: Apache-2.0
"""Checks that no acknowledged row is lost while clients write all the time."""

import contextlib
import threading
import time
import types
import typing

from trove_tools.verify import outcome
from trove_tools.verify import sql
from trove_tools.verify.life import backup
from trove_tools.verify.life import instance as _instance
from trove_tools.verify.life import server

_TABLE = "life_load"
_WRITERS = 4
# seconds of writing before and after the restart, the backup and the crash
_CALM = 5.0
_PAUSE = 0.2


class Writers:
    """Clients that insert rows, each in a separate connection.

    A row is acknowledged when the server has confirmed the commit of its
    transaction to the client.

    :param instance: the instance to whose database the clients write.
    """

    def __init__(self, instance: _instance.Instance) -> None:
        self._instance = instance
        self._end = threading.Event()
        self._acknowledged: list[list[int]] = [[] for _ in range(_WRITERS)]
        self._threads = [
            threading.Thread(target=self._write, args=(number,), daemon=True)
            for number in range(_WRITERS)
        ]

    def __enter__(self) -> typing.Self:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        value: BaseException | None,
        trace: types.TracebackType | None,
    ) -> None:
        self._end.set()
        for thread in self._threads:
            thread.join()

    def acknowledged(self) -> set[int]:
        """Return the numbers of the acknowledged rows."""
        return {row for rows in self._acknowledged for row in rows}

    def _write(self, writer: int) -> None:
        number = writer
        while not self._end.is_set():
            # after any error, connect again and insert the next row
            with (
                contextlib.suppress(Exception),
                sql.open_session(self._instance.account()) as execute,
            ):
                while not self._end.is_set():
                    number += _WRITERS
                    execute(f"INSERT INTO {_TABLE} VALUES ({number})")  # noqa: S608
                    self._acknowledged[writer].append(number)
            self._end.wait(_PAUSE)


def load(instance: _instance.Instance) -> str:
    """Write rows during a restart, a crash and, if possible, a backup."""
    sql.try_until_works(
        instance.machine,
        lambda: sql.execute(
            instance.account(), f"CREATE TABLE {_TABLE} (number INTEGER)"
        ),
        "no SQL before",
    )
    with Writers(instance) as writers:
        time.sleep(_CALM)
        before = len(writers.acknowledged())
        if not before:
            raise outcome.CheckError("no row was written in a quiet database")
        instance.restart()
        if instance.datastore.backup:
            backup.take(instance)
        server.kill(instance)
        sql.try_until_works(
            instance.machine,
            lambda: sql.read_version(instance.account()),
            "no SQL after a crash",
        )
        time.sleep(_CALM)
    rows = instance.read(f"SELECT number FROM {_TABLE}", "no SQL at the end")  # noqa: S608
    wanted = writers.acknowledged()
    lost = wanted - {row[0] for row in rows}
    if lost:
        raise outcome.CheckError(
            f"{len(lost)} of {len(wanted)} acknowledged rows are lost"
        )
    if len(wanted) <= before:
        raise outcome.CheckError("no row was written after the restart")
    during = "a restart, a backup and a crash"
    if not instance.datastore.backup:
        during = "a restart and a crash (the image takes no backups)"
    return (
        f"{len(wanted)} rows acknowledged by {_WRITERS} writers during"
        f" {during}, none lost"
    )
