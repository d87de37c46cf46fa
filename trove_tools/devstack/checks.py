# SPDX-License-Identifier: Apache-2.0
"""Checks whether a cloud is ready, from the view of an ordinary user."""

import collections.abc
import typing

from trove_tools import errors
from trove_tools.cloud import connection
from trove_tools.devstack import datastores
from trove_tools.devstack import flavors
from trove_tools.host import requirements


def project(login: connection.Login, name: str) -> str:
    """Return the id of a project.

    :raises UsageError: there is no project of this name.
    :raises CloudError: keystone refused.
    """
    keystone = login.service("keystone", "identity")
    projects = keystone.read(
        "/projects", "looking for a project", params={"name": name}
    )["projects"]
    if not projects:
        raise errors.UsageError(
            f"this cloud has no project {name!r}",
            hint="name the one that Trove's instances belong to:"
            " --service-project NAME",
        )
    return str(projects[0]["id"])


def check(
    user: connection.Login,
    choices: collections.abc.Sequence[datastores.Choice],
) -> list[requirements.Finding]:
    """Check the cloud as a user who wants to create an instance.

    :param user: the user's connection.
    :param choices: the expected datastores; if empty, only the services are
        checked.
    :raises CloudError: a service cannot be reached or refuses.
    """
    offered = _offered(user.service("Trove", "database"))
    names = ", ".join(sorted(offered)) or "none yet"
    findings = [requirements.Finding(f"Trove answers {user.who}", True, names)]
    for choice in choices:
        if choice.datastore.manager:
            findings.append(_version(choice, offered))
    if user.has("compute"):
        known = flavors.list_flavors(user.service("Nova", "compute"))
        # without volumes, the data is on the ephemeral disk
        ephemeral = 0 if user.has("block-storage") else 1
        findings += [
            _flavor(each, known, ephemeral)
            for each in datastores.firsts(choices)
        ]
    return findings


def _offered(trove: connection.Service) -> dict[str, typing.Any]:
    answer = trove.read("/datastores", "listing datastores")
    return {each["name"]: each for each in answer["datastores"]}


def _version(
    choice: datastores.Choice,
    offered: collections.abc.Mapping[str, typing.Any],
) -> requirements.Finding:
    datastore = offered.get(choice.datastore.name, {})
    # an ordinary user only sees active versions
    versions = {
        each["name"]: each["id"] for each in datastore.get("versions", [])
    }
    return requirements.Finding(
        f"{choice} can be used",
        choice.version in versions,
        f"versions: {', '.join(errors.in_order(versions)) or 'none'}",
        f"activate-trove-image {choice}",
    )


def _flavor(
    choice: datastores.Choice,
    known: collections.abc.Iterable[flavors.Flavor],
    ephemeral: int,
) -> requirements.Finding:
    needed = choice.datastore
    enough = flavors.find_large_enough(
        known, needed.min_ram, needed.min_disk, ephemeral
    )
    return requirements.Finding(
        f"{needed.name} has a flavor",
        bool(enough),
        enough[0].name if enough else "none is large enough",
        f"make one with {needed.min_ram} MiB and {needed.min_disk} GiB"
        + (f", and {ephemeral} GiB ephemeral disk" if ephemeral else ""),
    )
