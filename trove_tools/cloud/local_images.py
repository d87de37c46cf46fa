# SPDX-License-Identifier: Apache-2.0
"""Finds the images that were built here."""

import pathlib

from trove_tools import errors
from trove_tools.artifact import manifest
from trove_tools.catalog import model


def newest(directory: pathlib.Path, name: str) -> pathlib.Path:
    """Return the newest image of a datastore version in a directory.

    :param directory: where builds have put them.
    :param name: ``DATASTORE`` or ``DATASTORE:VERSION``.
    :raises UsageError: there is none.
    """
    datastore, version = model.split_name(name)
    found: list[tuple[str, pathlib.Path]] = []
    held = set()
    for file in directory.glob("*.d/manifest.json"):
        # the name of the image is in its manifest alone
        made = manifest.load(file)
        image = directory / made.image["file"]
        if not image.is_file():
            continue
        held |= {f"{each.name}:{each.version}" for each in made.datastores}
        if any(
            each.name == datastore and version in ("", each.version)
            for each in made.datastores
        ):
            found.append((made.created, image))
    if not found:
        near = errors.nearest(name, held, "builds there")
        raise errors.UsageError(
            f"there is no image of {name} in {directory.absolute()}",
            hint=f"{near}; build it: trove-image-builder build {name}, or"
            " name another directory: --output-dir",
        )
    return max(found)[1]
