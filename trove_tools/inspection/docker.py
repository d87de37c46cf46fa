# SPDX-License-Identifier: Apache-2.0
"""Reads the containers' images in Docker's image store, without Docker.

In the store of the overlay2 driver, ``image/overlay2/repositories.json`` names
images, ``imagedb`` contains their configuration by digest, and ``layerdb``
names each layer's directory in ``overlay2``. A layer is identified by its
chain id: https://github.com/opencontainers/image-spec/blob/main/config.md
"""

import collections.abc
import dataclasses
import hashlib
import pathlib
import re
import typing

from trove_tools.host import bounds
from trove_tools.host import hosttools
from trove_tools.inspection import package
from trove_tools.inspection import rootfile

_STORE = "var/lib/docker"
_IMAGES = f"{_STORE}/image/overlay2"
_DIGEST = re.compile(r"sha256:[0-9a-f]{64}")
_CACHE_ID = re.compile(r"[0-9a-z]+")


@dataclasses.dataclass(frozen=True)
class Container:
    """The image of a container.

    :param names: its names, with tags.
    :param id: the digest of its configuration, which docker calls the image's
        id.
    :param size: bytes of its layers.
    :param packages: its packages, as listed by its dpkg.
    :param system: distribution and version from its os-release file, such as
        ``debian-13``; empty without such a file.
    """

    names: tuple[str, ...]
    id: str
    size: int
    packages: tuple[package.Package, ...] = ()
    system: str = ""


def read_containers(root: pathlib.Path) -> tuple[Container, ...]:
    """Return the images in a root's image store, sorted by name.

    :returns: empty if there is no store.
    """
    named: dict[str, set[str]] = {}
    listed = _json(root, f"{_IMAGES}/repositories.json")
    for references in _mapping(listed.get("Repositories")).values():
        for reference, identity in _mapping(references).items():
            # an image from a registry is also listed by digest: skip that
            if "@" not in reference and _DIGEST.fullmatch(str(identity)):
                named.setdefault(identity, set()).add(reference)
    return tuple(
        sorted(
            (
                _image(root, identity, names)
                for identity, names in named.items()
            ),
            key=lambda each: each.names,
        )
    )


def list_layers(root: pathlib.Path) -> tuple[pathlib.Path, ...]:
    """Return the roots of all layers in a root's image store."""
    return tuple(sorted((root / _STORE / "overlay2").glob("*/diff")))


def _image(root: pathlib.Path, identity: str, names: set[str]) -> Container:
    config = _json(root, f"{_IMAGES}/imagedb/content/{_path(identity)}")
    layers = _mapping(config.get("rootfs")).get("diff_ids")
    size, system = 0, ""
    packages: tuple[package.Package, ...] = ()
    for chain in _chain(layers if isinstance(layers, list) else []):
        record = f"{_IMAGES}/layerdb/{_path(chain)}"
        text = rootfile.read_text(root / record / "size").strip()
        size += bounds.parse_number(text)
        directory = rootfile.read_text(root / record / "cache-id").strip()
        if _CACHE_ID.fullmatch(directory):
            layer = root / _STORE / "overlay2" / directory / "diff"
            # a layer that installs packages contains the complete list
            packages = package.read_dpkg(layer) or packages
            system = _system(layer) or system
    return Container(tuple(sorted(names)), identity, size, packages, system)


def _system(layer: pathlib.Path) -> str:
    release = hosttools.parse_os_release(
        rootfile.read_text(layer / "usr/lib/os-release")
    )
    # unreleased suites of Debian have no number
    version = release.get("VERSION_ID") or release.get("VERSION_CODENAME", "")
    return f"{release['ID']}-{version}" if "ID" in release else ""


def _chain(
    layers: collections.abc.Iterable[typing.Any],
) -> collections.abc.Iterator[str]:
    """Yield the chain ids of layers, the lowest first."""
    chain = ""
    for layer in layers:
        if not _DIGEST.fullmatch(str(layer)):
            return
        text = f"{chain} {layer}"
        chain = (
            f"sha256:{hashlib.sha256(text.encode()).hexdigest()}"
            if chain
            else layer
        )
        yield chain


def _path(digest: str) -> str:
    return digest.replace(":", "/")


def _json(root: pathlib.Path, name: str) -> dict[str, typing.Any]:
    try:
        return _mapping(bounds.decode_json(rootfile.read_text(root / name)))
    except ValueError:
        return {}


def _mapping(value: typing.Any) -> dict[str, typing.Any]:
    return value if isinstance(value, dict) else {}
