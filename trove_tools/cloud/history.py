# SPDX-License-Identifier: Apache-2.0
"""Which images a datastore version had, has, and may lose.

All this follows from what stands at the images themselves.  An image that
was withdrawn, because the version went back to an older one, is not gone
back to, and does not count among those to keep.
"""

import collections.abc

from trove_tools.cloud import glance


def of(
    records: collections.abc.Iterable[glance.Record], name: str
) -> list[glance.Record]:
    """Return the complete images that were loaded for a version.

    :param records: images of ours.
    :param name: the version's, as ``mariadb:11.8``.
    :returns: the newest first.
    """
    found = [
        record
        for record in records
        if glance.complete(record) and name in glance.serves(record)
    ]
    return sorted(found, key=lambda each: each["created_at"], reverse=True)


def previous(
    records: collections.abc.Iterable[glance.Record],
    name: str,
    current: glance.Record,
) -> glance.Record | None:
    """Return the image that a version had before the current one.

    :param records: images of ours.
    :param name: the version's.
    :param current: the image that it has now.
    """
    older = _older(records, name, current)
    return older[0] if older else None


def left(
    records: collections.abc.Iterable[glance.Record],
    name: str,
    current: glance.Record,
) -> list[glance.Record]:
    """Return the images that a version went back from, to the current one.

    :param records: images of ours.
    :param name: the version's.
    :param current: the image that it has now.
    :returns: the newest first.
    """
    return [
        record
        for record in of(records, name)
        if record["id"] != current["id"]
        and record["created_at"] >= current["created_at"]
        and name in glance.withdrawn(record)
    ]


def _older(
    records: collections.abc.Iterable[glance.Record],
    name: str,
    current: glance.Record,
) -> list[glance.Record]:
    return [
        record
        for record in of(records, name)
        if record["id"] != current["id"]
        and record["created_at"] <= current["created_at"]
        and name not in glance.withdrawn(record)
    ]


def surplus(
    records: collections.abc.Sequence[glance.Record],
    currents: collections.abc.Mapping[str, glance.Record],
    keep: int,
    gone: collections.abc.Collection[str] = (),
) -> list[glance.Record]:
    """Return the images that are older than those to keep.

    An image of several versions is kept as long as one of them keeps it.

    :param records: images of ours.
    :param currents: the image that each version has now.
    :param keep: how many of each version are kept, the current one among
        them.
    :param gone: versions that there are no more.
    :returns: the oldest first.
    """
    spared = set()
    for name, current in currents.items():
        # one that is newer was withdrawn, and may be returned to
        spared |= {
            record["id"]
            for record in of(records, name)
            if record["created_at"] >= current["created_at"]
        }
        older = _older(records, name, current)
        spared |= {record["id"] for record in older[: max(keep, 1) - 1]}
        spared.add(current["id"])
    found = [
        record
        for record in records
        if glance.complete(record)
        and record["id"] not in spared
        and glance.serves(record)
        and set(glance.serves(record)) <= {*currents, *gone}
    ]
    return sorted(found, key=lambda each: each["created_at"])
