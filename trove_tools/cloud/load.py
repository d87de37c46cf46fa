# SPDX-License-Identifier: Apache-2.0
"""Bring image files into Glance, and their datastores into Trove.

:func:`prepare` finds out, without a network, what each file is and what
shall become of it.  :func:`load` then makes the cloud so, and touches only
what is not so already.
"""

import collections.abc
import dataclasses
import pathlib
import typing

from trove_tools import console
from trove_tools import errors
from trove_tools import manifest
from trove_tools import options
from trove_tools import verified
from trove_tools.catalog import loader
from trove_tools.cloud import connection
from trove_tools.cloud import glance
from trove_tools.cloud import imagefile
from trove_tools.cloud import trove

_GIB = 1024**3

#: Glance's and libosinfo's words for what Debian calls amd64 and arm64.
_ARCHITECTURES = {"amd64": "x86_64", "arm64": "aarch64"}

_OPEN = ("public", "community")


@dataclasses.dataclass(frozen=True)
class Source:
    """An image file and what shall become of it.

    :param content: the file.
    :param description: the image in Glance.
    :param targets: the datastore versions that it serves.
    :param proof: what is known of its verification.
    """

    content: glance.Content
    description: glance.Description
    targets: tuple[trove.Target, ...]
    proof: verified.Verified | None = None


@dataclasses.dataclass(frozen=True)
class Facts:
    """What is known of an image besides its bytes.

    :param min_ram: MiB.
    :param min_disk: GiB.
    :param properties: what only Glance is to know.
    """

    targets: tuple[trove.Target, ...]
    min_ram: int
    min_disk: int
    dev: bool
    properties: dict[str, typing.Any]


def prepare(
    paths: collections.abc.Sequence[pathlib.Path],
    settings: options.Settings,
) -> list[Source]:
    """Find out what shall become of image files; all of them, or none.

    :param paths: the files.
    :param settings: the options of the group ``load``, and ``catalog`` and
        ``arch``.
    :raises UsageError: a file is absent, or it is not said what it is.
    :raises ImageError: a file is no image, not whole, or not the one that
        its manifest describes.
    """
    found = []
    for path in paths:
        file = imagefile.inspect(path)
        made = manifest.read(path)
        if made is None:
            facts = _from_options(path, settings)
        else:
            _check_size(file, made)
            facts = _from_manifest(path, made, settings)
        if facts.dev and settings.visibility in _OPEN:
            raise errors.UsageError(
                f"{path} was built for development, with a key to log in:"
                f" it is never made {settings.visibility}",
                hint="build it without --dev, or load it as private",
            )
        if not settings.pin:
            for target in facts.targets:
                target.check_tags()
        found.append((file, made, facts))
    # reading gigabytes comes last, after all that can be said at once
    return [
        _source(_content(file, made), facts, settings)
        for file, made, facts in found
    ]


def _check_size(file: imagefile.ImageFile, made: manifest.Manifest) -> None:
    said = made.image["size"]
    if file.size != said:
        what = "truncated" if file.size < said else "not what was built"
        raise errors.ImageError(
            f"{file.path} is {what}: it has {file.size} bytes, its"
            f" manifest says {said}",
            hint="copy the image and its .d directory again, or build it"
            " again",
        )


def _content(
    file: imagefile.ImageFile, made: manifest.Manifest | None
) -> glance.Content:
    """Read a file for its digests.

    :raises ImageError: they are not those of the manifest.
    """
    if made is None:
        sums = manifest.digests(file.path)
        return glance.Content(file, sums["sha256"], sums["sha512"])
    # the other digest was taken from the same bytes as this one
    sha256 = manifest.digests(file.path, ["sha256"])["sha256"]
    if sha256 != made.image["sha256"]:
        raise errors.ImageError(
            f"{file.path} is not the image that its manifest describes:"
            f" its sha256 is {sha256}, the manifest says"
            f" {made.image['sha256']}",
            hint="the file was damaged or changed after the build: copy"
            " the image and its .d directory again, or build it again",
        )
    return glance.Content(file, sha256, made.image["sha512"])


def _from_manifest(
    path: pathlib.Path, made: manifest.Manifest, settings: options.Settings
) -> Facts:
    """Take the facts from the manifest; options select among datastores."""
    chosen = [
        entry
        for entry in made.datastores
        if settings.datastore in (None, entry.name)
        if settings.version in (None, entry.version)
    ]
    if not chosen:
        known = [f"{entry.name}:{entry.version}" for entry in made.datastores]
        asked = f"{settings.datastore or ''}:{settings.version or ''}"
        raise errors.UsageError(
            f"{path} holds no {asked.strip(':')}",
            hint=f"its manifest names {', '.join(known)}; leave out"
            " --datastore and --version to load all of it",
        )
    return Facts(
        targets=tuple(
            _target(entry.name, entry.version, entry.manager, settings)
            for entry in chosen
        ),
        min_ram=max(entry.min_ram for entry in chosen),
        min_disk=max(entry.min_disk for entry in chosen),
        dev=made.dev,
        properties={
            "architecture": _architecture(made.guest["arch"]),
            "os_distro": made.guest["distribution"],
            "os_version": made.guest["version"],
            glance.PREFIX + "build_id": made.build_id,
            glance.PREFIX + "series": made.series["name"],
            glance.PREFIX + "agent_version": made.agent.get("version"),
            glance.PREFIX + "agent_commit": made.agent.get("commit"),
            glance.PREFIX + "dev": str(made.dev).lower(),
        },
    )


def _from_options(path: pathlib.Path, settings: options.Settings) -> Facts:
    """Take the facts from the command line, helped by the catalog."""
    if not settings.datastore or not settings.version:
        raise errors.UsageError(
            f"there is no manifest {manifest.path(path)}, so it is not"
            f" known which datastore {path} holds",
            hint="say it: --datastore NAME --version VERSION; or copy the"
            " directory NAME.d along with the image",
        )
    known = loader.load(settings.catalog).datastores
    entry = known.get(settings.datastore)
    if entry is None and not settings.manager:
        near = errors.nearest(settings.datastore, known, "datastores")
        raise errors.UsageError(
            f"unknown datastore {settings.datastore!r}",
            hint=f"{near}; any other one needs --manager NAME",
        )
    properties: dict[str, typing.Any] = {
        "architecture": _architecture(settings.arch)
    }
    if settings.os:
        name, _, version = settings.os.rpartition("-")
        if not name:
            raise errors.UsageError(
                f"--os {settings.os}: the version is missing",
                hint="write NAME-VERSION, such as debian-13",
            )
        properties |= {"os_distro": name, "os_version": version}
    return Facts(
        targets=(
            _target(
                settings.datastore,
                settings.version,
                entry.manager if entry else None,
                settings,
            ),
        ),
        min_ram=entry.min_ram if entry else 0,
        min_disk=entry.min_disk if entry else 0,
        dev=False,
        properties=properties,
    )


def _target(
    name: str, version: str, manager: str | None, settings: options.Settings
) -> trove.Target:
    manager = settings.manager or manager
    if not manager:
        raise errors.UsageError(
            f"this series of Trove has no manager for {name}, so it cannot"
            " be registered",
            hint="where your Trove has one (datastore_registry_ext in"
            " trove.conf), name it: --manager NAME",
        )
    return trove.Target(name, version, manager)


def _architecture(arch: str) -> str:
    return _ARCHITECTURES.get(arch, arch)


def _source(
    content: glance.Content, facts: Facts, settings: options.Settings
) -> Source:
    disk = -(-content.file.virtual_size // _GIB)
    fields = {
        "name": manifest.sidecar(content.file.path).stem,
        "min_disk": max(disk, facts.min_disk),
        "min_ram": facts.min_ram,
        "os_type": "linux",
        "hw_rng_model": "virtio",
        glance.SHA256: content.sha256,
        "visibility": settings.visibility,
        **facts.properties,
    }
    tags = [tag for target in facts.targets for tag in target.tags]
    proof = verified.read(content.file.path, content.sha256)
    if settings.require_verified:
        _require_verified(content.file.path, proof)
    return Source(
        content=content,
        description=glance.Description(
            # a pinned image carries none, or another version's tags
            # could find it
            tags=() if settings.pin else tuple(dict.fromkeys(tags)),
            # what is not known is not said; None would be no value
            fields={k: v for k, v in fields.items() if v is not None},
        ),
        targets=facts.targets,
        proof=proof,
    )


def _require_verified(
    path: pathlib.Path, proof: verified.Verified | None
) -> None:
    """Make sure that an image was verified, as a cloud would use it.

    :raises ImageError: it was not, or failed.
    """
    if proof is None:
        problem = "was not verified as it is now"
    elif not proof.ok:
        problem = f"failed its verification: {proof}"
    elif proof.tier != "vm":
        problem = f"was never booted: it was verified at {proof}"
    else:
        return
    raise errors.ImageError(
        f"{path} {problem}",
        hint=f"verify it: trove-image-builder verify {path}; or leave out"
        " --require-verified",
    )


def load(
    cloud: connection.Cloud,
    sources: collections.abc.Sequence[Source],
    screen: console.Console,
    *,
    pin: bool = False,
    activate: bool = False,
) -> list[dict[str, typing.Any]]:
    """Make the cloud have the images and the datastore versions.

    :param cloud: the cloud.
    :param sources: what :func:`prepare` found.
    :param screen: is told what is done.
    :param pin: register the versions by image id and not by tags.
    :param activate: also make them active and their datastores' default.
    :returns: what is there now, one entry a datastore version.
    :raises CloudError: the cloud refused, or could not be reached.
    """
    images = glance.Images(cloud, screen)
    versions = trove.Versions(cloud.databases)
    # without the right to register, nothing is sent either
    versions.all()
    rows = []
    for source in sources:
        file = source.content.file.path.name
        if source.proof is None:
            screen.say(f"{file} has not been verified")
        elif not source.proof.ok:
            screen.warn(f"{file} is not verified: {source.proof}")
        image_id, upload = _provide(images, source, screen)
        for target in source.targets:
            record, registration = versions.register(
                target, image_id if pin else None, activate
            )
            name = trove.describe(record)
            screen.say(f"datastore version {name}: {registration}")
            if not record["default"]:
                screen.say(
                    f"to make it the default: activate-trove-image {name}"
                )
            rows.append(
                {
                    "datastore": target.datastore,
                    "version": target.version,
                    "version_id": record["id"],
                    "manager": record["datastore_manager"],
                    "registration": registration,
                    "active": record["active"],
                    "default": record["default"],
                    "image": source.description.fields["name"],
                    "image_id": image_id,
                    "upload": upload,
                    "pinned": record.get("image") == image_id,
                    "size": source.content.file.size,
                    "sha256": source.content.sha256,
                    "verified": str(source.proof or "no"),
                }
            )
    return rows


def _provide(
    images: glance.Images, source: Source, screen: console.Console
) -> tuple[str, str]:
    """Have an image in Glance, sent only if it must be.

    :returns: its id, and ``sent``, ``changed`` or ``unchanged``.
    """
    name = source.description.fields["name"]
    copies = images.copies(source.content)
    usable = _usable(images, source, copies)
    if usable is not None:
        changed = images.update(usable, source.description)
        how = "changed" if changed else "unchanged"
        told = "its description was updated" if changed else "nothing to send"
        screen.say(f"image {name} is in Glance already: {told}")
        return usable["id"], how
    if copies:
        screen.say(
            f"image {name} is in Glance already, but Trove takes a newer"
            " one with the same tags: it is sent again, to be the newest"
        )
    image_id = images.upload(source.content, source.description)
    screen.say(f"image {name} is in Glance, verified: {image_id}")
    return image_id, "sent"


def _usable(
    images: glance.Images,
    source: Source,
    copies: collections.abc.Sequence[glance.Record],
) -> glance.Record | None:
    """Return the copy in Glance that Trove will take, if there is one.

    With tags, that is the newest image which carries them.  An older copy
    is of no use: Glance has no way to make it the newest again.
    """
    if not source.description.tags:
        return copies[0] if copies else None
    for record in copies:
        served = [images.served(target.tags) for target in source.targets]
        if all(
            image is None
            or image["id"] == record["id"]
            or image["created_at"] < record["created_at"]
            for image in served
        ):
            return record
    return None
