# SPDX-License-Identifier: Apache-2.0
"""Checks with SQL how Trove manages databases, users and the superuser."""

import secrets

from trove_tools.verify import outcome
from trove_tools.verify import sql
from trove_tools.verify.life import instance as _instance

# a second attempt works, too: the answer to the first one may be late
_TABLE = "CREATE TABLE IF NOT EXISTS life_mine (word VARCHAR(64))"


def _password() -> str:
    return f"Aa1{secrets.token_hex(12)}"


def users(instance: _instance.Instance) -> str:
    """Check with SQL what a user may do after each request to Trove."""
    first, second = "life_first", "life_second"
    name, password = "life_user", _password()
    account = instance.account

    def listed() -> tuple[set[str], dict[str, list[str]]]:
        answer = instance.call("accounts")
        return set(answer["databases"]), answer["users"]

    instance.call("create_databases", names=[first, second])
    instance.wait_until(
        lambda: {first, second} <= listed()[0],
        "created databases are not in Trove's list",
    )
    instance.call(
        "create_user", user=name, password=password, databases=[first]
    )
    sql.try_until_works(
        instance.machine,
        lambda: sql.execute(account(name, password, first), _TABLE),
        "a created user cannot make a table in the user's database",
    )
    _require_listed(listed()[1], name, [first])
    instance.require_refused(
        lambda: sql.execute(account(name, password, second), _TABLE),
        "a user makes a table in a database that is not the user's",
    )
    instance.call("grant", user=name, database=second)
    sql.try_until_works(
        instance.machine,
        lambda: sql.execute(account(name, password, second), _TABLE),
        "a user cannot make a table in a granted database",
    )
    _require_listed(listed()[1], name, [first, second])
    instance.call("revoke", user=name, database=second)
    instance.require_refused(
        lambda: sql.execute(account(name, password, second), "SELECT 1"),
        "a user still uses a revoked database",
    )
    changed = _password()
    instance.call("change_password", user=name, password=changed)
    sql.try_until_works(
        instance.machine,
        lambda: sql.read_version(account(name, changed, first)),
        "a user cannot log in with the new password",
    )
    instance.require_refused(
        lambda: sql.read_version(account(name, password, first)),
        "a user still logs in with the old password",
    )
    for database in (first, second):
        instance.call("delete_database", database=database)
    # PostgreSQL does not delete a user who owns objects
    instance.wait_until(
        lambda: not {first, second} & listed()[0],
        "deleted databases are still in Trove's list",
    )
    instance.call("delete_user", user=name)
    instance.require_refused(
        lambda: sql.read_version(account(name, changed)),
        "a deleted user still logs in",
    )
    instance.wait_until(
        lambda: name not in listed()[1],
        "a deleted user is still in Trove's list",
    )
    return (
        "created, listed, granted, revoked and deleted; another password"
        " works, the old one does not"
    )


def _make_user(account: sql.Account, name: str) -> None:
    """Make a user, and remove it."""
    with sql.open_session(account) as run:
        run(f"CREATE USER {name}")
        run(f"DROP USER {name}")


def _require_listed(
    users_found: dict[str, list[str]], name: str, databases: list[str]
) -> None:
    if users_found.get(name) != databases:
        raise outcome.CheckError(
            f"Trove lists {users_found.get(name)} as the databases of a user"
            f" who has {databases}"
        )


def root(instance: _instance.Instance) -> str:
    """Check that the superuser can log in only while Trove enables it."""
    given = instance.call("enable_root")

    def account() -> sql.Account:
        return instance.account(given["user"], given["password"])

    sql.try_until_works(
        instance.machine,
        lambda: sql.read_version(account()),
        "the superuser cannot log in",
    )
    # only a superuser may do this; another name for each attempt
    sql.try_until_works(
        instance.machine,
        lambda: _make_user(account(), f"life_{secrets.token_hex(4)}"),
        "the superuser cannot make a user",
    )
    if not instance.call("root_enabled")["enabled"]:
        raise outcome.CheckError("Trove says that root is not enabled")
    instance.call("disable_root")
    instance.require_refused(
        lambda: sql.read_version(account()),
        "the superuser still logs in after Trove disabled that",
    )
    if instance.call("root_enabled")["enabled"]:
        raise outcome.CheckError("Trove says that root is still enabled")
    return f"{given['user']} logs in when enabled, and only then"
