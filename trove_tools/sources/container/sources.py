# SPDX-License-Identifier: Apache-2.0
"""Chooses the source of a datastore's container from the user's options.

``--container-source`` accepts ``packages``, ``registry``, ``archive:PATH`` and
``oci:PATH``; for one of several datastores: ``NAME=SOURCE``.
"""

import collections.abc
import dataclasses
import hashlib
import pathlib
import typing

from trove_tools import errors
from trove_tools.catalog import model
from trove_tools.host import credentials
from trove_tools.host import digests
from trove_tools.host import paths
from trove_tools.sources.container import recipes

#: The name of a datastore's backup container in a guest.
BACKUP_NAME = "db-backup-{}"

_KINDS = ("packages", "registry", "archive", "oci")


@dataclasses.dataclass(frozen=True)
class Container:
    """One container of an image, and its source.

    :param variable: the environment variable that contains the version.
    :param source: packages, registry, archive or oci.
    :param names: all names in the guest, with tags.
    :param packages: the packages that it is made from; the first one has the
        version.
    :param suite: the distribution's suite that has the packages.
    :param recipe: the name of the recipe for the packages.
    :param command: the command that it runs, if there is no recipe.
    :param data: the directory that the command writes to.
    :param port: the TCP port that the command listens on.
    :param reference: the name of the image in a registry, with a tag.
    :param mirror: the registry to use instead of the reference's.
    :param path: the path of an archive or an OCI layout.
    :param digest: the digest of the recipe, the image or the file, as far as
        it is known before the build.
    :param backup: whether it is a backup container.
    :param requirement: for pip, the requirement on Trove, which has the
        backup program.
    :param constraints: a file or URL of upper constraints for the backup
        program's requirements.
    :param constraints_digest: the sha256 of the file of constraints.
    """

    datastore: str
    version: str
    variable: str
    source: str
    names: tuple[str, ...]
    packages: tuple[str, ...] = ()
    suite: str = ""
    recipe: str = ""
    command: tuple[str, ...] = ()
    data: str = ""
    port: int = 0
    reference: str = ""
    mirror: str = ""
    path: str = ""
    digest: str = ""
    backup: bool = False
    requirement: str = ""
    constraints: str = ""
    constraints_digest: str = ""

    @property
    def title(self) -> str:
        """A phrase for the user, such as "container of mariadb"."""
        kind = "backup container" if self.backup else "container"
        return f"{kind} of {self.datastore}"

    @property
    def file(self) -> str:
        """The file name of the container's archive."""
        return f"{self.datastore}{'-backup' if self.backup else ''}.tar"


def choose(
    words: collections.abc.Iterable[str],
    datastores: collections.abc.Collection[str],
    known: collections.abc.Collection[str],
) -> dict[str, str | None]:
    """Return the user's container source for each datastore of an image.

    :param words: ``SOURCE`` and ``NAME=SOURCE``; NAME may be a datastore of
        another image that the same command builds.
    :param datastores: the image's datastores that run in containers.
    :param known: all datastores in the catalog that can run in containers.
    :returns: the source, or None, by datastore.
    :raises UsageError: NAME is not known, or no datastore of the image runs
        in a container.
    """
    general = None
    named: dict[str, str] = {}
    for word in words:
        name, separator, rest = word.partition("=")
        # a path may contain a "=", but a colon precedes it
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
    guest: model.Guest,
    *,
    source: str | None,
    mirror: str | None,
    locked: collections.abc.Mapping[str, str] | None,
) -> Container:
    """Return the container of a datastore.

    :param guest: the guest system, which determines the packages.
    :param source: the user's source; if None, packages if there are any,
        otherwise the registry.
    :param mirror: a registry to use instead of the catalog's.
    :param locked: the digests that images in a registry must have, by
        reference.
    :raises UsageError: there is no such source, or not for this datastore.
    """
    packages = container.packages_for(version, guest)
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
                f"there are no packages of {datastore.name} {version} to make"
                f" a container for {guest.name} of",
                hint=_others(datastore, container)
                + "--container-source registry, archive:PATH or oci:PATH",
            )
        return Container(
            **common,
            packages=packages,
            suite=container.suites.get(version, guest.release),
            recipe=container.recipe,
            command=container.command,
            data=container.data,
            port=datastore.ports[0],
            digest=_recipe_digest(container.recipe),
        )
    if kind == "registry":
        credentials.refuse(
            # the mirror may have no scheme
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
    """Raise an error if an archive or OCI layout differs from the plan's.

    For a layout, only index.json is compared: it refers to the other files by
    their digests, which skopeo checks.

    :raises BuildError: the archive or the layout was replaced.
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
    """Return the file whose digest covers an archive or an OCI layout."""
    return place / "index.json" if kind == "oci" else place


def make_backup(
    datastore: model.Datastore,
    version: str,
    container: model.Container | None,
    guest: model.Guest,
    *,
    requirement: str,
    constraints: str | None,
) -> Container:
    """Return the backup container of a datastore.

    :param container: the container that the datastore runs in.
    :param guest: the guest system whose packages are used.
    :param requirement: for pip, the requirement on Trove.
    :param constraints: a file or URL of upper constraints.
    :raises UsageError: it cannot be made from packages.
    """
    name = container.recipe if container else ""
    recipe = recipes.read_backup(name, version)
    if container is None or recipe is None:
        raise errors.UsageError(
            f"no packages make a backup container of {datastore.name}",
            hint="take the one that Trove publishes, in a registry that"
            " guests reach",
        )
    if not container.packages_for(version, guest):
        raise errors.UsageError(
            f"there are no packages of {datastore.name} {version} to make a"
            f" backup container for {guest.name} of",
            hint=_others(datastore, container)
            + "take the container that Trove publishes, in a registry that"
            " guests reach",
        )
    total = hashlib.sha256(recipes.FINISH.read_bytes())
    total.update((recipes.DIRECTORY / name / "backup.yaml").read_bytes())
    total.update(repr(recipe.environment).encode())
    constraints_digest = ""
    if constraints and "://" not in constraints:
        file = pathlib.Path(constraints).expanduser()
        paths.require_file(file, "--constraints", "name a file, or a URL")
        constraints = str(file.resolve())
        constraints_digest = digests.sha256(file)
    return Container(
        datastore=datastore.name,
        version=version,
        variable="TROVE_VERSION",
        source="packages",
        names=(f"{BACKUP_NAME.format(datastore.name)}:{version}",),
        packages=recipe.packages,
        suite=container.suites.get(version, guest.release),
        recipe=name,
        digest=f"sha256:{total.hexdigest()}",
        backup=True,
        requirement=requirement,
        constraints=constraints or "",
        constraints_digest=constraints_digest,
    )


def configured(
    datastore: model.Datastore,
    version: str,
    catalog: model.Catalog,
    system: str | None = None,
    words: collections.abc.Sequence[str] = (),
) -> dict[str, str]:
    """Return Trove's configuration options for the containers of an image.

    The names in the options have no registry's host, because the guest serves
    the manifests of these containers to its engine.  The guest agent adds the
    version.

    :param system: the guest system; by default the first that has the version.
    :param words: the values of ``--container-source``.
    :returns: the values of ``docker_image``, and of ``backup_docker_image`` if
        the image has a backup container.
    """
    runtime = datastore.runtimes.get("container")
    container = runtime.container if runtime else None
    if container is None:
        return {}
    names = {"docker_image": container.names[0]}
    known = datastore.version(version).supported("container")
    system = system or next(
        (name for name in catalog.guests if name in known), ""
    )
    source = choose(words, [datastore.name], catalog.datastores)
    packages = container.packages.get(version, {}).get(system, ())
    if (
        packages
        and source[datastore.name] in (None, "packages")
        and recipes.read_backup(container.recipe, version)
    ):
        names["backup_docker_image"] = BACKUP_NAME.format(datastore.name)
    return names


def _others(datastore: model.Datastore, container: model.Container) -> str:
    """Return the part of a hint that lists versions with packages."""
    found = [
        f"{datastore.name}:{version} on {guest}"
        for version, guests in container.packages.items()
        for guest in guests
    ]
    return f"there are those of {', '.join(found)}; or " if found else ""


def _recipe_digest(name: str) -> str:
    """Return a digest of all files of a recipe.

    :param name: the name of the recipe; empty for none.
    """
    total = hashlib.sha256(recipes.FINISH.read_bytes())
    if not name:
        return f"sha256:{total.hexdigest()}"
    total.update((recipes.DIRECTORY / name / "recipe.yaml").read_bytes())
    for place, file in recipes.read(name).files():
        total.update(place.encode() + b"\0" + file.read_bytes())
    return f"sha256:{total.hexdigest()}"
