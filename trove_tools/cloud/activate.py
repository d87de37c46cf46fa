# SPDX-License-Identifier: Apache-2.0
"""Make a registered datastore version the one that users get."""

import typing

from trove_tools import console
from trove_tools import errors
from trove_tools.cloud import connection
from trove_tools.cloud import glance
from trove_tools.cloud import trove


def activate(
    cloud: connection.Cloud,
    datastore: str,
    version: str | None,
    screen: console.Console,
) -> dict[str, typing.Any]:
    """Make a version active and its datastore's default.

    :param cloud: the cloud.
    :param datastore: the datastore's name.
    :param version: the version's; the newest registered when not given.
    :param screen: is told what is done.
    :returns: what is there now.
    :raises UsageError: there is no such datastore or version.
    :raises CloudError: no image serves it, or the cloud refused.
    """
    versions = trove.Versions(cloud.databases)
    registered = versions.all()
    record = _choose(registered, datastore, version, screen)
    image = _image(glance.Images(cloud, screen), record)
    name = trove.describe(record)
    body = trove.activation(record)
    before = [
        trove.describe(each)
        for each in registered
        if each["datastore_name"] == datastore and each["default"]
    ]
    if body:
        versions.edit(record, body)
        record = versions.get(record["id"])
        told = f"{name} is active and the default now"
        if "default" in body and before:
            told += f", instead of {before[0]}"
        screen.say(told)
    else:
        screen.say(f"{name} is active and the default already")
    return {
        "datastore": datastore,
        "version": record["name"],
        "version_id": record["id"],
        "active": record["active"],
        "default": record["default"],
        "changed": bool(body),
        "image": image["name"],
        "image_id": image["id"],
    }


def _choose(
    registered: list[trove.Record],
    datastore: str,
    version: str | None,
    screen: console.Console,
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
            hint=f"{near}; an image is loaded with: load-trove-image IMAGE",
        )
    if version is not None:
        if version not in mine:
            near = errors.nearest(version, mine, f"versions of {datastore}")
            raise errors.UsageError(
                f"Trove knows no version {version} of {datastore}",
                hint=f"{near}; an image is loaded with:"
                " load-trove-image IMAGE",
            )
        return mine[version]
    chosen = trove.newest(list(mine.values()))
    if len(mine) > 1:
        others = sorted(set(mine) - {chosen["name"]})
        screen.say(
            f"taking {trove.describe(chosen)}, the newest of the registered"
            f" versions (others: {', '.join(others)})"
        )
    return chosen


def _image(images: glance.Images, record: trove.Record) -> glance.Record:
    """Return the image that guests of a version start from.

    :raises CloudError: there is none, and so no guest could start.
    """
    name = trove.describe(record)
    pinned = record.get("image")
    if pinned:
        image = images.get(pinned)
        if image is not None and image["status"] == "active":
            return image
        lacking = f"image {pinned}, to which {name} is pinned, is"
        state = f"{lacking} {image['status']}" if image else f"{lacking} gone"
    else:
        tags = trove.image_tags(record)
        image = images.served(tags)
        if image is not None:
            return image
        state = f"no active image carries the tags {', '.join(tags)}"
    raise errors.CloudError(
        f"no guest of {name} could start: {state}",
        hint="load an image first: load-trove-image IMAGE",
    )
