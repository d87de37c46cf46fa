# SPDX-License-Identifier: Apache-2.0
"""What a new image takes over from the one that it replaces.

A load puts properties at an image that describe the file in it.  Whatever
else stands at an image of ours was put there by an operator, for the cloud's
hypervisors and schedulers, and the next image needs it as well.  At an image
that something else made, nobody can tell what belongs to that file alone.
"""

import collections.abc
import dataclasses
import typing

from trove_tools import errors
from trove_tools.cloud import glance
from trove_tools.cloud import image as _image
from trove_tools.cloud import trove
from trove_tools.cloud.image import Image

#: Properties that this tool and Glance keep for themselves begin so.
_RESERVED = (_image.PREFIX, "os_glance_")

#: What a load says of a file, as far as it knows it.
_FACTS = ("architecture", "os_type", "os_distro", "os_version")

#: Those of a signature, which holds for the bytes of one image only.
_SIGNATURE = "img_signature"


@dataclasses.dataclass(frozen=True)
class Succession:
    """A new image's description, and how it relates to the one before.

    :param description: what the new image shall be like.
    :param carried: the properties that it takes over, but for those that
        a first image has, too.
    :param left: what it does not, and the option that gives it to it.
    """

    description: _image.Description
    carried: dict[str, str] = dataclasses.field(default_factory=dict)
    left: tuple[str, ...] = ()


def refuse_fields(
    names: collections.abc.Iterable[str], fields: collections.abc.Set[str]
) -> None:
    """Make sure that what was given as a property is one.

    :param names: of the properties.
    :param fields: of Glance's own fields.
    :raises UsageError: one of them is a field.
    """
    for name in names:
        if name in fields:
            raise errors.UsageError(
                f"--property {name}: {name} is no property of an image, but"
                " a field of Glance's own",
                hint="--name, --tag, --visibility, --member and --protected"
                " set what a load may choose",
            )


def succeed(
    images: glance.Images,
    description: _image.Description,
    before: collections.abc.Mapping[str, Image],
) -> Succession:
    """Describe a new image, with what it takes over from those before.

    :param images: those of the cloud.
    :param description: what the load itself says of the new image.
    :param before: the image that each of its versions has now, by name.
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
    """Return the properties of an image that its file does not explain."""
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
    """Yield what else is chosen for each image, and differs."""
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
