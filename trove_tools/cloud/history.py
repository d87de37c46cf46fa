# SPDX-License-Identifier: Apache-2.0
"""Lists the images of a datastore version, and switches between them.

All facts come from the tags and properties of the images. Trove uses the
newest image that has the version's tags. If a version was rolled back from an
image, that image is not a previous image of the version any more, and does not
count among the images to keep.
"""

import collections.abc
import dataclasses
import itertools

from trove_tools import errors
from trove_tools.cloud import glance
from trove_tools.cloud import image as _image
from trove_tools.cloud import trove
from trove_tools.cloud.image import Image

Images = collections.abc.Iterable[Image]


class ForeignImageError(errors.CloudError):
    """A newer image, which trove-tools must not change, has the same tags."""


def list_images(images: Images, name: str) -> list[Image]:
    """Return the complete images that were loaded for a version.

    :param images: images that trove-tools loaded.
    :param name: the version's name, such as ``mariadb:11.8``.
    :returns: the newest first.
    """
    return sorted(
        (each for each in images if each.complete and name in each.serves),
        key=lambda each: each.created_at,
        reverse=True,
    )


def find_previous(images: Images, name: str, current: Image) -> Image | None:
    """Return the previous image of a version, if there is one.

    :param images: images that trove-tools loaded.
    :param name: the version's name.
    :param current: the current image of the version.
    """
    return next(iter(_list_older(images, name, current)), None)


def list_rolled_back(images: Images, name: str, current: Image) -> list[Image]:
    """Return the newer images that a version was rolled back from.

    :param images: images that trove-tools loaded.
    :param name: the version's name.
    :param current: the current image of the version.
    :returns: the newest first.
    """
    return [
        image
        for image in list_images(images, name)
        if image.id != current.id
        and image.created_at >= current.created_at
        and name in image.withdrawn
    ]


def _list_older(images: Images, name: str, current: Image) -> list[Image]:
    return [
        image
        for image in list_images(images, name)
        if image.id != current.id
        and image.created_at <= current.created_at
        and name not in image.withdrawn
    ]


def list_surplus(
    images: collections.abc.Sequence[Image],
    currents: collections.abc.Mapping[str, Image],
    keep: int,
    gone: collections.abc.Collection[str] = (),
) -> list[Image]:
    """Return the images that are older than the images to keep.

    An image of several versions is kept as long as one of them keeps it.

    :param images: images that trove-tools loaded.
    :param currents: the current image of each version, by name.
    :param keep: the number of images to keep per version, including the
        current one.
    :param gone: the names of versions that are no longer registered.
    :returns: the oldest first.
    """
    kept = set()
    for name, current in currents.items():
        # after a rollback, the version may return to a newer image
        kept |= {
            image.id
            for image in list_images(images, name)
            if image.created_at >= current.created_at
        }
        older = _list_older(images, name, current)
        kept |= {image.id for image in older[: max(keep, 1) - 1]}
        kept.add(current.id)
    known = {*currents, *gone}
    return sorted(
        (
            image
            for image in images
            if image.complete
            and image.id not in kept
            and image.serves
            and known.issuperset(image.serves)
        ),
        key=lambda image: image.created_at,
    )


def serve_image(
    images: glance.Images,
    image: Image,
    name: str,
    tags: collections.abc.Sequence[str],
) -> bool:
    """Make Trove serve an image for a version.

    The version's tags are removed from all newer images, and from the served
    image last: so Trove switches to the wanted image in one step.

    :param images: the images of the cloud.
    :param image: an image with the version's tags.
    :param name: the version's name, such as ``mariadb:11.8``.
    :param tags: the tags by which Trove finds the version's image.
    :returns: whether a change was necessary.
    :raises ForeignImageError: a newer image was not loaded by this tool.
    """
    newer = list(
        itertools.takewhile(
            lambda other: other.id != image.id, images.list_tagged(tags)
        )
    )
    for other in newer:
        if not images.is_ours(other):
            raise ForeignImageError(
                f"for {name}, Trove takes image {other.id}, which"
                " is newer and was not loaded by this tool",
                hint="take the tags from it: openstack image unset"
                + "".join(f" --tag {tag}" for tag in tags)
                + f" {other.id}",
            )
    for other in reversed(newer):
        withdraw_image(images, other, name, tags)
    return bool(newer)


def withdraw_image(
    images: glance.Images,
    image: Image,
    name: str,
    tags: collections.abc.Sequence[str],
) -> None:
    """Withdraw an image from a version.

    :raises CloudError: the image would also be withdrawn from other versions.
    """
    needed = {
        tag
        for other in image.serves
        if other != name
        for tag in trove.tags(other)
    }
    taken = [tag for tag in tags if tag not in needed]
    if not taken:
        raise errors.CloudError(
            f"image {image.id} cannot be withdrawn from {name} alone:"
            f" it also serves {', '.join(image.serves)}",
            hint="register its versions by image id: load-trove-image --pin",
        )
    images.patch(image, lambda now: _image.withdraw(now, name, taken))


@dataclasses.dataclass(frozen=True)
class Switch:
    """The change of a datastore version by a load.

    :param target: the version.
    :param former: the earlier registration of the version, if any.
    :param version: the current registration.
    :param served: the previous image, if any.
    :param image: the current image.
    """

    target: trove.Target
    former: trove.DatastoreVersion | None
    version: trove.DatastoreVersion
    served: Image | None
    image: Image

    @property
    def was_active(self) -> bool:
        """Whether users could start instances before the load."""
        return bool(self.former and self.former.active)

    @property
    def before(self) -> Image | None:
        """The image of new instances before the load, if it differs."""
        if self.served and self.served.id != self.image.id:
            return self.served
        return None

    @property
    def happened(self) -> bool:
        """Whether the load changed the image of new instances."""
        same = self.was_active and self.served and not self.before
        return self.version.active and not same

    def undo(self, images: glance.Images, keep: int) -> str | None:
        """Return the command that undoes the change.

        :param images: the images of the cloud.
        :param keep: the number of images of the version to keep in Glance.
        :returns: None if no single command undoes it.
        """
        if not self.happened:
            return None
        command = f"openstack datastore version set {self.version.id}"
        if not self.was_active:
            return f"{command} --disable"
        if self.before is None:
            return None
        before, name = self.before.id, self.target.name
        if images.is_ours(self.before):
            if keep < 2 or not list_images([self.before], name):
                return None
            back = f"activate-trove-image --rollback {name}"
            return f"{back} --to-image {before}"
        if self.version.image_id:
            return f"{command} --image {before}"
        tags = "".join(f" --tag {tag}" for tag in self.target.tags)
        return f"openstack image unset{tags} {self.image.id}"

    def describe(self, undo: str | None) -> str:
        """Return the change as a sentence.

        :param undo: the result of :meth:`undo`.
        """
        if not self.was_active:
            before = "inactive"
        elif self.before is None:
            before = "no image"
        else:
            before = str(self.before)
        return (
            f"{self.target.name} is live now for new instances; before:"
            f" {before}; undo: {undo or 'load the image before again'}"
        )
