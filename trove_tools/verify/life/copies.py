# SPDX-License-Identifier: Apache-2.0
"""What is made of an instance: upgrades, backups, replicas."""

import dataclasses
import secrets

from trove_tools.verify import outcome
from trove_tools.verify import sql
from trove_tools.verify.life import instance as _instance
from trove_tools.verify.life import world as _world

#: What Trove says to an upgrade that it does not do.
_MAJOR = "Major version upgrade is not allowed"
_DONE = "COMPLETED"
_FAILED = ("FAILED", "DELETE_FAILED")
_TABLE = "life_backup"
# what only PostgreSQL's agent tells of its volume
_ARCHIVED = "wal_archive_size"


def upgrade(instance: _instance.Instance) -> str:
    """Put the image under the volume of an instance that is there already.

    It was made of the image that ``--from`` names, or else of this one.
    """
    old, version = instance, instance.datastore.version
    former = instance.world.former
    if former is not None:
        version = former.version
        old = _new(
            instance,
            instance.call(
                "bear", version=version, size=_volume(instance),
                image=_world.FROM, user=instance.user,
                password=instance.password, database=instance.database,
            ),
        )  # fmt: skip
    try:
        return _upgrade(old, version)
    finally:
        if old is not instance:
            old.world.remove(old.server)


def _upgrade(instance: _instance.Instance, old: str) -> str:
    """Upgrade and rebuild an instance.

    :param old: its datastore's version.
    """
    new = instance.datastore.version
    word = _write(instance, "no SQL before")
    before = sql.version(instance.account())
    if old != new:
        told = instance.call("upgrade", version=new, image=_world.IMAGE)
        for line in told["logged"]:
            if _MAJOR in line:
                raise outcome.UnsupportedError(
                    f"by Trove 26: {line[line.index(_MAJOR) :]}"
                )
    since = instance.updated()
    instance.call("rebuild", image=_world.IMAGE)
    rows = sql.patiently(
        instance.machine,
        lambda: sql.words(instance.account()),
        "no SQL after the rebuild",
    )
    if word not in rows:
        raise outcome.CheckError("the data is gone after the rebuild")
    instance.wait_healthy(since)
    after = sql.version(instance.account())
    return (
        f"{before} before, {after} after, from another root disk: data and"
        " user are there"
    )


def _volume(instance: _instance.Instance) -> int:
    """Return the size of an instance's volume, GiB."""
    return int(instance.plane.call("state", instance=instance.id)["size"])


def _require_container(instance: _instance.Instance) -> None:
    if not instance.datastore.backup:
        raise outcome.UnmadeError(
            "the image does not carry the container that takes backups"
        )


def backup(instance: _instance.Instance) -> str:
    """Restore a full and an incremental backup into a new instance."""
    _require_container(instance)
    account = instance.account
    sql.patiently(
        instance.machine,
        lambda: sql.execute(
            account(), f"CREATE TABLE {_TABLE} (word VARCHAR(64))"
        ),
        "no SQL before",
    )
    full = _take(instance, "full")
    sizes = [_size(instance, full)]
    incremental = _take(instance, "incremental", parent=full)
    sizes.append(_size(instance, incremental))
    sql.execute(account(), f"INSERT INTO {_TABLE} VALUES ('later')")  # noqa: S608
    made = _new(
        instance,
        instance.call(
            "restore", backup=incremental, size=_volume(instance),
            image=_world.IMAGE,
        ),
    )  # fmt: skip
    rows = made.read(f"SELECT word FROM {_TABLE}", "no SQL after the restore")  # noqa: S608
    if rows != [("full",), ("incremental",)]:
        raise outcome.CheckError(
            f"the restored instance has the rows {rows}, not those of the"
            " full and the incremental backup"
        )
    made.world.remove(made.server)
    archived = instance.call("volume")["mgr_extra_info"].get(_ARCHIVED)
    if archived == 0:
        raise outcome.CheckError("PostgreSQL has archived no WAL")
    return (
        f"full ({sizes[0]} bytes in Swift) and incremental ({sizes[1]}),"
        " restored into a new guest with the rows of both"
        + (f"; {archived} bytes of WAL archived" if archived else "")
    )


def _take(
    instance: _instance.Instance, word: str, parent: str | None = None
) -> str:
    """Write a word and take a backup with it; return the backup's id."""
    sql.execute(instance.account(), f"INSERT INTO {_TABLE} VALUES (%s)", word)  # noqa: S608
    made: str = instance.call("backup", parent=parent)["backup"]
    state = {}

    def ended() -> bool:
        state.update(instance.plane.call("backup_state", backup=made))
        return state["state"] in (_DONE, *_FAILED)

    instance.wait_until(ended, f"the {word} backup does not end")
    if state["state"] != _DONE:
        faults = instance.plane.call("state", instance=instance.id)["faults"]
        raise outcome.CheckError(
            f"the {word} backup is {state['state']}"
            + "".join(f": {line}" for line in faults[:1])
        )
    return made


def _size(instance: _instance.Instance, backup_id: str) -> int:
    """Return the bytes that a backup has in Swift."""
    state = instance.plane.call("backup_state", backup=backup_id)
    path = state["location"].partition("/v1/")[2].split("/", 2)
    size = instance.swift.size(path[1], path[2])
    if not size:
        raise outcome.CheckError(f"Swift has nothing of {state['location']}")
    return size


def _new(
    instance: _instance.Instance, answer: dict[str, str]
) -> _instance.Instance:
    return dataclasses.replace(
        instance, id=answer["id"], server=answer["server"]
    )


def replication(instance: _instance.Instance) -> str:
    """Follow a write to a replica, and write to it once it is promoted."""
    # it begins with a backup
    _require_container(instance)
    word = _write(instance, "no SQL before")
    replica = _new(
        instance,
        instance.call("replicate", size=_volume(instance), image=_world.IMAGE),
    )
    _await_word(replica, word, "the replica lacks what was there before it")
    word = _write(instance, "no SQL on the source")
    _await_word(replica, word, "a write does not arrive at the replica")
    replica.call("promote")
    state = replica.plane.call("state", instance=replica.id)
    if state["replica_of"]:
        raise outcome.CheckError("Trove still calls it a replica")
    word = _write(replica, "no write to the promoted replica")
    _await_word(
        instance, word, "a write to the new source does not arrive at the old"
    )
    # back again, so that what comes after finds it as it was
    instance.call("promote")
    word = _write(instance, "no write to the old source, promoted again")
    _await_word(replica, word, "a write does not arrive after two promotions")
    replica.call("detach")
    replica.world.remove(replica.server)
    return (
        "a write arrives at the replica; promoted, it takes writes, and they"
        " arrive at the old source; promoted back"
    )


def _write(instance: _instance.Instance, what: str) -> str:
    word = secrets.token_hex(8)
    sql.patiently(
        instance.machine, lambda: sql.write(instance.account(), word), what
    )
    return word


def _await_word(instance: _instance.Instance, word: str, what: str) -> None:
    def arrived() -> bool:
        return word in sql.patiently(
            instance.machine, lambda: sql.words(instance.account()), what
        )

    instance.wait_until(arrived, what)
