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

from trove_tools import errors
from trove_tools.cloud import connection
from trove_tools.cloud import failures

Record = dict[str, typing.Any]

_PATH = "/mgmt/datastore-versions"

#: Trove's own limit of a tag's length.
_TAG_LENGTH = 20


@dataclasses.dataclass(frozen=True)
class Target:
    """A datastore version as it is to be registered.

    :param manager: what the guest agent runs for it.
    """

    datastore: str
    version: str
    manager: str

    @property
    def tags(self) -> tuple[str, ...]:
        """What an image of it carries, and Trove looks for."""
        return ("trove", self.datastore, self.version)

    def check_tags(self) -> None:
        """Make sure that Trove takes the tags.

        :raises UsageError: one of them is too long.
        """
        for tag in self.tags:
            if len(tag) > _TAG_LENGTH:
                raise errors.UsageError(
                    f"Trove takes no image tag as long as {tag!r}"
                    f" ({_TAG_LENGTH} characters at most)",
                    hint="register the version by its image: --pin",
                )


def describe(record: Record) -> str:
    """Return a version as people write it: ``mariadb:11.8``."""
    return f"{record['datastore_name']}:{record['name']}"


def image_tags(record: Record) -> list[str]:
    """Return the tags of a version; Trove shows none as ``['']``."""
    return [tag for tag in record.get("image_tags") or [] if tag]


def newest(records: collections.abc.Sequence[Record]) -> Record:
    """Return the version with the highest number: 11.8 before 10.11."""
    return max(records, key=lambda record: _order(record["name"]))


def _order(version: str) -> list[tuple[int, int | str]]:
    parts = re.findall(r"\d+|[^\W\d]+", version)
    order: list[tuple[int, int | str]]
    order = [(1, int(p)) if p.isdigit() else (0, p) for p in parts]
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
        answer = self._service.call("GET", _PATH, "listing datastore versions")
        records: list[Record] = answer.json()["versions"]
        return records

    def get(self, version_id: str) -> Record:
        """Return a version by its id."""
        answer = self._service.call(
            "GET", f"{_PATH}/{version_id}", "reading a datastore version"
        )
        record: Record = answer.json()["version"]
        return record

    def find(self, datastore: str, version: str) -> Record | None:
        """Return a version, if it is registered."""
        for record in self.all():
            if (record["datastore_name"], record["name"]) == (
                datastore,
                version,
            ):
                return record
        return None

    def register(
        self, target: Target, image_id: str | None, activate: bool
    ) -> tuple[Record, str]:
        """Have a version registered as it shall be.

        A new version is inactive until it is activated; one that is known
        already stays what it is, and only what differs is changed.

        :param target: the version.
        :param image_id: the image it is pinned to; by tags when not given.
        :param activate: also make it active and its datastore's default.
        :returns: the version, and ``created``, ``changed`` or
            ``unchanged``.
        """
        record = self.find(target.datastore, target.version)
        if record is None:
            self._create(target, image_id, activate)
            return self._read_back(target), "created"
        body = difference(record, target, image_id)
        if activate:
            body |= activation(record)
        if not body:
            return record, "unchanged"
        self.edit(record, body)
        return self.get(record["id"]), "changed"

    def edit(self, record: Record, body: dict[str, typing.Any]) -> None:
        """Change what ``body`` says of a version."""
        self._service.call(
            "PATCH",
            f"{_PATH}/{record['id']}",
            f"changing {describe(record)}",
            json=body,
        )

    def _create(
        self, target: Target, image_id: str | None, activate: bool
    ) -> None:
        version = {
            "datastore_name": target.datastore,
            "name": target.version,
            "version": target.version,
            "datastore_manager": target.manager,
            "packages": [],
            "active": activate,
            "default": activate,
        }
        if image_id:
            version["image"] = image_id
        else:
            version["image_tags"] = list(target.tags)
        try:
            self._service.call(
                "POST",
                _PATH,
                f"registering {target.datastore}:{target.version}",
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

    def _read_back(self, target: Target) -> Record:
        record = self.find(target.datastore, target.version)
        if record is None:
            raise errors.CloudError(
                f"Trove took {target.datastore}:{target.version}, and yet"
                " does not list it",
                hint="the log of Trove says more",
            )
        return record


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
