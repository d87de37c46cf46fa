# SPDX-License-Identifier: Apache-2.0
"""Who may still need an image: Trove, Nova and Cinder are asked.

Nova needs the image of a server to rebuild or resize it and, on some
hosts, to start it at all; Cinder remembers the image of a volume; an
instance that Trove is just creating may not have a server yet.  Where one
of them does not answer, the image counts as needed.
"""

import dataclasses
import typing

from trove_tools import errors
from trove_tools.cloud import connection
from trove_tools.cloud import glance
from trove_tools.cloud import trove

_VOLUMES = 1000


@dataclasses.dataclass
class Users:
    """The users of images in a cloud.

    What is asked of the cloud is asked once.
    """

    cloud: connection.Cloud
    _volumes: list[typing.Any] | None = None
    _instances: list[typing.Any] | None = None
    _further: dict[str, connection.Service | None] = dataclasses.field(
        default_factory=dict
    )

    def reason(self, image: glance.Record) -> str | None:
        """Say why an image may still be needed; nothing if it is not."""
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

    def _service(self, kind: str) -> connection.Service | None:
        if kind not in self._further:
            self._further[kind] = self.cloud.further(kind)
        return self._further[kind]

    def _nova(self, image: glance.Record) -> str | None:
        nova = self._service("compute")
        if nova is None:
            return None
        found = nova.read(
            "/servers",
            "looking for servers",
            params={"all_tenants": "1", "image": image["id"]},
        )["servers"]
        if not found:
            return None
        return f"Nova server {found[0]['id']} was made from it"

    def _cinder(self, image: glance.Record) -> str | None:
        cinder = self._service("block-storage")
        if cinder is None:
            return None
        if self._volumes is None:
            self._volumes = _all_volumes(cinder)
        for volume in self._volumes:
            made_from = volume.get("volume_image_metadata") or {}
            if made_from.get("image_id") == image["id"]:
                return f"Cinder volume {volume['id']} was made from it"
        return None

    def _trove(self, image: glance.Record) -> str | None:
        nova = self._service("compute")
        if self._instances is None:
            try:
                self._instances = trove.instances(
                    self.cloud.databases, again=nova is not None
                )
            except errors.CloudError:
                if nova is not None:
                    raise
                # it has to ask Nova, too: without one, nothing runs
                self._instances = []
        for instance in self._instances:
            datastore = instance.get("datastore") or {}
            name = f"{datastore.get('type')}:{datastore.get('version')}"
            if name not in glance.serves(image):
                continue
            if nova is None or instance.get("status") == "BUILD":
                return f"Trove instance {instance['id']} may be made from it"
        return None


def _all_volumes(cinder: connection.Service) -> list[typing.Any]:
    params: dict[str, typing.Any] = {"all_tenants": "1", "limit": _VOLUMES}
    volumes: list[typing.Any] = []
    while True:
        page = cinder.read(
            "/volumes/detail", "looking for volumes", params=params
        )["volumes"]
        volumes += page
        if len(page) < _VOLUMES:
            return volumes
        params["marker"] = page[-1]["id"]
