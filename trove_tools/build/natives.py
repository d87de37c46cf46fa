# SPDX-License-Identifier: Apache-2.0
"""Datastores in the guest's own system: before and after their build."""

import collections.abc
import typing

from trove_tools.build import dib
from trove_tools.build import packages
from trove_tools.sources.native import prepare as _prepare
from trove_tools.sources.native import sources


def prepare(
    entries: collections.abc.Iterable[dict[str, typing.Any]],
    run: dib.Run,
    mirror: str,
) -> dict[str, str]:
    """Check where they come from, and lay out what their elements need.

    :param entries: the datastores, as the plan has them.
    :param mirror: the distribution's archive.
    :returns: by datastore, the server's package; with a version behind it
        where an installer leaves no package.
    :raises BuildError: a repository or a package is not as it must be.
    """
    cache = run.downloads / "apt" / run.distribution
    servers = {}
    for entry in entries:
        native = sources.of_dict(entry)
        run.progress.state(f"packages of {native.datastore}")
        _prepare.prepare(
            native, run.natives, cache=cache, mirror=mirror, log=run.write_log
        )
        file = run.natives / native.datastore / "server"
        servers[native.datastore] = file.read_text().strip()
    return servers


def installed(
    entry: collections.abc.Mapping[str, typing.Any],
    known: str,
    found: dict[str, str],
    mirror: str,
) -> str:
    """Return the version of a server that is really in the image.

    :param entry: the datastore, as the plan has it.
    :param known: what :func:`prepare` returned for it.
    :param found: the versions of the packages in the image.
    :param mirror: where they came from, for the error.
    :raises BuildError: it is not the version that was asked for.
    """
    server, _, version = known.partition(" ")
    if version:
        # an installer of its own leaves no package behind
        return version
    return packages.of_version(found, server, entry["version"], mirror)
