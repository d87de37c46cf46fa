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

from trove_tools.cloud import connection
from trove_tools.cloud import failures
from trove_tools.cloud import retry

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

            if changed and not self.service.dry:
                retry.confirm(
                    lambda: self.members(image_id),
                    lambda found: ", ".join(set(members) - set(found)) or None,
                    "sharing the image",
                    "Glance",
                )

        if members:
            retry.persistently(
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
                self._confirm(
                    record["id"],
                    lambda found: _not_done(found, wanted),
                    "describing the image",
                )

        retry.persistently(once, self.service.notify, _may_pass_or_conflict)
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
            self._confirm(
                image_id,
                _not_removed,
                "removing the image",
            )

        retry.persistently(once, worth=_may_pass_or_conflict)

    def _confirm(
        self,
        image_id: str,
        missing: collections.abc.Callable[[Record | None], str | None],
        doing: str,
    ) -> None:
        if not self.service.dry:
            retry.confirm(
                lambda: self.get(image_id), missing, doing, "Glance"
            )


def _not_done(
    record: Record | None, patch: list[dict[str, typing.Any]]
) -> str | None:
    """Say what of a JSON patch an image does not show, if anything."""
    if record is None:
        return "the image is gone"
    for change in patch:
        name = change["path"].removeprefix("/")
        found, wanted = record.get(name), change.get("value")
        if name == "tags":
            found, wanted = set(record["tags"]), set(change["value"])
        if found != wanted:
            return f"{name} of image {record['id']} is {found!r}"
    return None


def _not_removed(record: Record | None) -> str | None:
    # a cloud with delayed_delete shows it to an administrator
    if record is None or record["status"] in ("deleted", "pending_delete"):
        return None
    return f"image {record['id']} is {record['status']}"


def _may_pass_or_conflict(exc: BaseException) -> bool:
    # somebody, or Glance itself, is changing the image right now
    conflict = isinstance(exc, failures.Refused) and exc.status == 409
    return conflict or failures.may_pass(exc)
