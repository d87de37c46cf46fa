# SPDX-License-Identifier: Apache-2.0
"""Reads the datastores that a localrc names, and makes Trove's settings.

``TROVE_GUEST_DATASTORES`` contains words ``NAME[:VERSION]``. This module does
not connect to a cloud: it reads only the catalog and the manifests of images.
"""

import collections.abc
import dataclasses
import pathlib
import typing

from trove_tools import errors
from trove_tools.artifact import manifest as manifests
from trove_tools.catalog import model
from trove_tools.sources.container import sources as _sources

Results = (
    collections.abc.Mapping[str, typing.Any]
    | collections.abc.Sequence[collections.abc.Mapping[str, typing.Any]]
)

#: The variable that names a file, and a section, an option and a value.
Setting = tuple[str, str, str, str]


@dataclasses.dataclass(frozen=True)
class Choice:
    """A datastore version that devstack offers."""

    datastore: model.Datastore
    version: str

    def __str__(self) -> str:
        return f"{self.datastore.name}:{self.version}"


def parse(
    words: collections.abc.Iterable[str], catalog: model.Catalog
) -> list[Choice]:
    """Parse words into datastore versions, in their order.

    :param words: each ``NAME[:VERSION]``, or several of them separated by
        commas or blanks.
    :raises UsageError: a word is not in the catalog, or there are no words.
    """
    choices = []
    for word in " ".join(words).replace(",", " ").split():
        name, version = model.split_name(word)
        datastore = catalog.datastore(name)
        choice = Choice(datastore, datastore.version(version or None).version)
        if choice not in choices:
            choices.append(choice)
    if not choices:
        raise errors.UsageError(
            "no datastore was given", hint="for example: mysql mariadb:11.8"
        )
    return choices


def firsts(choices: collections.abc.Iterable[Choice]) -> list[Choice]:
    """Return the first version of each datastore."""
    chosen: dict[str, Choice] = {}
    for choice in choices:
        chosen.setdefault(choice.datastore.name, choice)
    return list(chosen.values())


def settings(
    choices: collections.abc.Sequence[Choice],
    catalog: model.Catalog,
    *,
    volumes: bool,
    system: str | None = None,
    sources: collections.abc.Sequence[str] = (),
) -> list[Setting]:
    """Return Trove's settings for the datastores.

    :param volumes: whether the cloud has volumes.
    :param system: the guest system, as in ``--guest``.
    :param sources: the sources of containers, as in ``--container-source``.
    :returns: devstack's variable for the file, section, option and value of
        each setting.
    """
    result = []
    managed = [
        choice for choice in firsts(choices) if choice.datastore.manager
    ]
    if managed:
        name = managed[0].datastore.name
        result.append(("TROVE_CONF", "DEFAULT", "default_datastore", name))
    for choice in managed:
        datastore = choice.datastore
        section = str(datastore.manager)
        # the name in the image; the agent adds the version as the tag
        names = _sources.configured(
            datastore, choice.version, catalog, system, sources
        )
        result += [
            ("TROVE_GUESTAGENT_CONF", section, option, name)
            for option, name in names.items()
        ]
        if not volumes:
            result.append(("TROVE_CONF", section, "volume_support", "False"))
    return result


def list_steps(results: Results) -> list[tuple[str, ...]]:
    """Return the steps to load the images of a build.

    A step consists of words for a shell: STEP VERSIONS FILE, where VERSIONS is
    NAME:VERSION, several separated by commas. ``activate`` loads the image,
    and makes its versions the defaults of their datastores; it is used for the
    first version of each datastore. ``load`` loads the image, and registers
    its versions. ``keep`` does not load the image: this series of Trove has no
    manager for its datastores.

    :param results: the result of a build: one image, or several.
    :raises ImageError: an image has no manifest.
    """
    rows = (
        [results] if isinstance(results, collections.abc.Mapping) else results
    )
    steps: list[tuple[str, ...]] = []
    keep: list[tuple[str, ...]] = []
    seen: set[str] = set()
    for row in rows:
        image = str(row["image"])
        manifest = manifests.read(pathlib.Path(image))
        if manifest is None:
            raise errors.ImageError(
                f"{image} has no manifest", hint="build it again"
            )
        names: list[str] = []
        versions = []
        for entry in manifest.datastores:
            version = f"{entry.name}:{entry.version}"
            if entry.manager:
                names.append(entry.name)
                versions.append(version)
            else:
                keep.append(("keep", version, image))
        if versions:
            step = "load" if seen.issuperset(names) else "activate"
            steps.append((step, ",".join(versions), image))
        seen.update(names)
    return [*steps, *keep]
