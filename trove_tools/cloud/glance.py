# SPDX-License-Identifier: Apache-2.0
"""Images in Glance: what is kept at them, and how they are changed.

Trove serves the newest active image that carries a version's tags.  So an
image is created with its properties and sent without any tags; one single
update gives it those and marks it as complete, after Glance's digest of it
was compared with ours: Trove sees it complete or not at all.  Taking the
tags from an image makes Trove go back to the one before, as suddenly.
"""

import collections.abc
import dataclasses
import typing

from trove_tools import errors
from trove_tools import imagefile
from trove_tools import manifest
from trove_tools.cloud import connection
from trove_tools.cloud import failures
from trove_tools.cloud import retrying

Record = dict[str, typing.Any]

#: What Glance keeps of ours begins with this.
PREFIX = "trove_tools_"
#: Stands at every image of ours from its first moment.
KIND = PREFIX + "kind"
GUEST = "guest"
SHA256 = PREFIX + "sha256"
SERIES = PREFIX + "series"
AGENT = PREFIX + "agent_version"
#: How the image was verified, or ``no``; whether its agent was built from a
#: checkout with uncommitted changes.
VERIFIED = PREFIX + "verified"
DIRTY = PREFIX + "agent_dirty"
#: Stands at an image until it is complete, and names who sends it.
UPLOADING = PREFIX + "uploading"
#: The datastore versions that an image was loaded for, as
#: ``mariadb:11.8,mysql:8.4``, and those of them that went back to an older
#: image.
SERVES = PREFIX + "serves"
WITHDRAWN = PREFIX + "withdrawn"

_PATCH = "application/openstack-images-v2.1-json-patch"

#: Images in one answer; Glance's own default is 25.
_PAGE = 200


@dataclasses.dataclass(frozen=True)
class Description:
    """What an image in Glance shall be like.

    :param tags: all that it must carry; others are left alone.
    :param fields: fields and properties, with their values; nothing for a
        property that it must not have.
    :param serves: the datastore versions that it is loaded for.
    :param defaults: properties of the first image of a version; those after
        it have what the one before has.
    :param members: the ids of the projects that it is shared with; others
        are left alone.
    """

    tags: tuple[str, ...]
    fields: dict[str, typing.Any]
    serves: tuple[str, ...] = ()
    defaults: dict[str, str] = dataclasses.field(default_factory=dict)
    members: tuple[str, ...] = ()


@dataclasses.dataclass(frozen=True)
class Content:
    """The bytes of an image.

    :param sha256: their digest, by which Glance's images are found again.
    :param sha512: the digest that nearly every Glance computes itself.
    :param url: where else they can be had.
    """

    file: imagefile.ImageFile
    sha256: str
    sha512: str
    url: str | None = None

    def wrong(self, record: Record) -> str | None:
        """Say in what an image in Glance has other bytes, if it has.

        Only what Glance found out itself counts here, as properties can be
        set by anybody: a digest of its operator's choosing, nearly always
        sha512, and in old clouds an MD5 sum alone.
        """
        name = record.get("os_hash_algo") or "md5"
        theirs = record.get("os_hash_value") or record.get("checksum")
        if record.get("size") != self.file.size:
            return f"{record.get('size')} bytes, not {self.file.size}"
        ours = {"sha256": self.sha256, "sha512": self.sha512}.get(name)
        if ours is None:
            ours = manifest.digests(self.file.path, [name])[name]
        return None if theirs == ours else f"{name} {theirs}, not {ours}"

    def check_file(self) -> None:
        """Read the file, and make sure that it has these digests.

        :raises ImageError: it has others.
        """
        sha256 = manifest.digests(self.file.path, ["sha256"])["sha256"]
        if sha256 != self.sha256:
            raise errors.ImageError(
                f"{self.file.path} is not the image that its manifest"
                f" describes: its sha256 is {sha256}, the manifest says"
                f" {self.sha256}",
                hint="the file was damaged or changed after the build: copy"
                " the image and its .d directory again, or build it again",
            )


def complete(record: Record) -> bool:
    """Tell whether an image may be used."""
    return record["status"] == "active" and UPLOADING not in record


def serves(record: Record) -> list[str]:
    """Return the datastore versions that an image was loaded for."""
    return _words(record, SERVES)


def withdrawn(record: Record) -> list[str]:
    """Return those of them that went back to an older image."""
    return _words(record, WITHDRAWN)


def _words(record: Record, name: str) -> list[str]:
    return [word for word in (record.get(name) or "").split(",") if word]


def changes(
    record: Record, description: Description
) -> list[dict[str, typing.Any]]:
    """Return the JSON patch that makes an image what it shall be.

    :param record: the image as Glance has it.
    :param description: what it shall be like.
    :returns: nothing where nothing differs.
    """
    known = serves(record)
    new = [name for name in description.serves if name not in known]
    back = [n for n in withdrawn(record) if n not in description.serves]
    fields = {
        **description.fields,
        UPLOADING: None,
        WITHDRAWN: ",".join(back) or None,
    }
    if new:
        fields[SERVES] = ",".join([*known, *new])
    missing = [tag for tag in description.tags if tag not in record["tags"]]
    if missing:
        fields = {"tags": [*record["tags"], *missing], **fields}
    return _patch(record, fields)


def withdrawal(
    record: Record,
    name: str,
    tags: collections.abc.Collection[str] = (),
) -> list[dict[str, typing.Any]]:
    """Return the JSON patch after which an image serves a version no more.

    :param name: the version's, as ``mariadb:11.8``.
    :param tags: those that the image loses.
    """
    kept = [tag for tag in record["tags"] if tag not in tags]
    back = [*(n for n in withdrawn(record) if n != name), name]
    return _patch(record, {"tags": kept, WITHDRAWN: ",".join(back)})


def _patch(
    record: Record, fields: collections.abc.Mapping[str, typing.Any]
) -> list[dict[str, typing.Any]]:
    patch = []
    for name, value in fields.items():
        if record.get(name) == value:
            continue
        if value is None:
            patch.append({"op": "remove", "path": f"/{name}"})
        else:
            op = "replace" if name in record else "add"
            patch.append({"op": op, "path": f"/{name}", "value": value})
    return patch


class Images:
    """The images of a cloud.

    :param cloud: the cloud.
    """

    def __init__(self, cloud: connection.Cloud) -> None:
        self.service = cloud.images
        self.owner = cloud.owner

    def served(self, tags: collections.abc.Sequence[str]) -> Record | None:
        """Return the image that Trove takes for these tags, if any.

        The same question that Trove asks: the newest active one.
        """
        found = self._tagged(tags, limit=1)
        return found[0] if found else None

    def tagged(self, tags: collections.abc.Sequence[str]) -> list[Record]:
        """Return all images that Trove might take, in its order."""
        return self._tagged(tags, all_pages=True, limit=_PAGE)

    def _tagged(
        self, tags: collections.abc.Sequence[str], **how: typing.Any
    ) -> list[Record]:
        return self._list(
            tag=list(tags), status="active", sort="created_at:desc", **how
        )

    def ours(self) -> list[Record]:
        """Return all images that were loaded, complete or not.

        The newest comes first.  An admin sees the images of all projects,
        and whoever owns one may withdraw it, or lie about it: those are
        not ours.
        """
        return self._list(
            all_pages=True,
            **{KIND: GUEST},
            owner=self.owner,
            visibility="all",
            sort="created_at:desc",
            limit=_PAGE,
        )

    def is_ours(self, record: Record) -> bool:
        """Tell whether an image may be changed or removed."""
        return bool(
            record.get(KIND) == GUEST and record.get("owner") == self.owner
        )

    def get(self, image_id: str) -> Record | None:
        """Return an image, if it is there."""
        try:
            record: Record = self.service.read(
                f"/images/{image_id}", "looking for an image"
            )
        except failures.Refused as exc:
            if exc.status == 404:
                return None
            raise
        return record

    def _list(
        self, all_pages: bool = False, **filters: typing.Any
    ) -> list[Record]:
        doing = "looking for images"
        answer = self.service.read("/images", doing, params=filters)
        records: list[Record] = list(answer["images"])
        while all_pages and answer.get("next"):
            last = {"marker": records[-1]["id"]}
            answer = self.service.read(
                "/images", doing, params={**filters, **last}
            )
            records += answer["images"]
        return records

    def fields(self) -> frozenset[str]:
        """Return the names of Glance's own fields; all others are properties.

        Glance publishes them as a JSON schema, in which an operator can
        describe properties, too: those have ``is_base`` as false.
        """
        known = self.service.read(
            "/schemas/image", "asking for the fields of images"
        )["properties"]
        return frozenset(
            name for name, field in known.items() if field.get("is_base", True)
        )

    def members(self, image_id: str) -> list[str]:
        """Return the ids of the projects that an image is shared with."""
        answer = self.service.read(
            f"/images/{image_id}/members", "listing an image's members"
        )
        return [member["member_id"] for member in answer["members"]]

    def share(
        self, image_id: str, members: collections.abc.Collection[str]
    ) -> bool:
        """Share an image with projects; it stays shared with others.

        :param image_id: an image whose visibility is ``shared``.
        :param members: the ids of the projects.
        :returns: whether there was anything to change.
        """
        changed = False

        def once() -> None:
            nonlocal changed
            known = self.members(image_id)
            for member in members:
                if member not in known:
                    changed = True
                    self.service.change(
                        "POST",
                        f"/images/{image_id}/members",
                        "sharing the image",
                        again=False,
                        json={"member": member},
                    )

        if members:
            retrying.persistently(
                once, self.service.notify, _may_pass_or_conflict
            )
        return changed

    def create(self, record: Record) -> None:
        """Create an image without bytes.

        :param record: its id, fields and properties.
        :raises Refused: with 409, where there is or was one of this id.
        """
        self.service.change(
            "POST", "/images", "creating an image", again=False, json=record
        )

    def update(self, record: Record, description: Description) -> bool:
        """Make an image what it shall be, in one update.

        :returns: whether there was anything to change.
        """
        return self.patch(record, lambda now: changes(now, description))

    def patch(
        self,
        record: Record,
        patch: collections.abc.Callable[[Record], list[dict[str, typing.Any]]],
    ) -> bool:
        """Change an image in one update.

        An update whose answer was lost may have been made, and cannot be
        made twice; so each attempt begins with the image as it is then.

        :param patch: returns the JSON patch for the image as it is.
        :returns: whether there was anything to change.
        """
        current: Record | None = record
        changed = False

        def once() -> None:
            nonlocal current, changed
            if current is None:
                current = self.get(record["id"]) or record
            wanted, current = patch(current), None
            if wanted:
                changed = True
                self.service.change(
                    "PATCH",
                    f"/images/{record['id']}",
                    "describing the image",
                    again=False,
                    json=wanted,
                    headers={"Content-Type": _PATCH},
                )

        retrying.persistently(once, self.service.notify, _may_pass_or_conflict)
        return changed

    def delete(self, image_id: str) -> None:
        """Remove an image; one that has gone already is no error.

        Glance may just be noticing that an upload broke off, and then
        changes the image itself: a removal at that moment can fail.
        """

        def once() -> None:
            try:
                self.service.change(
                    "DELETE",
                    f"/images/{image_id}",
                    "removing the image",
                    again=False,
                )
            except failures.Refused as exc:
                if exc.status != 404:
                    raise

        retrying.persistently(once, worth=_may_pass_or_conflict)


def _may_pass_or_conflict(exc: BaseException) -> bool:
    # somebody, or Glance itself, is changing the image right now
    conflict = isinstance(exc, failures.Refused) and exc.status == 409
    return conflict or failures.may_pass(exc)
