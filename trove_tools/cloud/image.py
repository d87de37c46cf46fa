# SPDX-License-Identifier: Apache-2.0
"""Describes an image in Glance, and makes the patches that change it.

Trove serves the newest active image that has a version's tags. So an image is
created with its properties and uploaded without tags. After Glance's digest
was compared with ours, a single update adds the tags and marks the image as
complete: Trove sees the complete image or none. If the tags are removed from
an image, Trove returns to the previous one, in a single step as well.
"""

import collections.abc
import dataclasses
import typing

Fields = collections.abc.Mapping[str, typing.Any]
Patch = list[dict[str, typing.Any]]

#: The prefix of our properties in Glance.
PREFIX = "trove_tools_"
#: The property that marks our images from their creation.
KIND = PREFIX + "kind"
GUEST = "guest"
SHA256 = PREFIX + "sha256"
SERIES = PREFIX + "series"
AGENT = PREFIX + "agent_version"
#: How the image was verified, or ``no``.
VERIFIED = PREFIX + "verified"
#: Whether the agent was built from a checkout with uncommitted changes.
DIRTY = PREFIX + "agent_dirty"
#: The property of an incomplete image, which names the uploading process.
UPLOADING = PREFIX + "uploading"
#: The datastore versions that an image was loaded for, such as
#: ``mariadb:11.8,mysql:8.4``.
SERVES = PREFIX + "serves"
#: The versions among them that were rolled back from this image.
WITHDRAWN = PREFIX + "withdrawn"


@dataclasses.dataclass(frozen=True)
class Image:
    """An image in Glance.

    :param created_at: the time in Glance's format; images are sorted by it.
    :param uploader: the process that uploads the image; None once the image
        is complete.
    :param serves: the datastore versions that it was loaded for.
    :param withdrawn: the versions among them that were rolled back from it.
    :param fields: all its fields and properties, as Glance returns them.
    """

    id: str
    name: str | None
    status: str
    created_at: str
    tags: tuple[str, ...]
    protected: bool
    uploader: str | None
    serves: tuple[str, ...]
    withdrawn: tuple[str, ...]
    fields: Fields

    @classmethod
    def from_answer(cls, answer: Fields) -> "Image":
        """Return the image that Glance's JSON describes."""
        return cls(
            id=answer.get("id", ""),
            name=answer.get("name"),
            status=answer.get("status", ""),
            created_at=answer.get("created_at", ""),
            tags=tuple(answer.get("tags", ())),
            protected=bool(answer.get("protected")),
            uploader=answer.get(UPLOADING),
            serves=_split(answer.get(SERVES)),
            withdrawn=_split(answer.get(WITHDRAWN)),
            fields=answer,
        )

    @property
    def complete(self) -> bool:
        """Whether the image may be used."""
        return self.status == "active" and self.uploader is None

    def __str__(self) -> str:
        return f"image {self.name} ({self.id})"


def _split(names: str | None) -> tuple[str, ...]:
    return tuple(name for name in (names or "").split(",") if name)


@dataclasses.dataclass(frozen=True)
class Description:
    """The wanted state of an image in Glance.

    :param tags: the required tags; other tags are not changed.
    :param fields: fields and properties with their values; None removes a
        property.
    :param serves: the datastore versions that it is loaded for.
    :param defaults: properties of the first image of a version; later images
        inherit the properties of the previous one.
    :param members: the ids of the projects that it is shared with; other
        members are not changed.
    """

    tags: tuple[str, ...]
    fields: dict[str, typing.Any]
    serves: tuple[str, ...] = ()
    defaults: dict[str, str] = dataclasses.field(default_factory=dict)
    members: tuple[str, ...] = ()


def describe(image: Image, description: Description) -> Patch:
    """Return the JSON patch that brings an image to its wanted state.

    :param image: the current image.
    :param description: the wanted state.
    :returns: empty if the image is in this state.
    """
    new = [n for n in description.serves if n not in image.serves]
    back = [n for n in image.withdrawn if n not in description.serves]
    fields = {
        **description.fields,
        UPLOADING: None,
        WITHDRAWN: ",".join(back) or None,
    }
    if new:
        fields[SERVES] = ",".join([*image.serves, *new])
    missing = [tag for tag in description.tags if tag not in image.tags]
    if missing:
        fields = {"tags": [*image.tags, *missing], **fields}
    return _patch(image, fields)


def withdraw(
    image: Image, name: str, tags: collections.abc.Collection[str] = ()
) -> Patch:
    """Return the JSON patch that withdraws an image from a version.

    :param name: the version's name, such as ``mariadb:11.8``.
    :param tags: the tags to remove.
    """
    kept = [tag for tag in image.tags if tag not in tags]
    back = [*(n for n in image.withdrawn if n != name), name]
    return _patch(image, {"tags": kept, WITHDRAWN: ",".join(back)})


def _patch(image: Image, fields: Fields) -> Patch:
    patch = []
    for name, value in fields.items():
        if image.fields.get(name) == value:
            continue
        if value is None:
            patch.append({"op": "remove", "path": f"/{name}"})
        else:
            op = "replace" if name in image.fields else "add"
            patch.append({"op": op, "path": f"/{name}", "value": value})
    return patch


def apply(fields: Fields, patch: Patch) -> dict[str, typing.Any]:
    """Return an image's fields after a JSON patch."""
    changed = dict(fields)
    for change in patch:
        name = change["path"].removeprefix("/")
        changed.pop(name, None)
        if change["op"] != "remove":
            changed[name] = change["value"]
    return changed


def find_unchanged(image: Image | None, patch: Patch) -> str | None:
    """Return a message about a change that an image does not show, if any."""
    if image is None:
        return "the image is gone"
    for change in patch:
        name = change["path"].removeprefix("/")
        shown, wanted = image.fields.get(name), change.get("value")
        if name == "tags":
            shown, wanted = set(image.tags), set(change["value"])
        if shown != wanted:
            return f"{name} of image {image.id} is {shown!r}"
    return None
