# SPDX-License-Identifier: Apache-2.0
"""Checks what Trove makes of an instance: backups, a replica, an upgrade."""

from trove_tools.verify import machine as _machine
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
            "the image does not contain the container that takes backups"
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


def replication(instance: _instance.Instance) -> str:
    """Check that a replica receives writes, and accepts them if promoted."""
    # Trove makes a replica from a backup
    require_container(instance)
    word = instance.write_word()
    with instance.further("replicate", image=_cloud.IMAGE) as replica:
        _wait_for_word(
            replica, word, "the replica lacks what was there before it"
        )
        word = instance.write_word("on the source")
        _wait_for_word(
            replica, word, "a write does not arrive at the replica"
        )
        _promote(replica, instance)
        # promote the old source, so that later checks find it unchanged
        _promote(instance, replica)
        replica.call("detach")
    return (
        "a write arrives at the replica; promoted, it takes writes, and they"
        " arrive at the old source; promoted back"
    )


def _promote(
    replica: _instance.Instance, source: _instance.Instance
) -> None:
    """Promote a replica, and check that its writes reach the old source."""
    replica.call("promote")
    state = replica.plane.call("state", instance=replica.id)
    if state["replica_of"]:
        raise outcome.CheckError("Trove still calls it a replica")
    word = replica.write_word("on the promoted replica")
    _wait_for_word(
        source, word, "a write to the new source does not arrive at the old"
    )


def _wait_for_word(
    instance: _instance.Instance, word: str, what: str
) -> None:
    instance.wait_until(lambda: instance.has_word(word, "on it"), what)


#: Trove's message when it refuses an upgrade.
_MAJOR = "Major version upgrade is not allowed"


def upgrade(instance: _instance.Instance) -> str:
    """Rebuild an instance with the image under test.

    The instance was made from the image that ``--from`` names, or else from
    the image under test.
    """
    former = instance.cloud.former
    if former is None:
        return _upgrade(instance, instance.datastore.version)
    with instance.further(
        "create_another", version=former.version, image=_cloud.FROM,
        user=instance.user, password=instance.password,
        database=instance.database,
    ) as old:  # fmt: skip
        return _upgrade(old, former.version)


def _upgrade(instance: _instance.Instance, old: str) -> str:
    """Upgrade an instance to the version of the image, and rebuild it.

    :param old: the datastore's version before the upgrade.
    """
    new = instance.datastore.version
    word = instance.write_word()
    before = sql.read_version(instance.account())
    if old != new:
        answer = instance.call("upgrade", version=new, image=_cloud.IMAGE)
        refusal = _refusal(instance)
        if refusal:
            raise outcome.UnsupportedError(
                f"by Trove 26: {refusal} ({_state(instance, word)})"
            )
        for line in answer["logged"]:
            raise outcome.CheckError(f"Trove fails at `upgrade`: {line}")
    since = instance.updated()
    instance.call("rebuild", image=_cloud.IMAGE)
    instance.require_word(word, "after the rebuild")
    instance.wait_healthy(since)
    after = sql.read_version(instance.account())
    return (
        f"{before} before, {after} after, from another root disk: data and"
        " user are there"
    )


def _refusal(instance: _instance.Instance) -> str:
    """Return the agent's message that refuses an upgrade; empty without one.

    Only the guest's journal contains it: Trove's task manager does not wait
    for an answer to the upgrade, but for a report that the database is
    healthy, and an unchanged database is healthy.
    """
    journal = instance.machine.directory / _machine.JOURNAL
    _, begin, rest = journal.read_text(errors="replace").partition(_MAJOR)
    return begin + rest.partition("\n")[0]


def _state(instance: _instance.Instance, word: str) -> str:
    """Describe the instance after an upgrade that Trove refused."""
    instance.require_word(word, "after the refused upgrade")
    state = instance.plane.call("state", instance=instance.id)
    return (
        f"the instance still runs {sql.read_version(instance.account())} with"
        f" its data and its user; Trove shows version {state['version']}, and"
        f" the task {state['task']}"
    )
