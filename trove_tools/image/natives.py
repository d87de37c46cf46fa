# SPDX-License-Identifier: Apache-2.0
"""Datastores in the guest's own system: before and after their build."""

import pathlib
import typing

from trove_tools import console
from trove_tools.image import host
from trove_tools.image import packages
from trove_tools.image import plan as _plan
from trove_tools.image import workspace
from trove_tools.native import prepare as _prepare
from trove_tools.native import sources


def prepare(
    plan: _plan.Plan,
    space: workspace.Workspace,
    progress: console.Progress,
) -> None:
    """Check where they come from, and lay out what their elements need.

    :raises BuildError: a repository or a package is not as it must be.
    """
    cache = host.cache_directory() / "apt" / plan.guest["distribution"]
    mirror = plan.environment.get("DIB_DISTRIBUTION_MIRROR", "")
    with open(space.log, "a") as log:
        for entry in plan.natives:
            native = sources.of_dict(entry)
            progress.state(f"packages of {native.datastore}")
            _prepare.prepare(
                native,
                space.natives,
                cache=cache,
                mirror=mirror,
                log=log.write,
            )


def installed(
    entry: typing.Mapping[str, typing.Any],
    plan: _plan.Plan,
    space: workspace.Workspace,
) -> str:
    """Return the version of a server that is really in the image.

    :param entry: the datastore, as the plan has it.
    :raises BuildError: it is not the version that was asked for.
    """
    server, _, version = (
        _server(space.natives / entry["name"]).partition(" ")
    )
    if version:
        # an installer of its own leaves no package behind
        return version
    return packages.of_version(
        packages.installed(space.sidecar, plan.name),
        server,
        entry["version"],
        plan.environment.get("DIB_DISTRIBUTION_MIRROR", "the mirror"),
    )


def _server(directory: pathlib.Path) -> str:
    return (directory / "server").read_text().strip()
