# SPDX-License-Identifier: Apache-2.0
"""Make a registered datastore version the one that users get."""

import collections.abc
import typing

from trove_tools import console
from trove_tools import errors
from trove_tools.cloud import assignment
from trove_tools.cloud import connection
from trove_tools.cloud import dry_run
from trove_tools.cloud import effect
from trove_tools.cloud import glance
from trove_tools.cloud import history
from trove_tools.cloud import trove


class Activation:
    """Chooses what users of a cloud get.

    :param cloud: the cloud.
    :param screen: is told what is done.
    """

    def __init__(
        self, cloud: connection.Cloud, screen: console.Console
    ) -> None:
        self._versions = trove.Versions(cloud.databases)
        self._images = dry_run.images(cloud)
        self._screen = screen

    def activate(
        self, datastore: str, version: str | None
    ) -> dict[str, typing.Any]:
        """Make a version active and its datastore's default.

        :param datastore: the datastore's name.
        :param version: the version's; the newest registered when not given.
        :returns: the resulting version.
        :raises UsageError: there is no such datastore or version.
        :raises CloudError: no image serves it, or the cloud refused.
        """
        registered = self._versions.all()
        record = self._choose(registered, datastore, version)
        image = self._image(record)
        name = trove.describe(record)
        before = [
            trove.describe(each)
            for each in registered
            if each["datastore_name"] == datastore and each["default"]
        ]
        was_default = record["default"]
        record, changed = self._versions.activate(record)
        if changed:
            told = f"{name} is now active and the default"
            if not was_default and before:
                told += f", instead of {before[0]}"
            if doubts := effect.doubts(image):
                self._screen.warn(
                    f"new instances of {name} start from image {image['id']},"
                    f" which {' and '.join(doubts)}"
                )
        else:
            told = f"{name} is already active and the default"
        self._screen.say(told)
        return _row(record, image, changed)

    def roll_back(
        self, datastore: str, version: str, to_image: str | None = None
    ) -> dict[str, typing.Any]:
        """Make a version take the image again that it had before.

        Done a second time, perhaps because the first one was killed and
        nobody knows how far it came, it changes nothing: to go back
        further, the image must be named.

        :param datastore: the datastore's name.
        :param version: the version's.
        :param to_image: the id of the image to return to.
        :returns: the resulting version.
        :raises UsageError: there is no such datastore, version or image.
        :raises ImageError: there is no image to return to.
        """
        registered = self._versions.all()
        record = self._choose(registered, datastore, version)
        name = trove.describe(record)
        current = self._image(record)
        ours = self._images.ours()
        left = history.left(ours, name, current)
        if to_image is not None:
            image = _named(history.of(ours, name), name, to_image)
        elif left:
            image = current
        else:
            image = _previous(ours, name, current)
        shown = f"{name} is served by image {image['id']} ({image['name']})"
        if image["id"] == current["id"]:
            before = left[0]["id"] if left else None
            told = f", instead of {before}" if before else ""
            self._screen.say(f"{shown} already{told}: nothing to change")
            if before and to_image is None:
                self._screen.say("to return to another one: --to-image ID")
            return {**_row(record, image, False), "instead_of": before}
        if record.get("image"):
            record = self._return_pinned(record, current, image)
        else:
            self._return_by_tags(record, image)
        self._screen.say(f"{shown} again, instead of {current['id']}")
        return {**_row(record, image, True), "instead_of": current["id"]}

    def _return_by_tags(
        self, record: trove.Record, image: glance.Record
    ) -> None:
        name, tags = trove.describe(record), trove.image_tags(record)
        # an image that was pinned may have none; the older one gets them
        # while the newer one is still served
        description = glance.Description(tuple(tags), {}, (name,))
        self._images.update(image, description)
        assignment.serve(self._images, image, name, tags)

    def _return_pinned(
        self,
        record: trove.Record,
        current: glance.Record,
        image: glance.Record,
    ) -> trove.Record:
        # first the marks, or a rerun would go back one further
        name = trove.describe(record)
        self._images.update(image, glance.Description((), {}, (name,)))
        if self._images.is_ours(current):
            assignment.mark(self._images, current, name)
        return self._versions.edit(record, {"image": image["id"]})

    def _choose(
        self,
        registered: collections.abc.Sequence[trove.Record],
        datastore: str,
        version: str | None,
    ) -> trove.Record:
        """Return the version that is meant.

        :raises UsageError: there is none.
        """
        mine = {
            record["name"]: record
            for record in registered
            if record["datastore_name"] == datastore
        }
        if not mine:
            known = {record["datastore_name"] for record in registered}
            near = errors.nearest(datastore, known, "datastores of this cloud")
            raise errors.UsageError(
                f"Trove knows no datastore {datastore!r}",
                hint=f"{near}; an image is loaded with: load-trove-image"
                " IMAGE",
            )
        if version is not None:
            if version not in mine:
                near = errors.nearest(
                    version, mine, f"versions of {datastore}"
                )
                raise errors.UsageError(
                    f"Trove knows no version {version} of {datastore}",
                    hint=f"{near}; an image is loaded with:"
                    " load-trove-image IMAGE",
                )
            return mine[version]
        chosen = trove.newest(list(mine.values()))
        if len(mine) > 1:
            others = errors.in_order(set(mine) - {chosen["name"]})
            self._screen.say(
                f"taking {trove.describe(chosen)}, the newest of the"
                f" registered versions (others: {', '.join(others)})"
            )
        return chosen

    def _image(self, record: trove.Record) -> glance.Record:
        """Return the image that guests of a version start from.

        :raises CloudError: there is none, and so no guest could start.
        """
        image = trove.image(self._images, record)
        if image is not None and image["status"] == "active":
            return image
        name, pinned = trove.describe(record), record.get("image")
        if pinned:
            how = image["status"] if image else "gone"
            state = f"image {pinned}, to which {name} is pinned, is {how}"
        else:
            tags = ", ".join(trove.image_tags(record))
            state = f"no active image carries the tags {tags}"
        raise errors.CloudError(
            f"no guest of {name} could start: {state}",
            hint="load an image first: load-trove-image IMAGE",
        )


def _previous(
    ours: collections.abc.Iterable[glance.Record],
    name: str,
    current: glance.Record,
) -> glance.Record:
    """Return the image that a version had before the current one.

    :raises ImageError: there is none.
    """
    image = history.previous(ours, name, current)
    if image is None:
        raise errors.ImageError(
            f"there is no older image of {name} to return to",
            hint="load-trove-image makes an image that it is given the"
            " current one, however old it is",
        )
    return image


def _named(
    known: collections.abc.Sequence[glance.Record], name: str, image_id: str
) -> glance.Record:
    """Return the image of a version that has an id.

    :raises UsageError: there is none.
    """
    for record in known:
        if record["id"] == image_id:
            return record
    there = ", ".join(f"{each['id']} ({each['name']})" for each in known)
    raise errors.UsageError(
        f"no image {image_id} was loaded for {name}",
        hint=f"those that were, the newest first: {there or 'none'}",
    )


def _row(
    record: trove.Record, image: glance.Record, changed: bool
) -> dict[str, typing.Any]:
    return {
        **trove.columns(record),
        "changed": changed,
        "image": image["name"],
        "image_id": image["id"],
    }
