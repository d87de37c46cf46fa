# SPDX-License-Identifier: Apache-2.0
"""The projects of a cloud: which one images belong to, and who shares them."""

import collections.abc
import typing

from trove_tools import errors
from trove_tools.cloud import failures

if typing.TYPE_CHECKING:
    from trove_tools.cloud import connection

#: What the project of the services is called nearly everywhere.  Trove
#: looks for images, and starts instances, as a user of that project.
SERVICE = "service"


def find(login: "connection.Login", wanted: str) -> list[str]:
    """Return the ids of the projects of a name, else the one of this id.

    :param login: the session with the cloud.
    :param wanted: the name or the id.
    :returns: nothing where there is none, or nobody may see it.
    """
    doing = "looking for a project"
    keystone = login.service("keystone", "identity")
    try:
        found = keystone.read("/projects", doing, params={"name": wanted})[
            "projects"
        ]
        if not found and wanted != SERVICE:
            found = [keystone.read(f"/projects/{wanted}", doing)["project"]]
    except failures.Refused as exc:
        if exc.status not in (401, 403, 404):
            raise
        found = []
    return [project["id"] for project in found]


def not_found(
    wanted: str, found: collections.abc.Sized, option: str
) -> errors.UsageError:
    """Return the error for a name that is not that of exactly one project.

    :param wanted: the name.
    :param found: the projects that have it.
    :param option: the option that names it.
    """
    what = "several projects are" if found else "no project is"
    return errors.UsageError(
        f"{what} called {wanted!r}, as far as one may see",
        hint=f"correct {option}; an id is never ambiguous",
    )


def owner(login: "connection.Login", wanted: str) -> str:
    """Return the id of the project that images belong to.

    :param login: the session with the cloud.
    :param wanted: its name or id, or the name that it has in most clouds.
    :raises UsageError: it was named, and there is no such project.
    """
    session = login.sdk.session
    name = session.auth.get_access(session).project_name
    if wanted in (name, login.project_id):
        return login.project_id
    found = find(login, wanted)
    if len(found) == 1:
        return found[0]
    if wanted != SERVICE:
        raise not_found(wanted, found, "--image-project")
    return login.project_id
