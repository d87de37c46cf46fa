# SPDX-License-Identifier: Apache-2.0
"""Reads and writes the manifest of an image: ``NAME.d/manifest.json``.

The manifest is stored beside ``NAME.qcow2`` and is the only data that a build
passes on to verifying and loading. ``manifest.schema.json`` is its schema, for
this package and for other readers.
"""

import collections.abc
import dataclasses
import json
import pathlib
import typing

from trove_tools import errors
from trove_tools.catalog import validation
from trove_tools.host import bounds
from trove_tools.host import credentials

if typing.TYPE_CHECKING:
    from trove_tools.artifact import signature

VERSION = 1
SCHEMA = pathlib.Path(__file__).parent / "manifest.schema.json"

# the first few violations are enough
_SHOWN = 5


@dataclasses.dataclass(frozen=True)
class Container:
    """A container in the guest's image store.

    :param names: its names, with tags.
    :param digest: the digest of its manifest in a registry, else the id of its
        image.
    :param source: packages, registry, archive or oci.
    :param reference: its name in a registry.
    :param size: bytes of its archive; 0 if unknown.
    :param backup: it takes backups of the datastore.
    """

    names: tuple[str, ...]
    digest: str = ""
    source: str = ""
    reference: str = ""
    size: int = 0
    backup: bool = False


@dataclasses.dataclass(frozen=True)
class Datastore:
    """A datastore in an image.

    :param min_ram: the memory that a guest needs, MiB.
    :param min_disk: the disk that a guest needs, GiB.
    :param installed: the full version of the server's package.
    :param containers: its containers in the guest's image store.
    """

    name: str
    version: str
    manager: str | None
    runtime: str
    packages: tuple[str, ...]
    min_ram: int
    min_disk: int
    installed: str = ""
    containers: tuple[Container, ...] = ()


@dataclasses.dataclass(frozen=True)
class File:
    """The file of an image.

    :param size: bytes of the file.
    :param virtual_size: bytes of the disk in it.
    """

    file: str
    format: str
    size: int
    virtual_size: int = 0
    sha256: str = ""
    sha512: str = ""


@dataclasses.dataclass(frozen=True)
class Layer:
    """How a layer of an image was provided.

    :param cached: whether the layer came from the cache.
    :param created: the time of its build; empty if unknown.
    :param size: the size of its archive in bytes; the last layer has no
        archive.
    :param origin: the repository that it was fetched from; empty if it was
        built on this host.
    :param signed_by: the fingerprint of the key that signed it there.
    :param unsigned: it, or a layer below it, was fetched without a signature.
    """

    name: str
    digest: str
    cached: bool
    created: str = ""
    size: int = 0
    origin: str = ""
    signed_by: str = ""
    unsigned: bool = False


@dataclasses.dataclass(frozen=True)
class Manifest:
    """The content of a manifest.

    :param guest: distribution, version, release, arch.
    :param series: name and trove (the major version).
    :param agent: source, version, commit, dirty.
    :param dev: the image is for development and must never be made public.
    :param guest_ca: additional certificate authorities that guests trust, each
        with subject, sha256 and expires.
    :param unattended_upgrades: guests install security updates automatically.
    :param plan: the plan it was built from, as plain data.
    :param timeline: the timed steps of the build; see
        :class:`trove_tools.build.timeline.Span`.
    :param contents: the content that is not in the bill of materials: system,
        directories and configuration.
    :param sbom: file and sha256 of the bill of materials.
    :param patched: the agent was replaced in an earlier image, with the option
        ``--patch``.
    """

    build_id: str
    created: str
    image: File
    guest: dict[str, str]
    series: dict[str, str]
    agent: dict[str, typing.Any]
    datastores: tuple[Datastore, ...]
    dev: bool = False
    guest_ca: tuple[dict[str, str], ...] = ()
    unattended_upgrades: bool = False
    plan: dict[str, typing.Any] = dataclasses.field(default_factory=dict)
    plan_digest: str = ""
    tools: dict[str, str] = dataclasses.field(default_factory=dict)
    timeline: tuple[dict[str, typing.Any], ...] = ()
    layers: tuple[Layer, ...] = ()
    contents: dict[str, typing.Any] | None = None
    sbom: dict[str, str] | None = None
    patched: bool = False

    @property
    def starts_isolated(self) -> bool:
        """Whether a guest starts in an isolated network without a registry."""
        return bool(self.plan.get("local_manifests"))

    def as_dict(self) -> dict[str, typing.Any]:
        """Return the manifest as it is written to the file."""
        return {"manifest_version": VERSION, **dataclasses.asdict(self)}


def sidecar(image: pathlib.Path) -> pathlib.Path:
    """Return the directory beside an image: ``NAME.d`` for ``NAME.qcow2``."""
    return image.with_name(f"{_stem(image)}.d")


def _stem(image: pathlib.Path) -> str:
    for ending in (".qcow2", ".raw", ".tar"):
        if image.name.endswith(ending):
            return image.name.removesuffix(ending)
    return image.name


def path(image: pathlib.Path) -> pathlib.Path:
    """Return the path of an image's manifest."""
    return sidecar(image) / "manifest.json"


def read(
    image: pathlib.Path, trusted: "signature.TrustedKeys | None" = None
) -> Manifest | None:
    """Read the manifest beside an image.

    :param trusted: the keys that must have signed it; None accepts any file.
    :returns: None if there is no manifest.
    :raises ImageError: it is invalid, or not signed by a trusted key; with
        trusted keys, a missing manifest is an error, too.
    """
    file = path(image)
    if file.exists():
        return load(file, trusted)
    if trusted is not None:
        raise trusted.refusal(f"{image} is not signed: there is no {file}")
    return None


def find_built(directory: pathlib.Path, sha256: str) -> pathlib.Path:
    """Return the path of the image with a digest, by its manifest.

    The file itself may be gone.

    :param directory: the output directory of builds.
    :raises UsageError: there is no manifest of such an image.
    """
    for file in sorted(directory.glob("*.d/manifest.json")):
        made = load(file)
        if made.image.sha256 == sha256:
            return directory / made.image.file
    raise errors.UsageError(
        f"no image with the sha256 {sha256} was built in"
        f" {directory.absolute()}",
        hint="copy its directory NAME.d to there, or name another directory:"
        " --output-dir",
    )


def load(
    file: pathlib.Path, trusted: "signature.TrustedKeys | None" = None
) -> Manifest:
    """Read a manifest.

    :param trusted: as for :func:`read`.
    :raises ImageError: it is invalid, or not signed by a trusted key.
    """
    from trove_tools.artifact import signature

    try:
        text = bounds.read_bytes(file)
        if trusted is not None:
            trusted.require(file, text, signature.MANIFEST)
        data = bounds.decode_json(text)
    except (OSError, ValueError) as exc:
        raise errors.ImageError(
            f"manifest {file} cannot be read: {exc}",
            hint="build the image again, or remove the manifest and name"
            " the datastore on the command line",
        ) from exc
    found = data.get("manifest_version") if isinstance(data, dict) else None
    if found != VERSION:
        raise errors.ImageError(
            f"manifest {file} is of version {found!r};"
            f" this release reads version {VERSION}",
            hint="use the release that built the image, or build it again",
        )
    _require_valid(file, text, data)
    return _from(data)


def read_schema() -> dict[str, typing.Any]:
    """Return the JSON schema (draft 2020-12) of a manifest."""
    found: dict[str, typing.Any] = json.loads(SCHEMA.read_bytes())
    return found


def _require_valid(
    file: pathlib.Path, text: bytes, data: dict[str, typing.Any]
) -> None:
    """Validate a manifest against its schema.

    :raises ImageError: the message lists all violations.
    """
    known = validation.ValidFiles(SCHEMA.read_bytes())
    if known.has("manifest", text):
        return
    wrong = validation.find_violations(data, read_schema())
    if not wrong:
        known.add("manifest", text)
        return
    shown = "".join(
        f"\n  {'.'.join(map(str, each.place)) or 'at its top'}: {each.text}"
        for each in wrong[:_SHOWN]
    )
    raise errors.ImageError(
        f"manifest {file} is damaged:{shown}",
        hint="build the image again",
    )


def _from(data: dict[str, typing.Any]) -> Manifest:
    values = _known(data, Manifest)
    values["image"] = File(**_known(data["image"], File))
    values["layers"] = tuple(
        Layer(**_known(entry, Layer)) for entry in data.get("layers", ())
    )
    values["datastores"] = tuple(
        Datastore(
            **{
                **_known(entry, Datastore),
                "packages": tuple(entry["packages"]),
                "containers": tuple(
                    Container(
                        **{
                            **_known(each, Container),
                            "names": tuple(each["names"]),
                        }
                    )
                    for each in entry.get("containers", ())
                ),
            }
        )
        for entry in data["datastores"]
    )
    for name in ("timeline", "guest_ca"):
        values[name] = tuple(data.get(name, ()))
    return Manifest(**values)


def _known(data: dict[str, typing.Any], kind: type) -> dict[str, typing.Any]:
    """Return only the properties that this release defines.

    Later releases may add properties.
    """
    names = [field.name for field in dataclasses.fields(kind)]
    return {name: data[name] for name in names if name in data}


def write(
    manifest: Manifest,
    file: pathlib.Path,
    key: "signature.SigningKey | None" = None,
) -> None:
    """Write a manifest atomically.

    :param file: the file; its directory must exist.
    :param key: the signing key; None leaves the file unsigned.
    :raises UsageError: the key cannot sign.
    """
    from trove_tools.artifact import signature

    data = credentials.hide_all(manifest.as_dict())
    text = json.dumps(data, indent=2) + "\n"
    signature.write(file, text, signature.MANIFEST, key)


def require_digests(
    made: Manifest,
    image: pathlib.Path,
    found: collections.abc.Mapping[str, str],
) -> None:
    """Check that an image has the digests in its manifest.

    :param found: the digests of the file, by name, such as ``sha256``.
    :raises ImageError: a digest differs, or the manifest contains none.
    """
    named = {name: getattr(made.image, name) for name in found}
    if not any(named.values()):
        raise errors.ImageError(
            f"{path(image)} contains no digest of the image",
            hint="build the image again, or remove the manifest and name the"
            " datastore on the command line",
        )
    for name, wanted in named.items():
        if wanted and found[name] != wanted:
            raise errors.ImageError(
                f"{image} is not the image that its manifest describes: its"
                f" {name} is {found[name]}, the manifest says {wanted}",
                hint="the file was damaged or changed after the build: copy"
                " the image and its .d directory again, or build it again",
            )
