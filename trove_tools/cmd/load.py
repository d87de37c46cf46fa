# SPDX-License-Identifier: Apache-2.0
"""load-trove-image: bring images into Glance and register them in Trove."""

import argparse
import collections.abc
import pathlib

from trove_tools import config
from trove_tools import console
from trove_tools import errors
from trove_tools import options
from trove_tools.cmd import common

_EXAMPLES = """
examples:
  load-trove-image trove-mariadb-11.8-debian-13-amd64.qcow2 --activate
  load-trove-image other.qcow2 --datastore mariadb --version 11.8
  eval "$(load-trove-image IMAGE --format shell)"; echo $LOADED_0_IMAGE_ID

A version that is new to Trove is registered inactive: users do not see it
before activate-trove-image, or --activate here, makes it the default.
An image that is in Glance already is not sent again.

exit status: 0 done, 1 the image is not usable, 2 bad usage, 4 the cloud
refused or could not be reached, 130 interrupted
"""

_COLUMNS = (
    "datastore",
    "version",
    "active",
    "default",
    "verified",
    "registration",
    "upload",
    "image_id",
)


def parser() -> argparse.ArgumentParser:
    """Return the command's parser."""
    top = common.Parser(
        prog="load-trove-image",
        description="Load guest images into Glance and register their"
        " datastores in Trove.",
        epilog=_EXAMPLES,
    )
    top.add_argument(
        "images",
        metavar="IMAGE",
        nargs="+",
        type=pathlib.Path,
        help="image file; the manifest beside it says what it is",
    )
    options.add(top, declared())
    return top


def declared() -> list[options.Option]:
    """Return the options that the command takes."""
    return config.group("common", "arch", "datastore", "load", "cloud")


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
    # --help must not wait for openstacksdk
    from trove_tools.cloud import connection
    from trove_tools.cloud import load

    sources = load.prepare(flags.images, settings)
    cloud = connection.connect(settings)
    rows = load.load(
        cloud,
        sources,
        screen,
        pin=settings.pin,
        activate=settings.activate,
    )
    if settings.format == "shell":
        console.emit({"loaded": rows}, "shell")
    else:
        console.emit(rows, settings.format, _COLUMNS)
    return errors.EXIT_OK
