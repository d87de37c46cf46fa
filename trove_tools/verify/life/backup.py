# SPDX-License-Identifier: Apache-2.0
"""Checks the backups of an instance, and their restore."""

from trove_tools.verify import outcome
from trove_tools.verify import sql
from trove_tools.verify.life import cloud as _cloud
from trove_tools.verify.life import instance as _instance

_DONE = "COMPLETED"
_FAILED = ("FAILED", "DELETE_FAILED")
_TABLE = "life_backup"
# a value about the volume that only PostgreSQL's agent reports
_ARCHIVED = "wal_archive_size"


def require_container(instance: _instance.Instance) -> None:
    """Check that the image contains the container that takes backups.

    :raises UnmadeError: the image does not contain it.
    """
    if not instance.datastore.backup:
        raise outcome.UnmadeError(
            "the image does not carry the container that takes backups"
        )


def backup(instance: _instance.Instance) -> str:
    """Restore a full and an incremental backup into a new instance."""
    require_container(instance)
    account = instance.account
    sql.try_until_works(
        instance.machine,
        lambda: sql.execute(
            account(), f"CREATE TABLE {_TABLE} (word VARCHAR(64))"
        ),
        "no SQL before",
    )
    parent, sizes = None, []
    for word in ("full", "incremental"):
        sql.execute(account(), f"INSERT INTO {_TABLE} VALUES (%s)", word)  # noqa: S608
        parent = take(instance, parent)
        sizes.append(_size(instance, parent))
    sql.execute(account(), f"INSERT INTO {_TABLE} VALUES ('later')")  # noqa: S608
    with instance.further(
        "restore", backup=parent, image=_cloud.IMAGE
    ) as restored:
        rows = restored.read(
            f"SELECT word FROM {_TABLE}",  # noqa: S608
            "no SQL after the restore",
        )
    if rows != [("full",), ("incremental",)]:
        raise outcome.CheckError(
            f"the restored instance has the rows {rows}, not those of the"
            " full and the incremental backup"
        )
    archived = instance.call("volume")["mgr_extra_info"].get(_ARCHIVED)
    if archived == 0:
        raise outcome.CheckError("PostgreSQL has archived no WAL")
    return (
        f"full ({sizes[0]} bytes in Swift) and incremental ({sizes[1]}),"
        " restored into a new guest with the rows of both"
        + (f"; {archived} bytes of WAL archived" if archived else "")
    )


def take(instance: _instance.Instance, parent: str | None = None) -> str:
    """Take a backup, and wait until it is complete.

    :param parent: the id of the backup on which an incremental backup is
        based; None for a full backup.
    :returns: the id of the new backup.
    :raises CheckError: the backup fails.
    """
    kind = "incremental" if parent else "full"
    taken: str = instance.call("backup", parent=parent)["backup"]
    state = {}

    def ended() -> bool:
        state.update(instance.plane.call("backup_state", backup=taken))
        return state["state"] in (_DONE, *_FAILED)

    instance.wait_until(ended, f"the {kind} backup does not end")
    if state["state"] != _DONE:
        faults = instance.plane.call("state", instance=instance.id)["faults"]
        raise outcome.CheckError(
            f"the {kind} backup is {state['state']}"
            + "".join(f": {line}" for line in faults[:1])
        )
    return taken


def _size(instance: _instance.Instance, backup_id: str) -> int:
    """Return the size of a backup in Swift, in bytes."""
    state = instance.plane.call("backup_state", backup=backup_id)
    path = state["location"].partition("/v1/")[2].split("/", 2)
    size = instance.swift.size(path[1], path[2])
    if not size:
        raise outcome.CheckError(f"Swift has nothing of {state['location']}")
    return size
