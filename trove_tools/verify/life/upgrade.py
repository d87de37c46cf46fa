# SPDX-License-Identifier: Apache-2.0
"""Checks the upgrade of an existing instance to a new image."""

from trove_tools.verify import machine as _machine
from trove_tools.verify import outcome
from trove_tools.verify import sql
from trove_tools.verify.life import cloud as _cloud
from trove_tools.verify.life import instance as _instance

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
    _, found, rest = journal.read_text(errors="replace").partition(_MAJOR)
    return found + rest.partition("\n")[0]


def _state(instance: _instance.Instance, word: str) -> str:
    """Describe the instance after an upgrade that Trove refused."""
    instance.require_word(word, "after the refused upgrade")
    state = instance.plane.call("state", instance=instance.id)
    return (
        f"the instance still runs {sql.read_version(instance.account())} with"
        f" its data and its user; Trove shows version {state['version']}, and"
        f" the task {state['task']}"
    )
