# SPDX-License-Identifier: Apache-2.0
"""Datastores in containers: what a build lays where their element looks."""

import collections.abc
import typing

from trove_tools.container import prepare as _prepare
from trove_tools.container import sources
from trove_tools.image import dib
from trove_tools.image import packages


def prepare(
    entries: collections.abc.Iterable[dict[str, typing.Any]],
    run: dib.Run,
    guest: collections.abc.Mapping[str, str],
    *,
    mirror: str | None,
    security: str | None,
) -> list[dict[str, typing.Any]]:
    """Make archives of containers.

    :param entries: the containers, as the plan has them.
    :returns: datastore, installed (the server's version) and container (as
        the manifest has it) of each.
    :raises BuildError: one cannot be had, or is of another version.
    """
    prepared = []
    with open(run.log, "a") as log:
        for entry in entries:
            container = sources.Container(**entry)
            run.progress.state(f"container of {container.datastore}")
            made = _prepare.prepare(
                container,
                run.containers,
                guest=guest,
                mirror=mirror,
                security=security,
                log=log.write,
            )
            for server in container.packages[:1]:
                packages.of_version(
                    {server: made.installed},
                    server,
                    container.version,
                    mirror or "the mirror",
                )
            prepared.append(
                {
                    "datastore": container.datastore,
                    "installed": made.installed,
                    "container": made.as_dict(),
                }
            )
            run.progress.advance()
    return prepared
