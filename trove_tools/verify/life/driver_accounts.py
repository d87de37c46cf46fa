# SPDX-License-Identifier: Apache-2.0
"""Manages databases, users and the superuser with the models of Trove's API.

This file is a part of :mod:`trove_tools.verify.life.driver`.
"""

import abc
import types
import typing

from trove.extensions.common import common as extensions
from trove.extensions.common import models as accounts

Answer = dict[str, typing.Any]


class Accounts(abc.ABC):
    """Handles the requests for databases and users."""

    @abc.abstractmethod
    def make_context(self, kind: str, **payload: object) -> typing.Any:
        """Return a user's context; see the driver."""

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
                user.name: sorted(each["name"] for each in user.databases)
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
