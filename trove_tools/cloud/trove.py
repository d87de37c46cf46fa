# SPDX-License-Identifier: Apache-2.0
"""Reads and changes datastore versions through Trove's management API.

A version is identified by the names of its datastore and of the version. Facts
of Trove 26: creating a version answers 202 without a body, so the list is read
again; the datastore is created implicitly; the image (or one with the tags)
must already exist; a version has tags or an image id, and the id takes
precedence; the length and the number of tags are limited.
"""

import collections.abc
import dataclasses
import re
import typing

from trove_tools import errors
from trove_tools.cloud import connection
from trove_tools.cloud import failures
from trove_tools.cloud import glance
from trove_tools.cloud import retry
from trove_tools.cloud.image import Image
from trove_tools.host import bounds

_PATH = "/mgmt/datastore-versions"

#: The number of instances per request; Trove's own limit may be lower.
_PAGE = 100

#: The placeholder for an id that a dry run would create.
NEW = "<new>"

#: Trove's limit for the length of a tag.
_TAG_LENGTH = 20

#: Trove's limit for the length of all other names.
_NAME_LENGTH = 255

#: The names of some fields of a version in Trove's API.
_API_NAMES = {"manager": "datastore_manager", "image_id": "image"}


@dataclasses.dataclass(frozen=True)
class DatastoreVersion:
    """A datastore version that is registered in Trove.

    :param version: its name, such as ``11.8``.
    :param manager: the name of the guest agent's manager.
    :param image_id: the image that it is pinned to, if any.
    :param image_tags: otherwise the tags by which Trove finds its image.
    :param active: users may start instances of it.
    :param default: it is the default version of its datastore.
    """

    id: str
    datastore: str
    version: str
    manager: str
    image_id: str | None
    image_tags: tuple[str, ...]
    active: bool
    default: bool

    @classmethod
    def from_answer(
        cls, answer: collections.abc.Mapping[str, typing.Any]
    ) -> "DatastoreVersion":
        """Return the version that Trove's JSON describes."""
        return cls(
            id=answer["id"],
            datastore=answer["datastore_name"],
            version=answer["name"],
            manager=answer["datastore_manager"],
            image_id=answer.get("image") or None,
            # Trove shows no tags as ['']
            image_tags=tuple(filter(None, answer.get("image_tags") or ())),
            active=bool(answer["active"]),
            default=bool(answer["default"]),
        )

    @property
    def name(self) -> str:
        """The name of the datastore and the version: ``mariadb:11.8``."""
        return f"{self.datastore}:{self.version}"

    @property
    def order(self) -> list[tuple[int, int | str]]:
        """The sort key of a datastore's versions: 10.11 before 11.8."""
        parts = re.findall(r"\d+|[^\W\d]+", self.version)
        order: list[tuple[int, int | str]] = [
            (1, bounds.parse_number(p)) if p.isdecimal() else (0, p)
            for p in parts
        ]
        # the end sorts after a word and before a number: 8.4-rc, 8.4, 8.4.1
        return [*order, (1, -1)]

    def as_row(self) -> dict[str, typing.Any]:
        """Return the columns that every table of versions has."""
        return {
            "datastore": self.datastore,
            "version": self.version,
            "version_id": self.id,
            "active": self.active,
            "default": self.default,
        }


@dataclasses.dataclass(frozen=True)
class Target:
    """A datastore version to register.

    :param manager: the name of the guest agent's manager.
    """

    datastore: str
    version: str
    manager: str

    @property
    def name(self) -> str:
        """The name of the datastore and the version: ``mariadb:11.8``."""
        return f"{self.datastore}:{self.version}"

    def among(
        self, versions: collections.abc.Iterable[DatastoreVersion]
    ) -> DatastoreVersion | None:
        """Return this version from a list of versions, if it is there."""
        for version in versions:
            if version.name == self.name:
                return version
        return None

    @property
    def tags(self) -> tuple[str, ...]:
        """The tags by which Trove finds its image."""
        return tags(self.name)

    def check_names(self) -> None:
        """Check that Trove can register the version.

        Trove refuses some names only after the image was uploaded, and accepts
        others that cannot be found again, such as a name that ends in a blank.

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
                    f"Trove cannot register the {option} {name!r}",
                    hint=f"correct --{option}, or the image's manifest: 1 to"
                    f" {_NAME_LENGTH} printable characters, with a letter or"
                    " digit, and no blank at either end",
                )

    def check_tags(self) -> None:
        """Check that Trove accepts the tags.

        :raises UsageError: a tag is too long, or contains a comma, which
            separates tags in Trove's database.
        """
        for tag in self.tags:
            if len(tag) > _TAG_LENGTH or "," in tag:
                raise errors.UsageError(
                    f"Trove does not accept the image tag {tag!r}: it has more"
                    f" than {_TAG_LENGTH} characters, or a comma",
                    hint="register the version by its image: --pin",
                )


def tags(name: str) -> tuple[str, ...]:
    """Return the tags of a version's image.

    :param name: the version's name, such as ``mariadb:11.8``.
    """
    return ("trove", *name.split(":", 1))


class Versions:
    """The datastore versions of a cloud.

    :param service: Trove.
    """

    def __init__(self, service: connection.Service) -> None:
        self._service = service

    def list_all(self) -> list[DatastoreVersion]:
        """Return all versions of all datastores, active or not."""
        answer = self._service.read(_PATH, "listing datastore versions")
        return list(map(DatastoreVersion.from_answer, answer["versions"]))

    def get(self, version_id: str) -> DatastoreVersion:
        """Return a version by its id."""
        answer = self._service.read(
            f"{_PATH}/{version_id}", "reading a datastore version"
        )
        return DatastoreVersion.from_answer(answer["version"])

    def register(
        self,
        target: Target,
        image_id: str | None,
        registered: collections.abc.Sequence[DatastoreVersion] | None = None,
    ) -> tuple[DatastoreVersion, str]:
        """Register a version, or change the registered one as necessary.

        A new version is inactive until it is activated. Of a registered
        version, only the differing fields are changed.

        :param target: the version.
        :param image_id: the image to pin it to; None registers it by tags.
        :param registered: a current result of :meth:`list_all`, if any.
        :returns: the version, and ``created``, ``changed`` or
            ``unchanged``.
        """
        known = registered
        how = "unchanged"

        def once() -> DatastoreVersion:
            # an attempt without an answer, or another load, may have made the
            # change: so every further attempt reads the list again
            nonlocal known, how
            version = target.among(
                self.list_all() if known is None else known
            )
            known = None
            if version is None:
                how = "created"
                return self._create(target, image_id)
            changes = find_changes(version, target, image_id)
            if not changes:
                return version
            how = how if how == "created" else "changed"
            return self._change(version, changes)

        def may_pass(exc: BaseException) -> bool:
            exists = isinstance(exc, failures.Refused) and exc.status == 400
            return failures.may_pass(exc) or (
                exists and "already exists" in str(exc)
            )

        version = retry.attempts(self._service.notify, may_pass)(once)
        return version, how

    def activate(
        self, version: DatastoreVersion
    ) -> tuple[DatastoreVersion, bool]:
        """Make a version active and its datastore's default.

        :returns: the version, and whether a change was necessary.
        """
        wanted = {"active": True, "default": True}
        changes = {n: v for n, v in wanted.items() if not getattr(version, n)}
        if not changes:
            return version, False
        return self.edit(version, changes), True

    def edit(
        self, version: DatastoreVersion, changes: dict[str, typing.Any]
    ) -> DatastoreVersion:
        """Change fields of a version.

        :param changes: the new values, by the names of the fields.
        :returns: the changed version.
        """
        return retry.attempts(self._service.notify)(
            lambda: self._change(version, changes)
        )

    def _change(
        self, version: DatastoreVersion, changes: dict[str, typing.Any]
    ) -> DatastoreVersion:
        doing = f"changing {version.name}"
        self._service.call(
            "PATCH",
            f"{_PATH}/{version.id}",
            doing,
            json={_API_NAMES.get(n, n): v for n, v in changes.items()},
        )
        if self._service.dry:
            return dataclasses.replace(version, **changes)
        return retry.confirm(
            lambda: self.get(version.id),
            lambda now: _find_unchanged(now, changes),
            doing,
            "Trove",
        )

    def _create(
        self, target: Target, image_id: str | None
    ) -> DatastoreVersion:
        body: dict[str, typing.Any] = {
            "datastore_name": target.datastore,
            "name": target.version,
            "version": target.version,
            "datastore_manager": target.manager,
            "packages": [],
            "active": False,
            "default": False,
        }
        if image_id:
            body["image"] = image_id
        else:
            body["image_tags"] = target.tags
        doing = f"registering {target.name}"
        try:
            self._service.call("POST", _PATH, doing, json={"version": body})
        except failures.Refused as exc:
            if exc.status == 500:
                # Trove reads the manager's settings without checking the name
                exc.hint = (
                    f"does this Trove know a manager {target.manager}?"
                    " its log says more"
                )
            raise
        if self._service.dry:
            return DatastoreVersion.from_answer({"id": NEW, **body})
        version = retry.confirm(
            lambda: target.among(self.list_all()),
            lambda version: None if version else "it is not listed",
            doing,
            "Trove",
        )
        assert version is not None
        return version


def _find_unchanged(
    version: DatastoreVersion, changes: dict[str, typing.Any]
) -> str | None:
    """Return a message about a change that a version does not show, if any."""
    for name, wanted in changes.items():
        shown = getattr(version, name)
        if name == "image_tags":
            shown, wanted = set(shown), set(wanted)
        if shown != wanted:
            title = _API_NAMES.get(name, name)
            return f"{title} of {version.name} is {shown!r}"
    return None


def find_image(
    images: glance.Images, version: DatastoreVersion
) -> Image | None:
    """Return the current image of a version, active or not."""
    if version.image_id:
        return images.get(version.image_id)
    tags = version.image_tags
    return images.find_served(tags) if tags else None


def list_instances(
    service: connection.Service, again: bool = True
) -> list[dict[str, typing.Any]]:
    """Return all instances of all projects.

    :param service: Trove.
    :param again: retry temporary failures.
    """
    return connection.read_pages(
        service,
        "/mgmt/instances",
        "looking for instances",
        {"deleted": "false", "include_clustered": "true", "limit": _PAGE},
        again,
    )


def find_changes(
    version: DatastoreVersion, target: Target, image_id: str | None
) -> dict[str, typing.Any]:
    """Return the necessary changes of a registered version.

    :returns: the new values, by the names of the fields.
    """
    changes: dict[str, typing.Any] = {}
    if version.manager != target.manager:
        changes["manager"] = target.manager
    if image_id:
        if version.image_id != image_id:
            changes["image_id"] = image_id
    elif version.image_id or set(version.image_tags) != set(target.tags):
        changes["image_tags"] = target.tags
    return changes
