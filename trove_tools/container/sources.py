# SPDX-License-Identifier: Apache-2.0
"""Where a datastore's container comes from, as a user says it.

``--container-source`` takes ``packages``, ``registry``, ``archive:PATH`` and
``oci:PATH``.  For one of several datastores: ``NAME=SOURCE``.
"""

import collections.abc
import dataclasses
import hashlib
import pathlib
import typing

from trove_tools import credentials
from trove_tools import digests
from trove_tools import errors
from trove_tools import paths
from trove_tools.catalog import model
from trove_tools.container import recipes

_KINDS = ("packages", "registry", "archive", "oci")


@dataclasses.dataclass(frozen=True)
class Container:
    """One container that an image gets, and where from.

    :param source: packages, registry, archive or oci.
    :param names: with tags; those it has in the guest.
    :param packages: what it is made of; the first has the version.
    :param recipe: how.
    :param reference: what a registry is asked for.
    :param mirror: the registry to ask instead.
    :param path: of an archive or an OCI layout.
    :param digest: of what it is made from, as far as that is known before.
    """

    datastore: str
    version: str
    variable: str
    source: str
    names: tuple[str, ...]
    packages: tuple[str, ...] = ()
    recipe: str = ""
    reference: str = ""
    mirror: str = ""
    path: str = ""
    digest: str = ""

    def as_dict(self) -> dict[str, typing.Any]:
        """Return it for a plan."""
        return dataclasses.asdict(self)


def choose(
    words: collections.abc.Iterable[str],
    datastores: collections.abc.Collection[str],
    known: collections.abc.Collection[str],
) -> dict[str, str | None]:
    """Return the source that a user named for each datastore of an image.

    :param words: ``SOURCE`` and ``NAME=SOURCE``; NAME may be a datastore of
        another image that the same command builds.
    :param datastores: those of the image that run in containers.
    :param known: all in the catalog that can run in containers.
    :raises UsageError: NAME is not known, or no datastore of the image runs
        in a container.
    """
    general = None
    named: dict[str, str] = {}
    for word in words:
        name, separator, rest = word.partition("=")
        # a path may have any character
        if separator and ":" not in name:
            named[name] = rest
        else:
            general = word
        if named.keys() - known or (general and not datastores):
            raise errors.UsageError(
                f"--container-source {word}: no such datastore runs in a"
                " container",
                hint=f"those that do: {', '.join(known) or 'none'}",
            )
    return {name: named.get(name, general) for name in datastores}


def make(
    datastore: model.Datastore,
    version: str,
    container: model.Container,
    guest: str,
    *,
    source: str | None,
    mirror: str | None,
    locked: collections.abc.Mapping[str, str] | None,
) -> Container:
    """Return the container of a datastore.

    :param guest: the guest system; its packages may make the container.
    :param source: what the user said; the packages where they will do,
        else the registry, when nothing.
    :param mirror: a registry to ask instead of the catalog's.
    :param locked: digests by reference that a registry must have.
    :raises UsageError: there is no such source, or not for this datastore.
    """
    packages = container.packages.get(version, {}).get(guest, ())
    kind, separator, path = (source or "").partition(":")
    if not source:
        kind = "packages" if packages else "registry"
    if kind not in _KINDS or bool(separator) != (kind in ("archive", "oci")):
        raise errors.UsageError(
            f"--container-source {source}: no such source",
            hint="one of: packages, registry, archive:PATH, oci:PATH; with"
            " NAME= before it for one of several datastores",
        )
    common: dict[str, typing.Any] = {
        "datastore": datastore.name,
        "version": version,
        "variable": container.variable,
        "source": kind,
        "names": container.tagged(version),
    }
    if kind == "packages":
        if not packages:
            raise errors.UsageError(
                f"{guest} has no packages of {datastore.name} {version} to"
                " make a container of",
                hint=_others(datastore, container)
                + "--container-source registry, archive:PATH or oci:PATH",
            )
        return Container(
            **common,
            packages=packages,
            recipe=container.recipe,
            digest=_recipe_digest(container.recipe),
        )
    if kind == "registry":
        credentials.refuse(
            # it may have no scheme
            mirror and f"https://{mirror.rpartition('://')[2]}",
            "--registry-mirror",
            "leave them out, and log in with `skopeo login`",
        )
        reference = f"{container.image}:{version}"
        if locked is not None and reference not in locked:
            raise errors.UsageError(
                f"the lock file of --locked has no {reference}",
                hint="write one with --lock, where the registry is reached",
            )
        return Container(
            **common,
            reference=reference,
            mirror=mirror or "",
            digest=(locked or {}).get(reference, ""),
        )
    place = pathlib.Path(path).expanduser()
    content = _content(place, kind)
    paths.require_file(
        content,
        f"--container-source {kind}:{path}: file",
        "name an OCI layout, a directory with index.json"
        if kind == "oci"
        else "name an archive, as `docker save` writes it",
    )
    if ":" in str(place.resolve()):
        raise errors.UsageError(
            f"--container-source {kind}:{path}: skopeo takes what follows a"
            " colon in a path for an image's name",
            hint="move it to a path without a colon",
        )
    return Container(
        **common,
        path=str(place.resolve()),
        digest=f"sha256:{digests.sha256(content)}",
    )


def require_unchanged(container: Container) -> None:
    """Make sure that an archive or an OCI layout is that of the plan.

    In a layout the digest of each file stands in index.json or below it, and
    skopeo compares it.

    :raises BuildError: it was replaced.
    """
    if container.source not in ("archive", "oci"):
        return
    place = pathlib.Path(container.path)
    digests.require(
        container.path,
        f"sha256:{digests.sha256(_content(place, container.source))}",
        container.digest,
        "build again when nobody writes to it any more",
        said="the plan",
    )


def _content(place: pathlib.Path, kind: str) -> pathlib.Path:
    """Return the file whose digest tells all that is in a place."""
    return place / "index.json" if kind == "oci" else place


def _others(datastore: model.Datastore, container: model.Container) -> str:
    """Name what there are packages of."""
    found = [
        f"{datastore.name}:{version} on {guest}"
        for version, guests in container.packages.items()
        for guest in guests
    ]
    return f"there are those of {', '.join(found)}; or " if found else ""


def _recipe_digest(name: str) -> str:
    """Return a digest of all files that turn packages into a container."""
    total = hashlib.sha256(recipes.FINISH.read_bytes())
    recipe = recipes.read(name)
    total.update((recipe.directory / "recipe.yaml").read_bytes())
    for place, file in recipe.files():
        total.update(place.encode() + b"\0" + file.read_bytes())
    return f"sha256:{total.hexdigest()}"
