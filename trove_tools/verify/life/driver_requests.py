# SPDX-License-Identifier: Apache-2.0
"""Makes backups, further instances, databases and users with Trove's models.

This file is a part of :mod:`trove_tools.verify.life.driver`.
"""

import abc
import types
import typing

from trove.backup import models as backups
from trove.datastore import models as datastores
from trove.extensions.common import common as extensions
from trove.extensions.common import models as accounts
from trove.instance import models as instances

# the id of the user's network in Neutron, in verify's cloud
_TENANT = "tenant"

Answer = dict[str, typing.Any]


class Requests(abc.ABC):
    """Handles the requests for further instances, databases and users."""

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

    # databases, users and the superuser

    def create_databases(self, instance: str, names: list[str]) -> Answer:
        """Create databases."""
        accounts.Schema.create(
            self.make_context("DatabaseCreate"),
            instance,
            extensions.populate_validated_databases(
                [{"name": name} for name in names]
            ),
        )
        return {}

    def delete_database(self, instance: str, database: str) -> Answer:
        """Delete a database."""
        (schema,) = extensions.populate_validated_databases(
            [{"name": database}]
        )
        accounts.Schema.delete(
            self.make_context("DatabaseDelete"), instance, schema
        )
        return {}

    def create_user(
        self, instance: str, user: str, password: str, databases: list[str]
    ) -> Answer:
        """Create a user who may use some databases."""
        named = [{"name": database} for database in databases]
        accounts.User.create(
            self.make_context("UserCreate"),
            instance,
            extensions.populate_users(
                [{"name": user, "password": password, "databases": named}]
            ),
        )
        return {}

    def delete_user(self, instance: str, user: str) -> Answer:
        """Delete a user."""
        (model,) = extensions.populate_users([{"name": user}])
        accounts.User.delete(self.make_context("UserDelete"), instance, model)
        return {}

    def change_password(
        self, instance: str, user: str, password: str
    ) -> Answer:
        """Change a user's password."""
        model = types.SimpleNamespace(name=user, host="%", password=password)
        accounts.User.change_password(
            self.make_context("UserChangePassword"), instance, [model]
        )
        return {}

    def grant(self, instance: str, user: str, database: str) -> Answer:
        """Grant a user access to a database."""
        accounts.User.grant(
            self.make_context("UserGrant"), instance, user, "%", [database]
        )
        return {}

    def revoke(self, instance: str, user: str, database: str) -> Answer:
        """Revoke a user's access to a database."""
        accounts.User.revoke(
            self.make_context("UserRevoke"), instance, user, "%", database
        )
        return {}

    def accounts(self, instance: str) -> Answer:
        """List databases, and users with their databases."""
        context = self.make_context("UserCreate")
        schemas, _ = accounts.Schemas.load(context, instance)
        users, _ = accounts.Users.load(context, instance)
        return {
            "databases": [schema.name for schema in schemas],
            "users": {
                user.name: sorted(
                    database["name"] for database in user.databases
                )
                for user in users
            },
        }

    def enable_root(self, instance: str) -> Answer:
        """Enable the superuser, and return its name and password."""
        context = self.make_context("UserCreate")
        root = accounts.Root.create(context, instance, None)
        return {"user": root.name, "password": root.password}

    def disable_root(self, instance: str) -> Answer:
        """Disable the superuser."""
        accounts.Root.delete(self.make_context("UserDelete"), instance)
        return {}

    def root_enabled(self, instance: str) -> Answer:
        """Return whether the superuser is enabled."""
        context = self.make_context("UserCreate")
        return {"enabled": accounts.Root.load(context, instance)}
