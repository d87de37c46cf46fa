# SPDX-License-Identifier: Apache-2.0
"""Remove what loads have left in Glance, and nobody needs any more.

Only images that this tool loaded are touched: uploads that were given up,
and images that are older than those to keep.
"""

import collections.abc

from trove_tools import console
from trove_tools import errors
from trove_tools.cloud import connection
from trove_tools.cloud import glance
from trove_tools.cloud import history
from trove_tools.cloud import trove
from trove_tools.cloud import upload
from trove_tools.cloud import usage


class Pruning:
    """Removes images.

    :param cloud: the cloud.
    :param images: those of it.
    :param registered: all datastore versions, as they are now.
    :param screen: is told what is removed, and what is kept and why.
    """

    def __init__(
        self,
        cloud: connection.Cloud,
        images: glance.Images,
        registered: collections.abc.Sequence[trove.Record],
        screen: console.Console,
    ) -> None:
        self._images = images
        self._registered = {trove.describe(each): each for each in registered}
        self._users = usage.Users(cloud)
        self._screen = screen

    def prune(
        self,
        names: collections.abc.Collection[str],
        keep: int,
        keep_in_use: bool,
    ) -> None:
        """Remove old images of some versions, and given up uploads.

        :param names: the versions, as ``mariadb:11.8``.
        :param keep: how many images of each stay.
        :param keep_in_use: keep what somebody may still need.
        """
        records = self._images.ours()
        for record in upload.incomplete(records):
            if self._remove(record):
                self._screen.say(
                    f"removed what an unfinished load had left:"
                    f" {record['name']} ({record['id']})"
                )
        for record in self._surplus(records, names, keep):
            reason = self._pinned_or_served(record)
            if record.get("protected"):
                reason = "it is protected"
            if reason is None and keep_in_use:
                reason = self._users.reason(record)
            title = f"older image {record['name']} ({record['id']})"
            if reason is not None:
                self._screen.say(f"kept the {title}: {reason}")
            elif self._remove(record):
                self._screen.say(f"removed the {title}")

    def _surplus(
        self,
        records: collections.abc.Sequence[glance.Record],
        names: collections.abc.Collection[str],
        keep: int,
    ) -> list[glance.Record]:
        concerned = [r for r in records if set(names) & {*glance.serves(r)}]
        # most often, there are not so many
        if len(concerned) <= keep:
            return []
        currents = {}
        gone = set()
        for name in {n for r in concerned for n in glance.serves(r)}:
            if name not in self._registered:
                gone.add(name)
                continue
            image = trove.image(self._images, self._registered[name])
            if image is not None:
                currents[name] = image
        return history.surplus(concerned, currents, keep, gone)

    def _pinned_or_served(self, record: glance.Record) -> str | None:
        for name, version in self._registered.items():
            pinned = version.get("image")
            if pinned:
                if pinned == record["id"]:
                    return f"{name} is registered with it"
                continue
            tags = trove.image_tags(version)
            if tags and set(tags) <= set(record["tags"]):
                served = self._images.served(tags)
                if served and served["id"] == record["id"]:
                    return f"{name} is served by it"
        return None

    def _remove(self, record: glance.Record) -> bool:
        """Remove an image; say so where that is not possible."""
        if record.get("protected"):
            self._screen.say(
                f"kept the unfinished image {record['id']}: it is protected"
            )
            return False
        try:
            self._images.delete(record["id"])
        except errors.CloudError as exc:
            self._screen.warn(
                f"image {record['id']} is still in Glance: {exc.message}"
            )
            return False
        return True
