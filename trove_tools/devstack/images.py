# SPDX-License-Identifier: Apache-2.0
"""What is to be done with images that were built.

The steps are words, for a shell to read: STEP VERSIONS FILE, where VERSIONS
is NAME:VERSION, several with commas between.

``activate``
    load the image, and make its versions the defaults of their datastores:
    the first version of each datastore;
``load``
    load the image, and register its versions;
``keep``
    leave the image where it is: this series of Trove has no manager for what
    is in it.
"""

import collections.abc
import pathlib
import typing

from trove_tools import errors
from trove_tools.artifact import manifest

Results = (
    collections.abc.Mapping[str, typing.Any]
    | collections.abc.Sequence[collections.abc.Mapping[str, typing.Any]]
)


def steps(results: Results) -> list[tuple[str, ...]]:
    """Return the steps for images.

    :param results: what a build printed: one image, or several.
    :raises ImageError: an image has no manifest.
    """
    rows = (
        [results] if isinstance(results, collections.abc.Mapping) else results
    )
    made: list[tuple[str, ...]] = []
    keep: list[tuple[str, ...]] = []
    seen: set[str] = set()
    for row in rows:
        image = str(row["image"])
        described = manifest.read(pathlib.Path(image))
        if described is None:
            raise errors.ImageError(
                f"{image} has no manifest", hint="build it again"
            )
        names: list[str] = []
        versions = []
        for each in described.datastores:
            version = f"{each.name}:{each.version}"
            if each.manager:
                names.append(each.name)
                versions.append(version)
            else:
                keep.append(("keep", version, image))
        if versions:
            step = "load" if seen.issuperset(names) else "activate"
            made.append((step, ",".join(versions), image))
        seen.update(names)
    return [*made, *keep]
