# SPDX-License-Identifier: Apache-2.0
"""What is to be done with images that were built.

The steps are words, for a shell to read:

``load FILE``
    send the image and register what is in it;
``activate NAME:VERSION``
    make this version its datastore's default: the first of each datastore;
``keep NAME:VERSION FILE``
    the image stays where it is, because this series of Trove has no manager
    for what is in it.
"""

import collections.abc
import pathlib
import typing

from trove_tools import errors
from trove_tools import manifest

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
    load: list[tuple[str, ...]] = []
    activate: dict[str, tuple[str, ...]] = {}
    keep: list[tuple[str, ...]] = []
    for row in rows:
        image = str(row["image"])
        made = manifest.read(pathlib.Path(image))
        if made is None:
            raise errors.ImageError(
                f"{image} has no manifest", hint="build it again"
            )
        managed = [each for each in made.datastores if each.manager]
        if managed:
            load.append(("load", image))
        for each in managed:
            word = f"{each.name}:{each.version}"
            activate.setdefault(each.name, ("activate", word))
        for each in made.datastores:
            if not each.manager:
                keep.append(("keep", f"{each.name}:{each.version}", image))
    return [*load, *activate.values(), *keep]
