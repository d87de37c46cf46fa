# SPDX-License-Identifier: Apache-2.0
"""Determines the content of image files and their description in the cloud.

All files are checked before the first call, so that errors are reported before
anything changes.
"""

import collections.abc
import dataclasses
import pathlib
import typing

from trove_tools import errors
from trove_tools.artifact import imagefile
from trove_tools.artifact import manifest as manifests
from trove_tools.artifact import remote_image
from trove_tools.artifact import signature
from trove_tools.artifact import verification
from trove_tools.catalog import loader
from trove_tools.catalog import model
from trove_tools.cloud import image as _image
from trove_tools.cloud import trove
from trove_tools.cloud import upload
from trove_tools.config import options
from trove_tools.host import digests
from trove_tools.host import hosttools

_GIB = 1024**3

_OPEN = ("public", "community")

#: The default properties of an image.
_DEFAULTS = {"hw_rng_model": "virtio"}


@dataclasses.dataclass(frozen=True)
class Source:
    """An image file and its description in the cloud.

    :param content: the file.
    :param description: the wanted state of the image in Glance.
    :param targets: the datastore versions that it serves.
    :param chosen: the properties that the operator named.
    :param proof: its verification record.
    """

    content: upload.Content
    description: _image.Description
    targets: tuple[trove.Target, ...]
    proof: verification.Record | None = None
    chosen: dict[str, str] = dataclasses.field(default_factory=dict)


@dataclasses.dataclass(frozen=True)
class Facts:
    """The facts about an image.

    :param min_ram: the memory that a guest needs, MiB.
    :param min_disk: the disk that a guest needs, GiB.
    :param properties: properties for Glance only.
    """

    targets: tuple[trove.Target, ...]
    min_ram: int
    min_disk: int
    dev: bool
    properties: dict[str, typing.Any]


def prepare(
    paths: collections.abc.Sequence[pathlib.Path],
    settings: options.Settings,
    urls: collections.abc.Mapping[pathlib.Path, str] | None = None,
    remotes: collections.abc.Mapping[pathlib.Path, remote_image.RemoteImage]
    | None = None,
) -> list[Source]:
    """Check image files and describe them; fail if one is bad.

    :param paths: the files.
    :param urls: the URLs of downloaded files.
    :param remotes: the images in a registry; the files beside them are at
        these paths, but the images are not.
    :param settings: the options of the groups ``load`` and ``trust``, and
        ``catalog`` and ``arch``.
    :raises UsageError: a file is missing, or its content is unknown.
    :raises ImageError: a file is not an image, is incomplete, or is not signed
        by a trusted key.
    """
    _check_options(paths, settings, urls or {})
    trusted = signature.read_trusted_keys(settings.trusted_key)
    inspected = []
    for path in paths:
        remote = (remotes or {}).get(path)
        file = remote.inspect(path) if remote else imagefile.inspect(path)
        manifest = manifests.read(path, trusted)
        if remote is not None and manifest is not None:
            remote.require_described(manifest)
        if manifest is None:
            facts = _from_options(path, settings)
        else:
            _check_size(file, manifest)
            facts = _from_manifest(path, manifest, settings)
        if facts.dev and settings.visibility in _OPEN:
            raise errors.UsageError(
                f"{path} was built for development, with a key to log in:"
                f" it is never made {settings.visibility}",
                hint="build it without --dev, or load it as private",
            )
        if not settings.pin:
            for target in facts.targets:
                target.check_tags()
        for target in facts.targets:
            target.check_names()
        inspected.append((file, manifest, facts))
    # reading gigabytes comes last, after all quick checks
    return [
        _source(
            _content(file, manifest, (urls or {}).get(file.path)),
            facts,
            settings,
            trusted,
        )
        for file, manifest, facts in inspected
    ]


def find_newest_build(directory: pathlib.Path, name: str) -> pathlib.Path:
    """Return the newest image of a datastore version in a directory.

    :param directory: the output directory of builds.
    :param name: ``DATASTORE`` or ``DATASTORE:VERSION``.
    :raises UsageError: there is none.
    """
    datastore, version = model.split_name(name)
    builds: list[tuple[str, pathlib.Path]] = []
    held = set()
    for file in directory.glob("*.d/manifest.json"):
        # only the manifest contains the name of the image file
        manifest = manifests.load(file)
        image = directory / manifest.image.file
        if not image.is_file():
            continue
        entries = manifest.datastores
        held |= {f"{entry.name}:{entry.version}" for entry in entries}
        if any(
            entry.name == datastore and version in ("", entry.version)
            for entry in entries
        ):
            builds.append((manifest.created, image))
    if not builds:
        near = errors.nearest(name, held, "builds there")
        raise errors.UsageError(
            f"there is no image of {name} in {directory.absolute()}",
            hint=f"{near}; build it: trove-image-builder build {name}, or"
            " name another directory: --output-dir",
        )
    return max(builds)[1]


def _check_options(
    paths: collections.abc.Sequence[pathlib.Path],
    settings: options.Settings,
    urls: collections.abc.Mapping[pathlib.Path, str],
) -> None:
    if settings.name and len(paths) > 1:
        raise errors.UsageError(
            f"--name {settings.name} names one image, and there are"
            f" {len(paths)}",
            hint="load them one by one, or leave out --name",
        )
    if settings.member and settings.visibility not in (None, "shared"):
        raise errors.UsageError(
            f"--member shares an image with a project, and --visibility"
            f" {settings.visibility} does not share it",
            hint="leave out one of them",
        )
    if settings.import_method == "web-download" and not urls:
        raise errors.UsageError(
            "--import-method web-download has Glance fetch an URL, and a"
            " file was named",
            hint="name the URL instead of the file, with --sha256",
        )
    if settings.keep < 1:
        raise errors.UsageError(
            f"--keep {settings.keep}: the current image is always kept",
            hint="use 1 or more",
        )


def _check_size(
    file: imagefile.ImageFile, manifest: manifests.Manifest
) -> None:
    size = manifest.image.size
    if file.size != size:
        what = "truncated" if file.size < size else "not what was built"
        raise errors.ImageError(
            f"{file.path} is {what}: it has {file.size} bytes, but its"
            f" manifest says {size}",
            hint="copy the image and its .d directory again, or build it"
            " again",
        )


def _content(
    file: imagefile.ImageFile,
    manifest: manifests.Manifest | None,
    url: str | None,
) -> upload.Content:
    """Return the file with its digests, computed from its content.

    The manifest and the verification record are valid only for a file with the
    digests in them, even if the image is already in Glance.

    :raises ImageError: the file's digests differ from those in its manifest.
    """
    if file.remote is not None and manifest is not None:
        # the registry sends only a file with this sha256, and Glance's digest
        # is compared with the sha512
        known = manifest.image
        return upload.Content(file, known.sha256, known.sha512)
    sums = digests.compute(file.path)
    if manifest is not None:
        manifests.require_digests(manifest, file.path, sums)
    return upload.Content(file, sums["sha256"], sums["sha512"], url)


def _from_manifest(
    path: pathlib.Path,
    manifest: manifests.Manifest,
    settings: options.Settings,
) -> Facts:
    """Take the facts from the manifest; options select among datastores."""
    entries, agent = manifest.datastores, manifest.agent
    chosen = [
        entry
        for entry in entries
        if settings.datastore in (None, entry.name)
        if settings.version in (None, entry.version)
    ]
    if not chosen:
        known = [f"{entry.name}:{entry.version}" for entry in entries]
        version_name = f"{settings.datastore or ''}:{settings.version or ''}"
        raise errors.UsageError(
            f"{path} does not contain {version_name.strip(':')}",
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
        dev=manifest.dev,
        properties={
            "architecture": _architecture(
                manifest.guest.get("arch") or settings.arch
            ),
            "os_distro": manifest.guest["distribution"],
            "os_version": manifest.guest["version"],
            _image.PREFIX + "build_id": manifest.build_id,
            _image.PREFIX + "series": manifest.series["name"],
            _image.PREFIX + "agent_version": agent.get("version"),
            _image.PREFIX + "agent_commit": agent.get("commit"),
            _image.PREFIX + "dev": str(manifest.dev).lower(),
            _image.DIRTY: str(bool(agent.get("dirty"))).lower(),
        },
    )


def _from_options(path: pathlib.Path, settings: options.Settings) -> Facts:
    """Take the facts from the command line and the catalog."""
    if not settings.datastore or not settings.version:
        raise errors.UsageError(
            f"there is no manifest {manifests.path(path)}, so the datastore in"
            f" {path} is unknown",
            hint="pass --datastore NAME --version VERSION, or copy the"
            " directory NAME.d together with the image",
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
            hint="if your Trove has one (datastore_registry_ext in"
            " trove.conf), name it with --manager NAME",
        )
    return trove.Target(name, version, manager)


def _architecture(arch: str) -> str:
    return hosttools.KERNEL_NAMES.get(arch, arch)


def _source(
    content: upload.Content,
    facts: Facts,
    settings: options.Settings,
    trusted: signature.TrustedKeys | None,
) -> Source:
    proof = None
    try:
        proof = verification.read(content.file.path, content.sha256, trusted)
    except errors.ImageError:
        # an unsigned record is ignored
        if settings.require_verified:
            raise
    if settings.require_verified:
        verification.require_whole(content.file.path, proof)
    disk = -(-content.file.virtual_size // _GIB)
    fields = {
        "name": settings.name or manifests.sidecar(content.file.path).stem,
        "min_disk": max(disk, facts.min_disk),
        "min_ram": facts.min_ram,
        "os_type": "linux",
        _image.SHA256: content.sha256,
        _image.VERIFIED: str(proof or "no"),
        "visibility": "shared" if settings.member else settings.visibility,
        "protected": settings.protected,
        **facts.properties,
    }
    # unknown facts are left out; None is not a valid value
    fields = {k: v for k, v in fields.items() if v is not None}
    fields |= {name: value or None for name, value in settings.property}
    # a pinned image has no tags of Trove, otherwise another version could find
    # it
    tags = [
        tag
        for target in ([] if settings.pin else facts.targets)
        for tag in target.tags
    ]
    return Source(
        content=content,
        description=_image.Description(
            tags=tuple(dict.fromkeys([*tags, *settings.tag])),
            fields=fields,
            serves=tuple(target.name for target in facts.targets),
            defaults={
                name: value
                for name, value in _DEFAULTS.items()
                if name not in fields
            },
        ),
        targets=facts.targets,
        proof=proof,
        chosen=dict(settings.property),
    )
