# SPDX-License-Identifier: Apache-2.0
"""Prepares a container for an image: an archive for ``docker load``."""

import collections.abc
import concurrent.futures
import dataclasses
import datetime
import hashlib
import io
import json
import pathlib
import tarfile
import tempfile
import typing

from trove_tools.host import digests
from trove_tools.sources.container import backup
from trove_tools.sources.container import layers
from trove_tools.sources.container import recipes
from trove_tools.sources.container import rootfs
from trove_tools.sources.container import skopeo
from trove_tools.sources.container import sources


@dataclasses.dataclass(frozen=True)
class Prepared:
    """A container whose archive was written.

    :param digest: the digest of the manifest in a registry, or the image's id.
    :param size: the size of the archive, in bytes; several archives may have
        the same layers.
    :param installed: the full version of the server, or of Trove for a backup
        container; empty if unknown.
    """

    container: sources.Container
    digest: str
    size: int
    installed: str

    def as_dict(self) -> dict[str, typing.Any]:
        """Return plain data for the records of a layer and of an image."""
        return {
            "datastore": self.container.datastore,
            "installed": self.installed,
            "container": {
                "names": list(self.container.names),
                "digest": self.digest,
                "source": self.container.source,
                "reference": self.container.reference,
                "size": self.size,
                "backup": self.container.backup,
            },
        }


@dataclasses.dataclass(frozen=True)
class Obtained:
    """A container whose content is on this host.

    :param installed: the full version of the server, or of Trove for a backup
        container; empty if unknown.
    :param digest: the digest of the copied image; empty for packages.
    :param root: the root that the packages were installed in, as a tar
        archive; None if the container's archive is written already.
    """

    container: sources.Container
    installed: str
    digest: str = ""
    root: pathlib.Path | None = None


def obtain(
    container: sources.Container,
    directory: pathlib.Path,
    conditions: rootfs.Conditions,
    log: collections.abc.Callable[[str], object],
) -> Obtained:
    """Copy a container, or make its root from packages.

    :param directory: the directory for the archive and temporary files.
    :param log: called with the output of programs.
    :raises BuildError: the container is not available, or is not the wanted
        one.
    """
    if container.source != "packages":
        arch = conditions.arch
        image = skopeo.find(container, arch)
        log(f"{image.transport} is {image.digest}\n")
        skopeo.copy(container, image, directory / container.file, arch)
        # checked after copying: a file that is still as in the plan was not
        # replaced while it was copied
        sources.require_unchanged(container)
        version = skopeo.version_in(image.config, container.variable)
        return Obtained(container, version, image.digest)
    work = directory / pathlib.Path(container.file).stem
    work.mkdir()
    with concurrent.futures.ThreadPoolExecutor(1) as pool:
        if container.backup:
            # downloaded while the packages are installed
            program = pool.submit(
                backup.fetch_program, container.requirement, work
            )
        root, said = rootfs.make(
            _recipe(container),
            container.suite,
            container.packages,
            conditions,
            work,
        )
    log(said)
    if container.backup:
        version = backup.add_program(
            root, container, program.result(), conditions.arch, work,
            conditions.epoch,
        )  # fmt: skip
    else:
        version = rootfs.installed(root).get(container.packages[0], "")
    return Obtained(container, version, root=root)


def write_archives(
    containers: collections.abc.Sequence[Obtained],
    directory: pathlib.Path,
    conditions: rootfs.Conditions,
) -> list[Prepared]:
    """Write the archives of containers that an image has together.

    Containers from packages share layers with the files that they have in
    common.  The roots are removed.

    :param directory: the directory for the archives and temporary files.
    """
    roots = [
        layers.Root(
            each.root,
            (
                each.container.suite,
                "backup" if each.container.backup else "server",
            ),
        )
        for each in containers
        if each.root is not None
    ]
    prepared = []
    with tempfile.TemporaryDirectory(prefix=".layers-", dir=directory) as name:
        chains = layers.split(roots, pathlib.Path(name))
        for each in containers:
            container, digest = each.container, each.digest
            file = directory / container.file
            if each.root is not None:
                config = _recipe(container).configuration(container.version)
                config["Env"].append(f"{container.variable}={each.installed}")
                chain = next(chains)
                digest = write_archive(
                    chain,
                    file,
                    names=container.names,
                    arch=conditions.arch,
                    config=config,
                    epoch=conditions.epoch,
                )
                # the top layer; the temporary directory may be in memory
                chain[-1].unlink()
            size = file.stat().st_size
            prepared.append(Prepared(container, digest, size, each.installed))
    return prepared


def _recipe(container: sources.Container) -> recipes.Recipe:
    if container.command:
        return recipes.plain(
            container.command, container.data, container.port
        )
    if not container.backup:
        return recipes.read(container.recipe)
    recipe = recipes.read_backup(container.recipe, container.version)
    assert recipe is not None
    return recipe


def write_archive(
    chain: collections.abc.Sequence[pathlib.Path],
    file: pathlib.Path,
    *,
    names: collections.abc.Sequence[str],
    arch: str,
    config: collections.abc.Mapping[str, typing.Any],
    epoch: int,
) -> str:
    """Write a container's image for ``docker load``, without Docker.

    The archive does not depend on the time and the place of writing: the same
    layers give the same image id.

    :param chain: the layers, as tar archives, the lowest first.
    :param file: the archive to write.
    :param names: all names of the image, with tags.
    :param config: the image's ``config``: entrypoint, environment and so on.
    :param epoch: the recorded time of creation, in seconds since 1970.
    :returns: the image's id.
    """
    digest_of = {
        layer: digests.compute(layer, ("sha256",))["sha256"] for layer in chain
    }
    created = datetime.datetime.fromtimestamp(epoch, datetime.UTC)
    stamp = created.isoformat().replace("+00:00", "Z")
    described = _json(
        {
            "architecture": arch,
            "os": "linux",
            "created": stamp,
            "config": dict(config),
            "rootfs": {
                "type": "layers",
                "diff_ids": [f"sha256:{each}" for each in digest_of.values()],
            },
            "history": [
                {"created": stamp, "created_by": "trove-tools"} for _ in chain
            ],
        }
    )
    identity = hashlib.sha256(described).hexdigest()
    index = _json(
        [
            {
                "Config": f"{identity}.json",
                "RepoTags": list(names),
                "Layers": [
                    f"{each}/layer.tar" for each in digest_of.values()
                ],
            }
        ]
    )
    with tarfile.open(file, "w", format=tarfile.PAX_FORMAT) as archive:
        for name, content in (
            ("manifest.json", index),
            (f"{identity}.json", described),
        ):
            archive.addfile(_member(name, len(content)), io.BytesIO(content))
        for layer, each in digest_of.items():
            with open(layer, "rb") as stream:
                member = _member(f"{each}/layer.tar", layer.stat().st_size)
                archive.addfile(member, stream)
    return f"sha256:{identity}"


def _member(name: str, size: int) -> tarfile.TarInfo:
    member = tarfile.TarInfo(name)
    member.size = size
    return member


def _json(data: typing.Any) -> bytes:
    return json.dumps(data, sort_keys=True, indent=1).encode()
