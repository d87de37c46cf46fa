# SPDX-License-Identifier: Apache-2.0
"""Prepares a container for an image: an archive that ``docker load`` reads."""

import collections.abc
import dataclasses
import datetime
import hashlib
import io
import json
import pathlib
import tarfile
import typing

from trove_tools.host import digests
from trove_tools.sources.container import backup
from trove_tools.sources.container import recipes
from trove_tools.sources.container import rootfs
from trove_tools.sources.container import skopeo
from trove_tools.sources.container import sources


@dataclasses.dataclass(frozen=True)
class Prepared:
    """A container that is ready.

    :param digest: of the manifest in a registry, else the image's id.
    :param size: of the archive, bytes.
    :param installed: the server's full version, or that of Trove, whose
        program takes backups; empty where unknown.
    """

    container: sources.Container
    digest: str
    size: int
    installed: str

    def as_dict(self) -> dict[str, typing.Any]:
        """Return it for a manifest."""
        return {
            "names": list(self.container.names),
            "digest": self.digest,
            "source": self.container.source,
            "reference": self.container.reference,
            "size": self.size,
            "backup": self.container.backup,
        }


def prepare(
    container: sources.Container,
    directory: pathlib.Path,
    *,
    guest: collections.abc.Mapping[str, str],
    mirror: str | None,
    security: str | None,
    log: collections.abc.Callable[[str], object],
    epoch: int = 0,
    is_snapshot: bool = False,
) -> Prepared:
    """Write the archive of a container.

    :param directory: gets it, and beside it what is needed for a time.
    :param guest: distribution, release and arch of the guest system.
    :param mirror: where the distribution's packages are.
    :param security: where its security updates are.
    :param log: takes what the programs that do it said.
    :param epoch: the time of all that is made here, seconds since 1970; by
        itself it has none, as the packages' versions say more.
    :param is_snapshot: the mirrors are as they were on an earlier day.
    :raises BuildError: it cannot be had, or is not what was asked for.
    """
    file = directory / container.file
    if container.source != "packages":
        image = skopeo.find(container, guest["arch"])
        log(f"{image.transport} is {image.digest}\n")
        skopeo.copy(container, image, file, guest["arch"])
        # afterwards: it is the same as when the plan was made, so it was
        # all the time in between
        sources.require_unchanged(container)
        version = skopeo.version_in(image.config, container.variable)
        return Prepared(container, image.digest, file.stat().st_size, version)
    work = directory / file.stem
    work.mkdir()
    recipe = _recipe(container)
    root, said = rootfs.make(
        recipe,
        suite=container.suite,
        guest=guest,
        packages=container.packages,
        mirror=mirror,
        security=security,
        directory=work,
        epoch=epoch,
        is_snapshot=is_snapshot,
    )
    log(said)
    if container.backup:
        version = backup.add_program(
            root, container, guest["arch"], work, epoch
        )
    else:
        version = rootfs.installed(root).get(container.packages[0], "")
    config = recipe.configuration(container.version)
    config["Env"].append(f"{container.variable}={version}")
    digest = write_archive(
        root,
        file,
        names=container.names,
        arch=guest["arch"],
        config=config,
        epoch=epoch,
    )
    root.unlink()
    return Prepared(container, digest, file.stat().st_size, version)


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
    root: pathlib.Path,
    file: pathlib.Path,
    *,
    names: collections.abc.Sequence[str],
    arch: str,
    config: collections.abc.Mapping[str, typing.Any],
    epoch: int,
) -> str:
    """Write a container's image as ``docker load`` reads it, without Docker.

    The archive has one layer. Nothing in it depends on when or where it was
    written: the same root gives the same image id.

    :param root: a tar archive of the root, which becomes the layer.
    :param file: the archive to write.
    :param names: with tags; the image gets all of them.
    :param config: entrypoint, environment and so on.
    :param epoch: when it was made, as far as anybody is told.
    :returns: the image's id.
    """
    layer = digests.compute(root, ("sha256",))["sha256"]
    created = datetime.datetime.fromtimestamp(epoch, datetime.UTC)
    stamp = created.isoformat().replace("+00:00", "Z")
    described = _json(
        {
            "architecture": arch,
            "os": "linux",
            "created": stamp,
            "config": dict(config),
            "rootfs": {"type": "layers", "diff_ids": [f"sha256:{layer}"]},
            "history": [{"created": stamp, "created_by": "trove-tools"}],
        }
    )
    identity = hashlib.sha256(described).hexdigest()
    index = _json(
        [
            {
                "Config": f"{identity}.json",
                "RepoTags": list(names),
                "Layers": [f"{layer}/layer.tar"],
            }
        ]
    )
    with tarfile.open(file, "w", format=tarfile.PAX_FORMAT) as archive:
        for name, content in (
            ("manifest.json", index),
            (f"{identity}.json", described),
        ):
            archive.addfile(_member(name, len(content)), io.BytesIO(content))
        with open(root, "rb") as stream:
            member = _member(f"{layer}/layer.tar", root.stat().st_size)
            archive.addfile(member, stream)
    return f"sha256:{identity}"


def _member(name: str, size: int) -> tarfile.TarInfo:
    member = tarfile.TarInfo(name)
    member.size = size
    return member


def _json(data: typing.Any) -> bytes:
    return json.dumps(data, sort_keys=True, indent=1).encode()
