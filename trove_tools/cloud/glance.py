# SPDX-License-Identifier: Apache-2.0
"""Finds, creates, changes, shares and removes images in Glance."""

import collections.abc
import datetime
import functools
import typing
import urllib.parse

from trove_tools import errors
from trove_tools.cloud import connection
from trove_tools.cloud import failures
from trove_tools.cloud import image as _image
from trove_tools.cloud import retry
from trove_tools.cloud.image import Image

_PATCH = "application/openstack-images-v2.1-json-patch"

#: The number of images per request; Glance's default is 25.
_PAGE = 200


def open_images(cloud: connection.Cloud) -> "Images":
    """Return the images of a cloud; simulated ones in a dry run."""
    return DryRunImages(cloud) if cloud.images.dry else Images(cloud)


class Images:
    """The images of a cloud.

    :param cloud: the cloud.
    """

    def __init__(self, cloud: connection.Cloud) -> None:
        self.service = cloud.images
        self.owner = cloud.owner

    def find_served(self, tags: collections.abc.Sequence[str]) -> Image | None:
        """Return the image that Trove uses for these tags, if any.

        As in Trove, this is the newest active one.
        """
        images = self._list_tagged(tags, limit=1)
        return images[0] if images else None

    def list_tagged(self, tags: collections.abc.Sequence[str]) -> list[Image]:
        """Return all images with these tags, in the order of Trove."""
        return self._list_tagged(tags, all_pages=True, limit=_PAGE)

    def _list_tagged(
        self, tags: collections.abc.Sequence[str], **how: typing.Any
    ) -> list[Image]:
        return self._list(
            tag=list(tags), status="active", sort="created_at:desc", **how
        )

    def list_ours(self) -> list[Image]:
        """Return all images that were loaded, complete or not.

        The newest comes first. An administrator also sees images of other
        projects, whose owners could remove or forge them: these are not
        included.
        """
        return self._list(
            all_pages=True,
            **{_image.KIND: _image.GUEST},
            owner=self.owner,
            visibility="all",
            sort="created_at:desc",
            limit=_PAGE,
        )

    def is_ours(self, image: Image) -> bool:
        """Return whether trove-tools may change or remove an image."""
        return bool(
            image.fields.get(_image.KIND) == _image.GUEST
            and image.fields.get("owner") == self.owner
        )

    def get(self, image_id: str) -> Image | None:
        """Return an image, or None if it does not exist."""
        try:
            answer = self.service.read(
                f"/images/{image_id}", "looking for an image"
            )
        except failures.Refused as exc:
            if exc.status == 404:
                return None
            raise
        return Image.from_answer(answer)

    def _list(
        self, all_pages: bool = False, **filters: typing.Any
    ) -> list[Image]:
        doing = "looking for images"
        if all_pages:
            answers = connection.read_pages(
                self.service, "/images", doing, filters
            )
        else:
            answers = self.service.read("/images", doing, params=filters)[
                "images"
            ]
        return list(map(Image.from_answer, answers))

    def list_fields(self) -> frozenset[str]:
        """Return the names of Glance's own fields; all others are properties.

        Glance publishes them as a JSON schema, in which an operator can also
        describe properties, with ``is_base`` set to false.
        """
        known = self.service.read(
            "/schemas/image", "asking for the fields of images"
        )["properties"]
        return frozenset(
            name for name, field in known.items() if field.get("is_base", True)
        )

    def list_members(self, image_id: str) -> list[str]:
        """Return the ids of the projects that an image is shared with."""
        answer = self.service.read(
            f"/images/{image_id}/members", "listing an image's members"
        )
        return [member["member_id"] for member in answer["members"]]

    def share(
        self, image_id: str, members: collections.abc.Collection[str]
    ) -> bool:
        """Share an image with further projects.

        :param image_id: an image whose visibility is ``shared``.
        :param members: the ids of the projects.
        :returns: whether a change was necessary.
        """
        doing = "sharing the image"
        changed = False
        if not members:
            return changed
        for attempt in self._attempts():
            with attempt:
                known = self.list_members(image_id)
                for member in members:
                    if member not in known:
                        changed = True
                        self.service.call(
                            "POST",
                            f"/images/{image_id}/members",
                            doing,
                            json={"member": member},
                        )
                if changed and not self.service.dry:
                    retry.confirm(
                        lambda: self.list_members(image_id),
                        lambda now: ", ".join({*members} - {*now}) or None,
                        doing,
                        "Glance",
                    )
        return changed

    def create(self, fields: _image.Fields) -> None:
        """Create an image without bytes.

        :param fields: its id, fields and properties.
        :raises Refused: with 409 if this id is or was used.
        """
        self.service.call("POST", "/images", "creating an image", json=fields)

    def update(self, image: Image, description: _image.Description) -> bool:
        """Bring an image to its wanted state in one update.

        :returns: whether a change was necessary.
        """
        return self.patch(image, lambda now: _image.describe(now, description))

    def patch(
        self,
        image: Image,
        make_patch: collections.abc.Callable[[Image], _image.Patch],
    ) -> bool:
        """Change an image in one update.

        An update whose answer was lost may have taken effect, and cannot be
        repeated. So each further attempt reads the image again.

        :param make_patch: returns the JSON patch for the current image.
        :returns: whether a change was necessary.
        """
        doing = "describing the image"
        current: Image | None = image
        changed = False
        for attempt in self._attempts():
            with attempt:
                if current is None:
                    current = self.get(image.id) or image
                patch, current = make_patch(current), None
                if patch:
                    changed = True
                    self.service.call(
                        "PATCH",
                        f"/images/{image.id}",
                        doing,
                        json=patch,
                        headers={"Content-Type": _PATCH},
                    )
                    self._confirm(
                        image.id,
                        functools.partial(_image.find_unchanged, patch=patch),
                        doing,
                    )
        return changed

    def delete(self, image_id: str) -> None:
        """Remove an image; a missing image is not an error.

        The removal is repeated if Glance itself is changing the image, as it
        does after an interrupted upload.
        """
        doing = "removing the image"
        for attempt in retry.attempts(may_pass=_may_pass_or_conflict):
            with attempt:
                try:
                    self.service.call("DELETE", f"/images/{image_id}", doing)
                except failures.Refused as exc:
                    if exc.status != 404:
                        raise
                self._confirm(image_id, _not_removed, doing)

    def _attempts(self) -> typing.Any:
        return retry.attempts(self.service.notify, _may_pass_or_conflict)

    def _confirm(
        self,
        image_id: str,
        missing: collections.abc.Callable[[Image | None], str | None],
        doing: str,
    ) -> None:
        if not self.service.dry:
            retry.confirm(
                lambda: self.get(image_id), missing, doing, "Glance"
            )


def find_digest(service: connection.Service, wanted: str) -> str:
    """Return the sha256 of an image that was loaded.

    :param service: Glance.
    :param wanted: the id or the name of the image; of several with this name,
        the newest counts.
    :raises UsageError: there is no such image.
    """
    doing = "looking for an image"
    params = {"name": wanted, "sort": "created_at:desc", "visibility": "all"}
    found = service.read("/images", doing, params=params)["images"]
    if not found:
        try:
            quoted = urllib.parse.quote(wanted, safe="")
            found = [service.read(f"/images/{quoted}", doing)]
        except failures.Refused as exc:
            if exc.status not in (400, 404):
                raise
    for image in found:
        if digest := image.get(_image.SHA256):
            return str(digest)
    raise errors.UsageError(
        f"Glance has no image {wanted!r} that was loaded with"
        " load-trove-image",
        hint="give its name or id; activate-trove-image --list shows them",
    )


class DryRunImages(Images):
    """The images of a cloud in a dry run.

    The next step of a load depends on the result of earlier steps. So the
    recorded changes are applied to the images that Glance returns.
    """

    def __init__(self, cloud: connection.Cloud) -> None:
        super().__init__(cloud)
        # by id; None for an image that would be removed
        self._changed: dict[str, Image | None] = {}

    def get(self, image_id: str) -> Image | None:
        """Return an image with the recorded changes; None if it is removed."""
        if image_id in self._changed:
            return self._changed[image_id]
        return super().get(image_id)

    def _list(
        self, all_pages: bool = False, **filters: typing.Any
    ) -> list[Image]:
        tags = set(filters.get("tag", ()))
        images = {i.id: i for i in super()._list(all_pages, **filters)}
        for image_id, image in self._changed.items():
            images.pop(image_id, None)
            if image and tags <= set(image.tags):
                images[image_id] = image
        return sorted(
            images.values(), key=lambda image: image.created_at, reverse=True
        )

    def list_members(self, image_id: str) -> list[str]:
        """Return the ids of the projects that an image is shared with."""
        if image_id in self._changed:
            return []
        return super().list_members(image_id)

    def create(self, fields: _image.Fields) -> None:
        """Record the creation of an image."""
        super().create(fields)
        now = datetime.datetime.now(datetime.UTC)
        self._changed[fields["id"]] = Image.from_answer(
            {
                **fields,
                "status": "active",
                "tags": [],
                "created_at": now.strftime("%Y-%m-%dT%H:%M:%SZ"),
            }
        )

    def patch(
        self,
        image: Image,
        make_patch: collections.abc.Callable[[Image], _image.Patch],
    ) -> bool:
        """Record the change of an image."""
        shown = self._changed.get(image.id) or image
        fields = _image.apply(shown.fields, make_patch(shown))
        changed = super().patch(image, make_patch)
        self._changed[image.id] = Image.from_answer(fields)
        return changed

    def delete(self, image_id: str) -> None:
        """Record the removal of an image."""
        super().delete(image_id)
        self._changed[image_id] = None


def _not_removed(image: Image | None) -> str | None:
    # with delayed_delete, Glance still shows the image to administrators
    if image is None or image.status in ("deleted", "pending_delete"):
        return None
    return f"image {image.id} is {image.status}"


def _may_pass_or_conflict(exc: BaseException) -> bool:
    # another client, or Glance itself, is changing the image
    conflict = isinstance(exc, failures.Refused) and exc.status == 409
    return conflict or failures.may_pass(exc)
