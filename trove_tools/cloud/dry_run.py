# SPDX-License-Identifier: Apache-2.0
"""Glance in a dry run: nothing is changed, and yet it looks as if.

What a load does next depends on what it did before.  So changes that were
only written down are shown over what Glance really has.
"""

import collections.abc
import datetime
import typing

from trove_tools.cloud import connection
from trove_tools.cloud import glance


def images(cloud: connection.Cloud) -> glance.Images:
    """Return the images of a cloud, for a run that may be a dry one."""
    return _Rehearsal(cloud) if cloud.images.dry else glance.Images(cloud)


class _Rehearsal(glance.Images):
    def __init__(self, cloud: connection.Cloud) -> None:
        super().__init__(cloud)
        # by id; nothing for an image that would be removed
        self._changed: dict[str, glance.Record | None] = {}

    def get(self, image_id: str) -> glance.Record | None:
        if image_id in self._changed:
            return self._changed[image_id]
        return super().get(image_id)

    def _list(
        self, all_pages: bool = False, **filters: typing.Any
    ) -> list[glance.Record]:
        tags = set(filters.get("tag", ()))
        found = {r["id"]: r for r in super()._list(all_pages, **filters)}
        for image_id, record in self._changed.items():
            found.pop(image_id, None)
            if record and tags <= set(record["tags"]):
                found[image_id] = record
        return sorted(
            found.values(), key=lambda each: each["created_at"], reverse=True
        )

    def members(self, image_id: str) -> list[str]:
        return [] if image_id in self._changed else super().members(image_id)

    def create(self, record: glance.Record) -> None:
        super().create(record)
        now = datetime.datetime.now(datetime.UTC)
        self._changed[record["id"]] = {
            **record,
            "status": "active",
            "tags": [],
            "created_at": now.strftime("%Y-%m-%dT%H:%M:%SZ"),
        }

    def patch(
        self,
        record: glance.Record,
        patch: collections.abc.Callable[
            [glance.Record], list[dict[str, typing.Any]]
        ],
    ) -> bool:
        shown = dict(self._changed.get(record["id"]) or record)
        for change in patch(shown):
            name = change["path"].removeprefix("/")
            shown.pop(name, None)
            if change["op"] != "remove":
                shown[name] = change["value"]
        changed = super().patch(record, patch)
        self._changed[record["id"]] = shown
        return changed

    def delete(self, image_id: str) -> None:
        super().delete(image_id)
        self._changed[image_id] = None
