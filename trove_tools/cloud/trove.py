# SPDX-License-Identifier: Apache-2.0
"""Datastores and their versions in Trove, through its management API.

A version is found by its datastore's and its own name.  Facts of Trove 26
that shape this module: creating answers 202 and no body, so the list is
read again; the datastore is created along the way; an image (or one with
the tags) must exist before; a version holds tags or an image id, and the
id wins; both tags and the number of tags are limited.
"""

import collections.abc
import dataclasses
import re
import typing
import urllib.parse

from trove_tools import errors
from trove_tools.cloud import connection
from trove_tools.cloud import failures
from trove_tools.cloud import glance
from trove_tools.cloud import retry
from trove_tools.host import bounds

Record = dict[str, typing.Any]

_PATH = "/mgmt/datastore-versions"

#: Instances in one answer; Trove's own limit is lower or the same.
_PAGE = 100

#: Stands for the id of what a dry run would create.
NEW = "<new>"

#: Trove's own limit of a tag's length.
_TAG_LENGTH = 20

#: And of every other name's.
_NAME_LENGTH = 255


@dataclasses.dataclass(frozen=True)
class Target:
    """A datastore version as it is to be registered.

    :param manager: what the guest agent runs for it.
    """

    datastore: str
    version: str
    manager: str

    @property
    def name(self) -> str:
        """The version as people write it: ``mariadb:11.8``."""
        return f"{self.datastore}:{self.version}"

    def among(
        self, records: collections.abc.Iterable[Record]
    ) -> Record | None:
        """Return the version as it is registered, if it is."""
        for record in records:
            if describe(record) == self.name:
                return record
        return None

    @property
    def tags(self) -> tuple[str, ...]:
        """What an image of it carries, and Trove looks for."""
        return tags(self.name)

    def check_names(self) -> None:
        """Make sure that Trove can register the version.

        It refuses some names only after the image was sent, and takes
        others, such as one that ends in a blank, that nobody finds again.

        :raises UsageError: a name cannot be registered.
        """
        for name, option in (
            (self.datastore, "datastore"),
            (self.version, "version"),
            (self.manager, "manager"),
        ):
            if (
                len(name) > _NAME_LENGTH
                or not name.isprintable()
                or name != name.strip()
                or not re.search("[0-9a-zA-Z]", name)
            ):
                raise errors.UsageError(
                    f"Trove registers no {option} of the name {name!r}",
                    hint=f"correct --{option}, or the image's manifest: 1 to"
                    f" {_NAME_LENGTH} printable characters, with a letter or"
                    " digit, and no blank at either end",
                )

    def check_tags(self) -> None:
        """Make sure that Trove takes the tags.

        :raises UsageError: one of them is too long, or has a comma, which
            stands between tags in Trove's database.
        """
        for tag in self.tags:
            if len(tag) > _TAG_LENGTH or "," in tag:
                raise errors.UsageError(
                    f"Trove takes no image tag {tag!r}: it has more than"
                    f" {_TAG_LENGTH} characters, or a comma",
                    hint="register the version by its image: --pin",
                )


def tags(name: str) -> tuple[str, ...]:
    """Return what an image of a version carries.

    :param name: the version's, as ``mariadb:11.8``.
    """
    return ("trove", *name.split(":", 1))


def describe(record: Record) -> str:
    """Return a version as people write it: ``mariadb:11.8``."""
    return f"{record['datastore_name']}:{record['name']}"


def columns(record: Record) -> dict[str, typing.Any]:
    """Return what every table says of a datastore version."""
    return {
        "datastore": record["datastore_name"],
        "version": record["name"],
        "version_id": record["id"],
        "active": record["active"],
        "default": record["default"],
    }


def image_tags(record: Record) -> list[str]:
    """Return the tags of a version; Trove shows none as ``['']``."""
    return [tag for tag in record.get("image_tags") or [] if tag]


def newest(records: collections.abc.Sequence[Record]) -> Record:
    """Return the version with the highest number: 11.8 before 10.11."""
    return max(records, key=order)


def order(record: Record) -> list[tuple[int, int | str]]:
    """Return what versions of one datastore are sorted by."""
    parts = re.findall(r"\d+|[^\W\d]+", record["name"])
    order: list[tuple[int, int | str]]
    order = [
        (1, bounds.parse_number(p)) if p.isdecimal() else (0, p)
        for p in parts
    ]
    # the end is after a word and before a number: 8.4-rc, 8.4, 8.4.1
    return [*order, (1, -1)]


class Versions:
    """The datastore versions of a cloud.

    :param service: Trove.
    """

    def __init__(self, service: connection.Service) -> None:
        self._service = service

    def all(self) -> list[Record]:
        """Return all versions of all datastores, active or not."""
        records: list[Record] = self._service.read(
            _PATH, "listing datastore versions"
        )["versions"]
        return records

    def get(self, version_id: str) -> Record:
        """Return a version by its id."""
        record: Record = self._service.read(
            f"{_PATH}/{version_id}", "reading a datastore version"
        )["version"]
        return record

    def register(
        self,
        target: Target,
        image_id: str | None,
        registered: collections.abc.Sequence[Record] | None = None,
    ) -> tuple[Record, str]:
        """Have a version registered as it shall be.

        A new version is inactive until it is activated; one that is known
        already stays what it is, and only what differs is changed.

        :param target: the version.
        :param image_id: the image it is pinned to; by tags when not given.
        :param registered: what :meth:`all` has just returned.
        :returns: the version, and ``created``, ``changed`` or
            ``unchanged``.
        """
        known = registered
        how = "unchanged"

        def once() -> Record:
            # an answer that was lost may have been a good one, and another
            # load may do the same: each attempt looks anew
            nonlocal known, how
            record = target.among(self.all() if known is None else known)
            known = None
            if record is None:
                how = "created"
                return self._create(target, image_id)
            body = difference(record, target, image_id)
            if not body:
                return record
            how = how if how == "created" else "changed"
            return self._change(record, body)

        def worth(exc: BaseException) -> bool:
            exists = isinstance(exc, failures.Refused) and exc.status == 400
            return failures.may_pass(exc) or (
                exists and "already exists" in str(exc)
            )

        record = retry.persistently(once, self._service.notify, worth)
        return record, how

    def activate(self, record: Record) -> tuple[Record, bool]:
        """Make a version active and its datastore's default.

        :returns: the version, and whether there was anything to change.
        """
        body = activation(record)
        return (self.edit(record, body), True) if body else (record, False)

    def edit(self, record: Record, body: dict[str, typing.Any]) -> Record:
        """Change what ``body`` says of a version.

        :returns: the version as it is then.
        """
        return retry.persistently(
            lambda: self._change(record, body), self._service.notify
        )

    def _change(self, record: Record, body: dict[str, typing.Any]) -> Record:
        doing = f"changing {describe(record)}"
        self._service.change(
            "PATCH",
            f"{_PATH}/{record['id']}",
            doing,
            again=False,
            json=body,
        )
        if self._service.dry:
            return {**record, **body}
        return retry.confirm(
            lambda: self.get(record["id"]),
            lambda found: _not_done(found, body),
            doing,
            "Trove",
        )

    def _create(self, target: Target, image_id: str | None) -> Record:
        version = {
            "datastore_name": target.datastore,
            "name": target.version,
            "version": target.version,
            "datastore_manager": target.manager,
            "packages": [],
            "active": False,
            "default": False,
        }
        if image_id:
            version["image"] = image_id
        else:
            version["image_tags"] = list(target.tags)
        try:
            self._service.change(
                "POST",
                _PATH,
                f"registering {target.name}",
                again=False,
                json={"version": version},
            )
        except failures.Refused as exc:
            if exc.status == 500:
                # Trove looks the manager's settings up without a check
                exc.hint = (
                    f"does this Trove know a manager {target.manager}?"
                    " its log says more"
                )
            raise
        if self._service.dry:
            return {"id": NEW, "image": None, **version}
        record = retry.confirm(
            lambda: target.among(self.all()),
            lambda found: None if found else "it is not listed",
            f"registering {target.name}",
            "Trove",
        )
        assert record is not None
        return record


def _not_done(record: Record, body: dict[str, typing.Any]) -> str | None:
    """Say what of a change a version does not show, if anything."""
    for name, wanted in body.items():
        found = record.get(name)
        if name == "image_tags":
            found, wanted = set(image_tags(record)), set(wanted)
        if found != wanted:
            return f"{name} of {describe(record)} is {found!r}"
    return None


def image(images: glance.Images, record: Record) -> glance.Record | None:
    """Return the image that a version has now, whatever its state."""
    if record.get("image"):
        return images.get(record["image"])
    wanted = image_tags(record)
    return images.served(wanted) if wanted else None


def instances(
    service: connection.Service, again: bool = True
) -> list[Record]:
    """Return all databases of all projects.

    :param service: Trove.
    :param again: ask again where a failure may pass.
    """
    params: dict[str, typing.Any] = {
        "deleted": "false", "include_clustered": "true", "limit": _PAGE,
    }  # fmt: skip
    found: list[Record] = []
    while True:
        answer = service.read(
            "/mgmt/instances", "looking for instances", again, params=params
        )
        found += answer["instances"]
        following = [
            urllib.parse.parse_qs(urllib.parse.urlsplit(link["href"]).query)
            for link in answer.get("links", [])
            if link.get("rel") == "next"
        ]
        if not following or "marker" not in following[0]:
            return found
        params["marker"] = following[0]["marker"][0]


def difference(
    record: Record, target: Target, image_id: str | None
) -> dict[str, typing.Any]:
    """Return what must change at a version that is registered already."""
    body: dict[str, typing.Any] = {}
    if record["datastore_manager"] != target.manager:
        body["datastore_manager"] = target.manager
    if image_id:
        if record.get("image") != image_id:
            body["image"] = image_id
    elif record.get("image") or set(image_tags(record)) != set(target.tags):
        body["image_tags"] = list(target.tags)
    return body


def activation(record: Record) -> dict[str, typing.Any]:
    """Return what must change at a version to make it the default."""
    return {name: True for name in ("active", "default") if not record[name]}
