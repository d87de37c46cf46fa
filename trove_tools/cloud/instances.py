# SPDX-License-Identifier: Apache-2.0
"""Lists Trove's instances with the images that their servers run.

Trove does not say which image an instance runs: its management API names the
server in Nova, and Nova names the server's image. If a server boots from a
volume, Nova names no image; Cinder remembers from which image the volume was
made.
"""

import collections
import collections.abc
import dataclasses
import typing

from trove_tools.cloud import connection
from trove_tools.cloud import failures
from trove_tools.cloud import trove

#: The states of an instance in which Trove can begin a task.
_IDLE = ("ACTIVE", "HEALTHY")

#: The state of an instance that is being created or rebuilt.
BUILDING = "BUILD"


@dataclasses.dataclass(frozen=True)
class Instance:
    """A database instance.

    :param datastore: the name of its datastore version: ``mariadb:11.8``.
    :param status: its status in Trove: ``ACTIVE``, ``BUILD``, ...
    :param health: the status of its database: ``HEALTHY``, ...; empty while
        Trove works on the instance.
    :param group: the id of its replication source or cluster, else its own.
    :param replica: whether it is a replica of another instance.
    :param has_volume: whether its data is on a volume.
    :param server_id: its server in Nova, if any.
    :param image_id: the image that the server runs, if known.
    :param boots_from_volume: whether the server's system is on a volume.
    :param server_created: when the server was created, in Nova's format.
    :param fault: Trove's error message, if any.
    """

    id: str
    name: str
    project_id: str | None
    datastore: str
    status: str
    health: str
    group: str
    replica: bool
    has_volume: bool
    server_id: str | None
    image_id: str | None = None
    boots_from_volume: bool = False
    server_created: str = ""
    fault: str = ""

    @classmethod
    def from_answer(
        cls, answer: collections.abc.Mapping[str, typing.Any]
    ) -> "Instance":
        """Return the instance that Trove's JSON describes."""
        datastore = answer.get("datastore") or {}
        source = (answer.get("replica_of") or {}).get("id")
        server = answer.get("server") or {}
        return cls(
            id=answer["id"],
            name=answer.get("name") or "",
            project_id=answer.get("tenant_id"),
            datastore=f"{datastore.get('type')}:{datastore.get('version')}",
            status=answer.get("status") or "",
            health=answer.get("operating_status") or "",
            group=source or answer.get("cluster_id") or answer["id"],
            replica=bool(source),
            has_volume=bool(answer.get("volume_id")),
            server_id=answer.get("server_id") or server.get("id"),
            fault=(answer.get("fault") or {}).get("message") or "",
        )

    @property
    def healthy(self) -> bool:
        """Whether its database serves, and Trove does nothing with it."""
        return self.status in _IDLE and self.health == "HEALTHY"

    def find_obstacle(self) -> str | None:
        """Return why Trove cannot rebuild the instance safely, or None."""
        if self.server_id is None or not self.server_created:
            return "it has no server"
        if self.boots_from_volume:
            return "its server boots from a volume, which Trove cannot rebuild"
        if not self.has_volume:
            return "its data is not on a volume, so a rebuild would erase it"
        if not self.healthy:
            health = f", its database {self.health}" if self.health else ""
            return f"it is not healthy: its status is {self.status}{health}"
        return None

    def __str__(self) -> str:
        return f"instance {self.name} ({self.id})"


class Instances:
    """The database instances of a cloud, and their servers.

    :param cloud: the cloud.
    :raises CloudError: the cloud has no Nova, or it does not answer.
    """

    def __init__(self, cloud: connection.Cloud) -> None:
        self._login = cloud.login
        self._trove = cloud.databases
        self._nova = cloud.login.service("Nova", "compute")

    def list_all(
        self,
        image_ids: collections.abc.Iterable[str],
        names: collections.abc.Container[str] | None = None,
    ) -> list[Instance]:
        """Return the instances of all projects.

        Nova lists the servers of one image with one request; the other
        servers are read one by one.

        :param image_ids: the images that most of the instances run.
        :param names: only the instances of these versions, such as
            ``mariadb:11.8``.
        :raises CloudError: Trove or Nova cannot tell.
        """
        listed = [
            instance
            for instance in map(
                Instance.from_answer, trove.list_instances(self._trove)
            )
            if names is None or instance.datastore in names
        ]
        servers: dict[str, typing.Any] = {}
        if listed:
            for image_id in image_ids:
                servers.update(self._list_servers(image_id))
        return [
            self._add_server(each, servers.get(each.server_id or ""))
            for each in listed
        ]

    def get(self, instance_id: str) -> Instance | None:
        """Return an instance, or None if it does not exist any more."""
        path = f"/mgmt/instances/{instance_id}"
        answer = _read(self._trove, path, "reading an instance")
        if answer is None or answer["instance"].get("deleted"):
            return None
        return self._add_server(Instance.from_answer(answer["instance"]))

    def rebuild(self, instance: Instance, image_id: str) -> None:
        """Have Trove rebuild an instance from an image.

        Trove answers before it has begun: from then on, the status of the
        instance is :data:`BUILDING`.

        :raises CloudError: Trove refused or did not answer.
        """
        self._trove.call(
            "POST",
            f"/mgmt/instances/{instance.id}/action",
            f"rebuilding {instance}",
            json={"rebuild": {"image_id": image_id}},
        )

    @property
    def dry(self) -> bool:
        """Whether rebuilds are only recorded."""
        return self._trove.dry

    def _list_servers(self, image_id: str) -> dict[str, typing.Any]:
        return {
            server["id"]: server
            for server in connection.read_pages(
                self._nova,
                "/servers/detail",
                "listing servers",
                {"all_tenants": "1", "image": image_id},
            )
        }

    def _add_server(
        self, instance: Instance, server: typing.Any = None
    ) -> Instance:
        """Add what Nova knows of an instance's server.

        :param server: Nova's answer, if it is known already.
        """
        if instance.server_id is None:
            return instance
        if server is None:
            path = f"/servers/{instance.server_id}"
            answer = _read(self._nova, path, "reading a server")
            if answer is None:
                return instance
            server = answer["server"]
        # Nova's image of a server that boots from a volume is ''
        image = server.get("image") or {}
        return dataclasses.replace(
            instance,
            image_id=image.get("id") or self._find_volume_image(server),
            boots_from_volume=not image,
            server_created=server.get("created") or "",
        )

    def _find_volume_image(self, server: typing.Any) -> str | None:
        """Return the image of the volume that a server boots from."""
        attached = server.get("os-extended-volumes:volumes_attached", ())
        if not attached or not self._login.has("block-storage"):
            return None
        cinder = self._login.service("Cinder", "block-storage")
        for each in attached:
            path = f"/volumes/{each['id']}"
            answer = _read(cinder, path, "reading a volume") or {}
            metadata = answer.get("volume", {}).get("volume_image_metadata")
            if metadata and metadata.get("image_id"):
                return str(metadata["image_id"])
        return None


def _read(service: connection.Service, path: str, doing: str) -> typing.Any:
    """Return a resource; None if it does not exist."""
    try:
        return service.read(path, doing)
    except failures.Refused as exc:
        if exc.status != 404:
            raise
        return None


def count_by_image(
    cloud: connection.Cloud, image_ids: collections.abc.Iterable[str]
) -> dict[str, collections.Counter[str]] | None:
    """Count the instances of each datastore version by their images.

    :param image_ids: the images that most of the instances run.
    :returns: by the version's name; an image that is unknown is ''. None if
        the cloud has no Nova, so that nothing runs in it.
    :raises CloudError: Trove or Nova cannot tell.
    """
    if not cloud.login.has("compute"):
        return None
    counts: dict[str, collections.Counter[str]] = {}
    for instance in Instances(cloud).list_all(image_ids):
        count = counts.setdefault(instance.datastore, collections.Counter())
        count[instance.image_id or ""] += 1
    return counts
