# SPDX-License-Identifier: Apache-2.0
"""Determines which properties a new image inherits from the previous one.

A load sets properties that describe the file. All other properties of our
images were set by an operator, for the cloud's hypervisors and schedulers, so
the next image needs them as well. For an image of another tool, it is unknown
which properties describe only its file.
"""

import collections.abc
import dataclasses
import typing

from trove_tools import errors
from trove_tools.cloud import glance
from trove_tools.cloud import image as _image
from trove_tools.cloud import trove
from trove_tools.cloud.image import Image

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
