# SPDX-License-Identifier: Apache-2.0
"""Activates, rolls back and lists registered datastore versions."""

import collections
import collections.abc
import datetime
import typing

from trove_tools import console
from trove_tools import errors
from trove_tools.cloud import compatibility
from trove_tools.cloud import connection
from trove_tools.cloud import glance
from trove_tools.cloud import history
from trove_tools.cloud import image as _image
from trove_tools.cloud import instances as _instances
from trove_tools.cloud import rebuild
from trove_tools.cloud import trove
from trove_tools.cloud.image import Image

_UNITS = ((86400, "d"), (3600, "h"), (60, "min"), (1, "s"))

#: The instances that run a version's current image, those that run another
#: one, and the numbers by image.
_COUNTS = ("instances", "instances_behind", "instances_by_image")

Row = dict[str, typing.Any]


class Activation:
    """Activates datastore versions in a cloud.

    :param cloud: the cloud.
    :param screen: the console for messages.
    """

    def __init__(
        self, cloud: connection.Cloud, screen: console.Console
    ) -> None:
        self._cloud = cloud
        self._versions = trove.Versions(cloud.databases)
        self._images = glance.open_images(cloud)
        self._screen = screen

    def activate(self, datastore: str, version: str | None) -> Row:
        """Make a version active and the default of its datastore.

        :param datastore: the datastore's name.
        :param version: the version's name; by default the newest registered
            one.
        :returns: the resulting version.
        :raises UsageError: there is no such datastore or version.
        :raises CloudError: no image serves it, or the cloud refused.
        """
        registered = self._versions.list_all()
        chosen = self._choose(registered, datastore, version)
        image = self._find_image(chosen)
        name = chosen.name
        before = [
            each.name
            for each in registered
            if each.datastore == datastore and each.default
        ]
        activated, changed = self._versions.activate(chosen)
        if changed:
            message = f"{name} is now active and the default"
            if not chosen.default and before:
                message += f", instead of {before[0]}"
            if doubts := compatibility.find_doubts(image.fields):
                self._screen.warn(
                    f"new instances of {name} start from image {image.id},"
                    f" which {' and '.join(doubts)}"
                )
        else:
            message = f"{name} is already active and the default"
        self._screen.say(message)
        return _row(activated, image, changed)

    def roll_back(
        self, datastore: str, version: str, to_image: str | None = None
    ) -> Row:
        """Switch a version back to its previous image.

        A second call changes nothing, so an interrupted rollback can be
        repeated; to return to an older image, name that image.

        :param datastore: the datastore's name.
        :param version: the version's name.
        :param to_image: the id of the target image.
        :returns: the resulting version.
        :raises UsageError: there is no such datastore, version or image.
        :raises ImageError: there is no previous image.
        """
        version_ = self._choose(
            self._versions.list_all(), datastore, version
        )
        name = version_.name
        current = self._find_image(version_)
        ours = self._images.list_ours()
        rolled_back = history.list_rolled_back(ours, name, current)
        if to_image is not None:
            image = _choose_image(
                history.list_images(ours, name), name, to_image
            )
        elif rolled_back:
            image = current
        else:
            image = _require_previous(ours, name, current)
        shown = f"{name} is served by image {image.id} ({image.name})"
        if image.id == current.id:
            before = rolled_back[0].id if rolled_back else None
            instead = f", instead of {before}" if before else ""
            self._screen.say(f"{shown} already{instead}: nothing to change")
            if before and to_image is None:
                self._screen.say("to return to another one: --to-image ID")
            return {**_row(version_, image, False), "instead_of": before}
        # an image that was pinned may have no tags; it gets them while Trove
        # still serves the newer image
        tags = () if version_.image_id else version_.image_tags
        self._images.update(image, _image.Description(tags, {}, (name,)))
        if not version_.image_id:
            history.serve_image(self._images, image, name, tags)
        else:
            # mark the newer image first: otherwise a rollback that is
            # repeated after an interruption would skip an image
            if self._images.is_ours(current):
                self._images.patch(
                    current, lambda now: _image.withdraw(now, name)
                )
            version_ = self._versions.edit(version_, {"image_id": image.id})
        self._screen.say(f"{shown} again, instead of {current.id}")
        return {**_row(version_, image, True), "instead_of": current.id}

    def list_behind(self, datastore: str, version: str) -> list[Row]:
        """Return the instances of a version that run another image.

        :raises UsageError: there is no such datastore or version.
        :raises CloudError: no image serves it, or a service cannot tell.
        """
        image, _, found = self._find_instances(datastore, version)
        names = {each.id: each.name for each in self._images.list_ours()}
        behind = rebuild.list_behind(found, image)
        self._screen.say(
            f"{len(behind)} of {len(found)} instances of {datastore}:{version}"
            f" run another image than {image.id}"
        )
        return [
            {
                **rebuild.describe(each),
                "image": names.get(each.image_id or ""),
                "image_id": each.image_id,
                "obstacle": each.find_obstacle(),
            }
            for each in behind
        ]

    def rebuild_behind(
        self, datastore: str, version: str, limit: int, timeout: float
    ) -> list[Row]:
        """Rebuild the instances of a version that run another image.

        :param limit: how many are rebuilt at a time.
        :param timeout: seconds that an instance may take to be healthy again.
        :raises UsageError: there is no such datastore or version.
        :raises CloudError: no image serves it, or a service cannot tell.
        """
        image, instances, found = self._find_instances(datastore, version)
        if doubts := compatibility.find_doubts(image.fields):
            self._screen.warn(f"image {image.id} {' and '.join(doubts)}")
        return rebuild.Rebuild(
            instances, image, limit, timeout, self._screen
        ).run(found)

    def _find_instances(
        self, datastore: str, version: str
    ) -> tuple[Image, _instances.Instances, list[_instances.Instance]]:
        """Return a version's image, the cloud's instances, and its own."""
        registered = self._versions.list_all()
        chosen = self._choose(registered, datastore, version)
        image = self._find_image(chosen)
        ours = history.list_images(self._images.list_ours(), chosen.name)
        instances = _instances.Instances(self._cloud)
        found = instances.list_all(
            {image.id, *(each.id for each in ours)}, {chosen.name}
        )
        return image, instances, found

    def _choose(
        self,
        registered: collections.abc.Sequence[trove.DatastoreVersion],
        datastore: str,
        version: str | None,
    ) -> trove.DatastoreVersion:
        """Return the requested version.

        :raises UsageError: there is none.
        """
        versions = {
            each.version: each
            for each in registered
            if each.datastore == datastore
        }
        if not versions:
            known = {each.datastore for each in registered}
            near = errors.nearest(datastore, known, "datastores of this cloud")
            raise errors.UsageError(
                f"Trove has no datastore {datastore!r}",
                hint=f"{near}; an image is loaded with: load-trove-image"
                " IMAGE",
            )
        if version is not None:
            if version not in versions:
                near = errors.nearest(
                    version, versions, f"versions of {datastore}"
                )
                raise errors.UsageError(
                    f"Trove has no version {version} of {datastore}",
                    hint=f"{near}; an image is loaded with:"
                    " load-trove-image IMAGE",
                )
            return versions[version]
        newest = max(versions.values(), key=lambda each: each.order)
        if len(versions) > 1:
            others = errors.in_order(set(versions) - {newest.version})
            self._screen.say(
                f"taking {newest.name}, the newest of the"
                f" registered versions (others: {', '.join(others)})"
            )
        return newest

    def _find_image(self, version: trove.DatastoreVersion) -> Image:
        """Return the image that guests of a version start from.

        :raises CloudError: there is no image, so no guest could start.
        """
        image = trove.find_image(self._images, version)
        if image is not None and image.status == "active":
            return image
        if version.image_id:
            state = (
                f"image {version.image_id}, to which {version.name} is"
                f" pinned, is {image.status if image else 'gone'}"
            )
        else:
            tags = ", ".join(version.image_tags)
            state = f"no active image carries the tags {tags}"
        raise errors.CloudError(
            f"no guest of {version.name} could start: {state}",
            hint="load an image first: load-trove-image IMAGE",
        )


def _require_previous(
    ours: collections.abc.Iterable[Image], name: str, current: Image
) -> Image:
    """Return the previous image of a version.

    :raises ImageError: there is none.
    """
    image = history.find_previous(ours, name, current)
    if image is None:
        raise errors.ImageError(
            f"there is no previous image of {name}",
            hint="load-trove-image makes any given image the current one, even"
                 " an older one",
        )
    return image


def _choose_image(
    images: collections.abc.Sequence[Image], name: str, image_id: str
) -> Image:
    """Return an image of a version by its id.

    :raises UsageError: there is none.
    """
    for image in images:
        if image.id == image_id:
            return image
    there = ", ".join(f"{image.id} ({image.name})" for image in images)
    raise errors.UsageError(
        f"no image {image_id} was loaded for {name}",
        hint=f"images that were loaded, the newest first: {there or 'none'}",
    )


def _row(version: trove.DatastoreVersion, image: Image, changed: bool) -> Row:
    return {
        **version.as_row(),
        "changed": changed,
        "image": image.name,
        "image_id": image.id,
    }


def list_versions(
    cloud: connection.Cloud,
    datastore: str | None,
    version: str | None,
    screen: console.Console,
) -> list[Row]:
    """Return one entry for each registered version.

    :param cloud: the cloud.
    :param datastore: list only this datastore.
    :param version: list only this version.
    :param screen: the console for messages.
    :returns: sorted by datastore; the highest version first.
    """
    images = glance.Images(cloud)
    ours = images.list_ours()
    versions = [
        each
        for each in trove.Versions(cloud.databases).list_all()
        if datastore in (None, each.datastore)
        if version in (None, each.version)
    ]
    versions.sort(key=lambda each: each.order, reverse=True)
    versions.sort(key=lambda each: each.datastore)
    rows = [_describe_version(each, images, ours) for each in versions]
    counts = None
    try:
        counts = _instances.count_by_image(
            cloud, {i for row in rows for i in _image_ids(row)}
        )
    except errors.CloudError as exc:
        screen.warn(f"instances are not counted: {exc.message}")
    for row in rows:
        _add_counts(row, counts)
    return rows


def _image_ids(row: Row) -> set[str]:
    return {*row["images"], *filter(None, [row["image_id"]])}


def _add_counts(
    row: Row, counts: dict[str, collections.Counter[str]] | None
) -> None:
    """Add the numbers of a version's instances; None if they are unknown."""
    if counts is None:
        row |= dict.fromkeys(_COUNTS)
        return
    name = f"{row['datastore']}:{row['version']}"
    by_image = counts.get(name, collections.Counter())
    current = by_image[row["image_id"]]
    numbers = (current, by_image.total() - current, dict(by_image))
    row |= zip(_COUNTS, numbers, strict=True)


def _describe_version(
    version: trove.DatastoreVersion,
    images: glance.Images,
    ours: list[Image],
) -> Row:
    image, name = trove.find_image(images, version), version.name
    before = image and history.find_previous(ours, name, image)
    return {
        **version.as_row(),
        "image": image and image.name,
        "image_id": image and image.id,
        "pinned": version.image_id is not None,
        "created": image and image.created_at,
        "age": image and _describe_age(image.created_at),
        "agent_version": image and image.fields.get(_image.AGENT),
        "previous": before and before.name,
        "previous_id": before and before.id,
        "previous_age": before and _describe_age(before.created_at),
        "images": [each.id for each in history.list_images(ours, name)],
    }


def _describe_age(created: str) -> str:
    """Return the age of an image as text, such as ``3 d``.

    :param created: the time in Glance's format.
    """
    began = datetime.datetime.fromisoformat(created)
    passed = datetime.datetime.now(datetime.UTC) - began
    seconds = max(int(passed.total_seconds()), 0)
    for size, unit in _UNITS:
        if seconds >= size:
            return f"{seconds // size} {unit}"
    return "0 s"
