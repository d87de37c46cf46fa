# SPDX-License-Identifier: Apache-2.0
"""Lists the images of a datastore version, and switches between them.

All facts come from the tags and properties of the images. Trove uses the
newest image that has the version's tags. If a version was rolled back from an
image, that image is not a previous image of the version any more, and does not
count among the images to keep.

A new image inherits properties from the previous one. A load sets the
properties that describe the file. All other properties of our images were set
by an operator, for the cloud's hypervisors and schedulers, so the next image
needs them as well. For an image of another tool, it is unknown which
properties describe only its file.
"""

import collections.abc
import dataclasses
import itertools
import typing

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
        (image for image in images if image.complete and name in image.serves),
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


#: Prefixes of the properties that are reserved for this tool and for Glance.
_RESERVED = (_image.PREFIX, "os_glance_")

#: The properties of a file that a load sets.
_FACTS = ("architecture", "os_type", "os_distro", "os_version")

#: The properties of a signature, which is valid only for one file.
_SIGNATURE = "img_signature"


@dataclasses.dataclass(frozen=True)
class Succession:
    """The description of a new image and its inherited properties.

    :param description: the wanted state of the new image.
    :param carried: the inherited properties, except the defaults of a first
        image.
    :param left: the settings that are not inherited, and the options that set
        them.
    """

    description: _image.Description
    carried: dict[str, str] = dataclasses.field(default_factory=dict)
    left: tuple[str, ...] = ()


def refuse_fields(
    names: collections.abc.Iterable[str], fields: collections.abc.Set[str]
) -> None:
    """Check that no property is one of Glance's own fields.

    :param names: the names of the properties.
    :param fields: the names of Glance's fields.
    :raises UsageError: a property is a field.
    """
    for name in names:
        if name in fields:
            raise errors.UsageError(
                f"--property {name}: {name} is a field of Glance, not a"
                " property",
                hint="--name, --tag, --visibility, --member and --protected"
                " set what a load may choose",
            )


def succeed(
    images: glance.Images,
    description: _image.Description,
    before: collections.abc.Mapping[str, Image],
) -> Succession:
    """Return the description of a new image with its inherited properties.

    :param images: the images of the cloud.
    :param description: the description of the load.
    :param before: the current image of each version, by name.
    """
    fields = images.list_fields() if before else frozenset()
    carried: dict[str, str] = {}
    left: list[str] = []
    ours = False
    for image in {image.id: image for image in before.values()}.values():
        properties = _properties(image, description, fields)
        if images.is_ours(image):
            ours = True
            for name, value in properties.items():
                if name.startswith(_SIGNATURE):
                    left.append(f"{name}, which signs the bytes before")
                elif carried.setdefault(name, value) != value:
                    left.append(f"--property {name}={value}")
        else:
            left += [
                f"--property {name}={value}"
                for name, value in sorted(properties.items())
            ]
        left += _settings(images, image, description)
    defaults = {} if ours else description.defaults
    return Succession(
        dataclasses.replace(
            description, fields={**defaults, **carried, **description.fields}
        ),
        {
            name: value
            for name, value in carried.items()
            if description.defaults.get(name) != value
        },
        tuple(dict.fromkeys(left)),
    )


def _properties(
    image: Image,
    description: _image.Description,
    fields: collections.abc.Set[str],
) -> dict[str, str]:
    """Return the properties of an image that do not describe its file."""
    return {
        name: value
        for name, value in image.fields.items()
        if name not in fields
        and name not in description.fields
        and name not in _FACTS
        and not name.startswith(_RESERVED)
    }


def _settings(
    images: glance.Images,
    image: Image,
    description: _image.Description,
) -> collections.abc.Iterator[str]:
    """Yield options for the other settings that are not inherited."""
    fields: dict[str, typing.Any] = description.fields
    visibility = image.fields["visibility"]
    if visibility not in ("private", fields.get("visibility")):
        yield f"--visibility {visibility}"
    if image.protected and "protected" not in fields:
        yield "--protected"
    known = {*description.tags, *trove.tags("")}
    for name in image.serves:
        known |= {*trove.tags(name)}
    if images.is_ours(image):
        yield from (f"--tag {tag}" for tag in image.tags if tag not in known)
    if visibility == "shared":
        yield from (
            f"--member {member}"
            for member in images.list_members(image.id)
            if member not in description.members
        )
