# SPDX-License-Identifier: Apache-2.0
"""Makes backups, restored instances, replicas and further instances.

This file is a part of :mod:`trove_tools.verify.life.driver`.
"""

import abc
import typing

from trove.backup import models as backups
from trove.datastore import models as datastores
from trove.extensions.common import common as extensions
from trove.instance import models as instances

# the id of the user's network in Neutron, in verify's cloud
_TENANT = "tenant"

Answer = dict[str, typing.Any]


class Others(abc.ABC):
    """Handles the requests for backups, restored instances and replicas."""

    @abc.abstractmethod
    def make_context(self, kind: str, **payload: object) -> typing.Any:
        """Return a user's context; see the driver."""

    @abc.abstractmethod
    def load(self, instance: str, kind: str, **payload: object) -> typing.Any:
        """Return an instance; see the driver."""

    def backup(self, instance: str, parent: str | None = None) -> Answer:
        """Start a backup, without waiting for its end.

        :param parent: the id of the backup on which an incremental backup is
            based; None for a full backup.
        :returns: the id of the new backup.
        """
        made = backups.Backup.create(
            self.make_context(
                "BackupCreate",
                instance_id=instance, name="verify", description="",
                parent_id=parent,
            ),
            instance, "verify", parent_id=parent,
        )  # fmt: skip
        return {"backup": made.id}

    def backup_state(self, backup: str) -> Answer:
        """Return the state, type, location and size of a backup."""
        row = backups.DBBackup.find_by(id=backup)
        return {
            "state": row.state,
            "type": row.backup_type,
            "location": row.location,
            "size": row.size,
        }

    def restore(
        self, instance: str, backup: str, size: int, image: str
    ) -> Answer:
        """Make an instance from a backup, and wait until it is active.

        :param instance: the instance of which the backup was taken.
        :param size: size of the new instance's volume, GiB.
        :param image: the id of the new guest's image.
        :returns: the ids of the new instance and of its server.
        """
        return self._make(instance, size, image, backup_id=backup)

    def replicate(self, instance: str, size: int, image: str) -> Answer:
        """Make a replica of an instance, and wait until it is active."""
        return self._make(instance, size, image, slave_of_id=instance)

    def create_another(
        self,
        instance: str,
        version: str,
        size: int,
        image: str,
        user: str,
        password: str,
        database: str,
    ) -> Answer:
        """Make another instance, and wait until it is active.

        :param instance: an instance of the same datastore.
        :param version: the datastore's version; it may be another one.
        """
        named = [{"name": database}]
        return self._make(
            instance,
            size,
            image,
            version,
            extensions.populate_validated_databases(named),
            extensions.populate_users(
                [{"name": user, "password": password, "databases": named}],
                [database],
            ),
        )

    def _make(
        self,
        source: str,
        size: int,
        image: str,
        version: str = "",
        databases: list[Answer] | None = None,
        users: list[Answer] | None = None,
        *,
        backup_id: str | None = None,
        slave_of_id: str | None = None,
    ) -> Answer:
        context = self.make_context("InstanceCreate", instance_id="")
        loaded = instances.Instance.load(context, source)
        row = loaded.datastore_version
        if version and version != row.name:
            datastores.update_datastore_version(
                loaded.datastore.name, version, row.manager, image, "", "",
                True,
            )  # fmt: skip
            row = datastores.DatastoreVersion.load(loaded.datastore, version)
        made = instances.Instance.create(
            context, "verify", "1", image, databases or [], users or [],
            loaded.datastore, row, size, backup_id,
            nics=[{"network_id": _TENANT}], slave_of_id=slave_of_id,
        )  # fmt: skip
        born = instances.DBInstance.find_by(id=made.id)
        return {"id": made.id, "server": born.compute_instance_id}

    def promote(self, instance: str) -> Answer:
        """Promote a replica to the source."""
        self.load(instance, "InstancePromote").promote_to_replica_source()
        return {}

    def detach(self, instance: str) -> Answer:
        """Detach a replica from its source."""
        self.load(instance, "InstanceDetach").detach_replica()
        return {}
