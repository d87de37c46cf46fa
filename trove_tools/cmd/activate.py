# SPDX-License-Identifier: Apache-2.0
"""activate-trove-image: make a datastore version the one that users get."""

import argparse
import collections.abc

from trove_tools import config
from trove_tools import console
from trove_tools import errors
from trove_tools import options
from trove_tools.cmd import common

_EXAMPLES = """
examples:
  activate-trove-image mariadb:11.8
  activate-trove-image mariadb            the newest registered version

exit status: 0 done, 2 bad usage, 4 the cloud refused or could not be
reached, 130 interrupted
"""

_COLUMNS = (
    "datastore",
    "version",
    "active",
    "default",
    "image",
    "image_id",
)


def parser() -> argparse.ArgumentParser:
    """Return the command's parser."""
    top = common.Parser(
        prog="activate-trove-image",
        description="Make a registered datastore version active and its"
        " datastore's default, if there is an image to start it from.",
        epilog=_EXAMPLES,
    )
    top.add_argument("datastore", metavar="DATASTORE[:VERSION]")
    options.add(top, declared())
    return top


def declared() -> list[options.Option]:
    """Return the options that the command takes."""
    return config.group("common", "cloud")


def main(argv: collections.abc.Sequence[str] | None = None) -> int:
    """Run the command.

    :returns: its exit status.
    """
    return common.main(parser(), _run, lambda flags: declared(), argv)


def _run(
    settings: options.Settings,
    flags: argparse.Namespace,
    screen: console.Console,
) -> int:
    name, colon, version = flags.datastore.partition(":")
    if not name or (colon and not version):
        raise errors.UsageError(
            f"{flags.datastore!r} names no datastore version",
            hint="write DATASTORE or DATASTORE:VERSION, as mariadb:11.8",
        )
    # --help must not wait for openstacksdk
    from trove_tools.cloud import activate
    from trove_tools.cloud import connection

    cloud = connection.connect(settings)
    row = activate.activate(cloud, name, version or None, screen)
    if settings.format == "shell":
        console.emit({"activated": row}, "shell")
    elif settings.format == "table":
        console.emit([row], "table", _COLUMNS)
    else:
        console.emit(row, settings.format)
    return errors.EXIT_OK
