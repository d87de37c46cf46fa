# SPDX-License-Identifier: Apache-2.0
"""Removes images in Glance that are no longer needed.

Only images of this tool are removed: incomplete uploads, and images that are
older than the images to keep.

Nova needs the image of a server to rebuild or resize it and, on some hosts, to
start it at all; Cinder remembers the image of a volume; an instance that Trove
is just creating may not have a server yet. If one of these services does not
answer, the image counts as needed.
"""

import collections.abc
import dataclasses
import typing

from trove_tools import console
from trove_tools import errors
from trove_tools.cloud import connection
from trove_tools.cloud import glance
from trove_tools.cloud import history
from trove_tools.cloud import trove
from trove_tools.cloud import upload
from trove_tools.cloud.image import Image

#: The number of volumes per request to Cinder.
_PAGE = 1000


@dataclasses.dataclass
class Users:
    """Finds the servers, volumes and instances that need an image.

    The lists of volumes and instances are read only once.
    """

    cloud: connection.Cloud
    _volumes: list[typing.Any] | None = None
    _instances: list[typing.Any] | None = None
    _services: dict[str, connection.Service | None] = dataclasses.field(
        default_factory=dict
    )

    def find_reason(self, image: Image) -> str | None:
        """Return why an image may still be needed, or None."""
        for what, ask in (
            ("Trove", self._trove),
            ("Nova", self._nova),
            ("Cinder", self._cinder),
        ):
            try:
                reason = ask(image)
            except errors.CloudError as exc:
                return f"{what} could not tell who uses it: {exc.message}"
            if reason:
                return reason
        return None

    def _service(self, title: str, kind: str) -> connection.Service | None:
        login = self.cloud.login
        if kind not in self._services:
            self._services[kind] = (
                login.service(title, kind) if login.has(kind) else None
            )
        return self._services[kind]

    def _nova(self, image: Image) -> str | None:
        nova = self._service("Nova", "compute")
        if nova is None:
            return None
        servers = nova.read(
            "/servers",
            "looking for servers",
            params={"all_tenants": "1", "image": image.id},
        )["servers"]
        if not servers:
            return None
        return f"Nova server {servers[0]['id']} was made from it"

    def _cinder(self, image: Image) -> str | None:
        cinder = self._service("Cinder", "block-storage")
        if cinder is None:
            return None
        if self._volumes is None:
            self._volumes = connection.read_pages(
                cinder,
                "/volumes/detail",
                "looking for volumes",
                {"all_tenants": "1", "limit": _PAGE},
            )
        for volume in self._volumes:
            made_from = volume.get("volume_image_metadata") or {}
            if made_from.get("image_id") == image.id:
                return f"Cinder volume {volume['id']} was made from it"
        return None

    def _trove(self, image: Image) -> str | None:
        nova = self._service("Nova", "compute")
        if self._instances is None:
            try:
                self._instances = trove.list_instances(
                    self.cloud.databases, again=nova is not None
                )
            except errors.CloudError:
                if nova is not None:
                    raise
                # Trove needs Nova for this list; without Nova, nothing runs
                self._instances = []
        for instance in self._instances:
            datastore = instance.get("datastore") or {}
            name = f"{datastore.get('type')}:{datastore.get('version')}"
            if name not in image.serves:
                continue
            if nova is None or instance.get("status") == "BUILD":
                return f"Trove instance {instance['id']} may be made from it"
        return None


class Removal:
    """Removes images.

    :param cloud: the cloud.
    :param images: its images.
    :param registered: all datastore versions.
    :param screen: the console for messages about removed and kept images.
    """

    def __init__(
        self,
        cloud: connection.Cloud,
        images: glance.Images,
        registered: collections.abc.Sequence[trove.DatastoreVersion],
        screen: console.Console,
    ) -> None:
        self._images = images
        self._registered = {version.name: version for version in registered}
        self._users = Users(cloud)
        self._screen = screen

    def remove_old(
        self,
        names: collections.abc.Collection[str],
        keep: int,
        keep_in_use: bool,
    ) -> None:
        """Remove old images of some versions, and incomplete uploads.

        :param names: the versions, such as ``mariadb:11.8``.
        :param keep: the number of images to keep per version.
        :param keep_in_use: keep images that are still in use.
        """
        images = self._images.list_ours()
        for image in images:
            if upload.is_abandoned(image) and self._remove(image):
                self._screen.say(
                    f"removed the image of an unfinished load: {image.name}"
                    f" ({image.id})"
                )
        for image in self._list_surplus(images, names, keep):
            reason = self._pinned_or_served(image)
            if image.protected:
                reason = "it is protected"
            if reason is None and keep_in_use:
                reason = self._users.find_reason(image)
            if reason is not None:
                self._screen.say(f"kept the older {image}: {reason}")
            elif self._remove(image):
                self._screen.say(f"removed the older {image}")

    def _list_surplus(
        self,
        images: collections.abc.Sequence[Image],
        names: collections.abc.Collection[str],
        keep: int,
    ) -> list[Image]:
        concerned = [i for i in images if not set(names).isdisjoint(i.serves)]
        # this is the usual case, and saves requests
        if len(concerned) <= keep:
            return []
        currents = {}
        gone = set()
        for name in {name for image in concerned for name in image.serves}:
            if name not in self._registered:
                gone.add(name)
                continue
            current = trove.find_image(self._images, self._registered[name])
            if current is not None:
                currents[name] = current
        return history.list_surplus(concerned, currents, keep, gone)

    def _pinned_or_served(self, image: Image) -> str | None:
        for name, version in self._registered.items():
            if version.image_id:
                if version.image_id == image.id:
                    return f"{name} is registered with it"
                continue
            tags = version.image_tags
            if tags and set(tags) <= set(image.tags):
                served = self._images.find_served(tags)
                if served and served.id == image.id:
                    return f"{name} is served by it"
        return None

    def _remove(self, image: Image) -> bool:
        """Remove an image, or print why it cannot be removed."""
        if image.protected:
            self._screen.say(
                f"kept the unfinished image {image.id}: it is protected"
            )
            return False
        try:
            self._images.delete(image.id)
        except errors.CloudError as exc:
            self._screen.warn(
                f"image {image.id} is still in Glance: {exc.message}"
            )
            return False
        return True
