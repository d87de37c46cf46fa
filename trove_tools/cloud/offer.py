# SPDX-License-Identifier: Apache-2.0
"""What a cloud offers: each datastore version and its image."""

import datetime
import typing

from trove_tools.cloud import connection
from trove_tools.cloud import glance
from trove_tools.cloud import history
from trove_tools.cloud import trove

_UNITS = ((86400, "d"), (3600, "h"), (60, "min"), (1, "s"))


def rows(
    cloud: connection.Cloud, datastore: str | None, version: str | None
) -> list[dict[str, typing.Any]]:
    """Return one entry for each registered version.

    :param cloud: the cloud.
    :param datastore: that of this datastore only.
    :param version: that of this version only.
    :returns: sorted by datastore; the highest version first.
    """
    images = glance.Images(cloud)
    ours = images.ours()
    wanted = [
        record
        for record in trove.Versions(cloud.databases).all()
        if datastore in (None, record["datastore_name"])
        if version in (None, record["name"])
    ]
    ordered = sorted(
        sorted(wanted, key=trove.order, reverse=True),
        key=lambda record: record["datastore_name"],
    )
    return [_row(record, images, ours) for record in ordered]


def _row(
    record: trove.Record,
    images: glance.Images,
    ours: list[glance.Record],
) -> dict[str, typing.Any]:
    image = trove.image(images, record)
    name = trove.describe(record)
    before = image and history.previous(ours, name, image)
    return {
        **trove.columns(record),
        "image": image and image["name"],
        "image_id": image and image["id"],
        "pinned": bool(record.get("image")),
        "created": image and image["created_at"],
        "age": image and age(image["created_at"]),
        "agent_version": image and image.get(glance.AGENT),
        "previous": before and before["name"],
        "previous_id": before and before["id"],
        "previous_age": before and age(before["created_at"]),
        "images": [each["id"] for each in history.of(ours, name)],
    }


def age(created: str, now: datetime.datetime | None = None) -> str:
    """Return for how long something has been there, as ``3 d``.

    :param created: the time as Glance writes it.
    :param now: the present, where it is not the real one.
    """
    now = now or datetime.datetime.now(datetime.UTC)
    passed = now - datetime.datetime.fromisoformat(created)
    seconds = max(int(passed.total_seconds()), 0)
    for size, unit in _UNITS:
        if seconds >= size:
            return f"{seconds // size} {unit}"
    return "0 s"
