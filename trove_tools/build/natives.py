# SPDX-License-Identifier: Apache-2.0
"""Prepares native datastores for a build, and checks them afterwards."""

import collections.abc
import typing

from trove_tools.build import dib
from trove_tools.build import packages
from trove_tools.sources.native import prepare as _prepare
from trove_tools.sources.native import sources


def prepare(
    natives: collections.abc.Iterable[sources.Native],
    run: dib.Run,
    mirror: str,
) -> dict[str, str]:
    """Check the sources of native datastores, and prepare files for elements.

    :param mirror: the URL of the distribution's archive.
    :returns: the server's package by datastore, followed by a blank and the
        version if a vendor's installer leaves no package.
    :raises BuildError: a repository or a package is not as expected.
    """
    cache = run.downloads / "apt" / run.distribution
    servers = {}
    for native in natives:
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
    """Return the version of the server that is installed in the image.

    :param entry: the datastore, as in the plan.
    :param known: the value that :func:`prepare` returned for the datastore.
    :param found: the versions of the packages in the image, by package.
    :param mirror: the source of the packages, for the error.
    :raises BuildError: another version is installed.
    """
    server, _, version = known.partition(" ")
    if version:
        # a vendor's installer leaves no package behind
        return version
    return packages.of_version(found, server, entry["version"], mirror)
