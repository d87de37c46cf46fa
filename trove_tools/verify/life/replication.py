# SPDX-License-Identifier: Apache-2.0
"""Checks a replica of an instance, and its promotion."""

from trove_tools.verify import outcome
from trove_tools.verify.life import backup
from trove_tools.verify.life import cloud as _cloud
from trove_tools.verify.life import instance as _instance


def replication(instance: _instance.Instance) -> str:
    """Check that a replica receives writes, and accepts them if promoted."""
    # Trove makes a replica from a backup
    backup.require_container(instance)
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
