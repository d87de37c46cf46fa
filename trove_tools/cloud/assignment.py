# SPDX-License-Identifier: Apache-2.0
"""Make Trove take one image and no other for a datastore version.

Trove takes the newest image that carries the version's tags.  So images
that are newer than the one wanted lose them, the served one last: Trove
goes from it to the one wanted in one step, and sees nothing in between.
"""

import collections.abc
import itertools

from trove_tools import errors
from trove_tools.cloud import glance
from trove_tools.cloud import trove


class Foreign(errors.CloudError):
    """A newer image that is not ours to change stands before the wanted."""


def serve(
    images: glance.Images,
    record: glance.Record,
    name: str,
    tags: collections.abc.Sequence[str],
) -> bool:
    """Make an image the one that Trove takes for a version.

    :param images: those of the cloud.
    :param record: an image that carries the version's tags.
    :param name: the version, as ``mariadb:11.8``.
    :param tags: those by which Trove looks for its image.
    :returns: whether there was anything to change.
    :raises Foreign: that cannot be had.
    """
    before = list(
        itertools.takewhile(
            lambda other: other["id"] != record["id"],
            images.tagged(tags),
        )
    )
    for other in before:
        if not images.is_ours(other):
            raise Foreign(
                f"for {name}, Trove takes image {other['id']}, which"
                " is newer and was not loaded by this tool",
                hint="take the tags from it: openstack image unset"
                + "".join(f" --tag {tag}" for tag in tags)
                + f" {other['id']}",
            )
    for other in reversed(before):
        withdraw(images, other, name, tags)
    return bool(before)


def withdraw(
    images: glance.Images,
    record: glance.Record,
    name: str,
    tags: collections.abc.Sequence[str],
) -> None:
    """Make an image serve a version no more.

    :raises CloudError: it would then not serve others, either.
    """
    others = [
        trove.tags(other) for other in glance.serves(record) if other != name
    ]
    needed = {tag for each in others for tag in each}
    taken = [tag for tag in tags if tag not in needed]
    if not taken:
        raise errors.CloudError(
            f"image {record['id']} cannot be withdrawn from {name} alone:"
            f" it also serves {', '.join(glance.serves(record))}",
            hint="register its versions by image id: load-trove-image --pin",
        )
    images.patch(record, lambda now: glance.withdrawal(now, name, taken))


def mark(images: glance.Images, record: glance.Record, name: str) -> None:
    """Note at an image that a version went back to an older one."""
    images.patch(record, lambda now: glance.withdrawal(now, name))


def check_clashes(
    tags: collections.abc.Iterable[str],
    targets: collections.abc.Iterable[trove.Target],
    registered: collections.abc.Iterable[trove.Record],
) -> None:
    """Make sure that an image will not serve versions it is not for.

    Tags of ``mysql:8.4`` and ``percona:8.0`` together find ``mysql:8.0``,
    too; and a version that looks for ``mysql`` alone finds every MySQL.

    :param tags: those that the image shall carry.
    :param targets: the versions that it is for.
    :param registered: all versions.
    :raises CloudError: there is such a version.
    """
    carried = set(tags)
    names = {target.name for target in targets}
    for record in registered:
        looked_for = trove.image_tags(record)
        if record.get("image") or not looked_for:
            continue
        if trove.describe(record) not in names and carried >= set(looked_for):
            raise errors.CloudError(
                f"{trove.describe(record)} would get this image, too: it"
                f" looks for the tags {', '.join(looked_for)}",
                hint="register the image by its id: --pin; or give that"
                " version tags of its own: openstack datastore version set"
                f" {record['id']} --image-tags ...",
            )
