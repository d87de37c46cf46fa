# SPDX-License-Identifier: Apache-2.0
"""Writes and reads an image's bill of materials: ``NAME.d/sbom.cdx.json``.

The format is CycloneDX (https://cyclonedx.org/docs/1.6/json/). The bill lists
the guest system's packages, the packages of the guest agent's virtual
environment, and the containers with their packages. It describes the finished
root file system, so the same root file system produces the same bill.
"""

import collections.abc
import datetime
import functools
import json
import pathlib
import re
import typing
import urllib.parse
import uuid

from trove_tools import errors
from trove_tools.artifact import manifest
from trove_tools.host import bounds
from trove_tools.host import credentials
from trove_tools.host import digests
from trove_tools.inspection import contents as _contents
from trove_tools.inspection import docker
from trove_tools.inspection import package as _package

#: Our own properties; see
#: https://github.com/CycloneDX/cyclonedx-property-taxonomy
SIZE = "trove-tools:installed-size"
SOURCE = "trove-tools:source-package"
NAMES = "trove-tools:names"
SYSTEM = "trove-tools:system"

_DIGESTS = {"sha256": "SHA-256", "sha512": "SHA-512"}
_SPACE = uuid.UUID("6f1c1f0e-4d2b-5a69-9d0e-0d1f6c5b7a31")


def path(image: pathlib.Path) -> pathlib.Path:
    """Return the path of an image's bill of materials."""
    return manifest.sidecar(image) / "sbom.cdx.json"


def write(
    contents: _contents.Contents,
    image_manifest: manifest.Manifest,
    file: pathlib.Path,
) -> None:
    """Write the bill of materials of an image.

    :param contents: the contents of the image.
    :param image_manifest: the manifest of the image.
    """
    data = credentials.hide_all(_bill(contents, image_manifest))
    file.write_text(json.dumps(data, indent=1) + "\n")


def read(
    image: pathlib.Path,
) -> tuple[
    tuple[_package.Package, ...],
    tuple[_package.Package, ...],
    tuple[docker.Container, ...],
]:
    """Read the bill beside an image.

    :returns: the system's packages, the agent's, and the containers.
    :raises ImageError: there is no bill, or trove-tools did not write it.
    """
    file = path(image)
    try:
        components = bounds.read_json(file)["components"]
        return (
            _packages(components, "pkg:deb/"),
            _packages(components, "pkg:pypi/"),
            tuple(
                sorted(
                    (
                        _container(component)
                        for component in components
                        if component["type"] == "container"
                    ),
                    key=lambda each: each.names,
                )
            ),
        )
    except (
        OSError, ValueError, LookupError, TypeError, AttributeError,
    ) as exc:  # fmt: skip
        raise errors.ImageError(
            f"bill of materials {file} cannot be read: {exc}",
            hint="build the image again",
        ) from exc


def _bill(
    contents: _contents.Contents, image_manifest: manifest.Manifest
) -> dict[str, typing.Any]:
    parts = _Parts(image_manifest)
    components = [
        *(parts.debian(package) for package in contents.packages),
        *(parts.python(package) for package in contents.python),
        *(parts.container(container) for container in contents.containers),
    ]
    components.sort(key=_reference)
    every = [*components, *(p for c in components for p in _parts_of(c))]
    image = {
        "type": "operating-system",
        "bom-ref": "image",
        "name": pathlib.Path(image_manifest.image.file).stem,
        "version": image_manifest.build_id,
        "description": "guest image for OpenStack Trove: "
        + ", ".join(
            f"{datastore.name} {datastore.version}"
            for datastore in image_manifest.datastores
        ),
        "hashes": [
            {"alg": algorithm, "content": getattr(image_manifest.image, name)}
            for name, algorithm in _DIGESTS.items()
            if getattr(image_manifest.image, name)
        ],
    }
    tools = [
        {"type": "application", "name": name, "version": version}
        for name, version in sorted(image_manifest.tools.items())
    ]
    serial = uuid.uuid5(_SPACE, image_manifest.image.sha256)
    created = datetime.datetime.fromisoformat(image_manifest.created)
    return {
        "$schema": "http://cyclonedx.org/schema/bom-1.6.schema.json",
        "bomFormat": "CycloneDX",
        "specVersion": "1.6",
        "serialNumber": serial.urn,
        "version": 1,
        "metadata": {
            "timestamp": created.isoformat(),
            **({"tools": {"components": tools}} if tools else {}),
            "component": image,
        },
        "components": components,
        "dependencies": [
            _dependency("image", components),
            *(_dependency(_reference(c), _parts_of(c)) for c in every),
        ],
    }


def _reference(component: dict[str, typing.Any]) -> str:
    return str(component["bom-ref"])


def _parts_of(
    component: dict[str, typing.Any],
) -> collections.abc.Sequence[dict[str, typing.Any]]:
    return component.get("components") or ()


def _dependency(
    reference: str, parts: collections.abc.Iterable[dict[str, typing.Any]]
) -> dict[str, typing.Any]:
    return {"ref": reference, "dependsOn": sorted(map(_reference, parts))}


class _Parts:
    """Creates the components of the bill of materials."""

    def __init__(self, image_manifest: manifest.Manifest) -> None:
        guest = image_manifest.guest
        self._system = "-".join(
            guest.get(name, "") for name in ("distribution", "version")
        )
        self._arch = guest.get("arch", "")

    def debian(
        self, package: _package.Package, where: str = "", system: str = ""
    ) -> dict[str, typing.Any]:
        system = system or self._system
        name = f"{system.partition('-')[0]}/{package.name.lower()}"
        purl = _purl(
            "deb", name, package.version, arch=package.arch, distro=system
        )
        return _library(package, purl, where)

    def python(self, package: _package.Package) -> dict[str, typing.Any]:
        name = package.name.lower().replace("_", "-")
        return _library(package, _purl("pypi", name, package.version))

    def container(self, image: docker.Container) -> dict[str, typing.Any]:
        repository, _, tag = image.names[0].rpartition(":")
        name = repository.rpartition("/")[2]
        properties = [(SIZE, str(image.size))]
        properties += [(NAMES, name) for name in image.names]
        properties.append((SYSTEM, image.system))
        return {
            "type": "container",
            "bom-ref": image.id,
            "name": repository,
            "version": tag,
            "purl": _purl(
                "oci", name.lower(), image.id, arch=self._arch,
                repository_url=repository if name != repository else "",
                tag=tag,
            ),
            "hashes": [
                {"alg": "SHA-256", "content": image.id.partition(":")[2]}
            ],
            "properties": _named(properties),
            "components": [
                self.debian(package, image.id, image.system)
                for package in image.packages
            ],
        }  # fmt: skip


def _library(
    package: _package.Package, purl: str, where: str = ""
) -> dict[str, typing.Any]:
    # the same package may be in several containers
    component: dict[str, typing.Any] = {
        "type": "library",
        "bom-ref": f"{where}/{purl}" if where else purl,
        "name": package.name,
        "version": package.version,
        "purl": purl,
    }
    if package.licences:
        component["licenses"] = [
            {"license": {"id" if _is_spdx(licence) else "name": licence}}
            for licence in package.licences
        ]
    properties = [(SIZE, str(package.size or "")), (SOURCE, package.source)]
    if any(value for _, value in properties):
        component["properties"] = _named(properties)
    return component


def _named(
    properties: collections.abc.Iterable[tuple[str, str]],
) -> list[dict[str, str]]:
    return [
        {"name": name, "value": value} for name, value in properties if value
    ]


def _purl(kind: str, name: str, version: str, **qualifiers: str) -> str:
    """Return a package URL.

    :param qualifiers: sorted by name; empty ones are left out.
    """
    query = "&".join(
        f"{key}={_quoted(value)}" for key, value in qualifiers.items() if value
    )
    address = f"pkg:{kind}/{_quoted(name)}@{_quoted(version)}"
    return f"{address}?{query}" if query else address


def _quoted(text: str) -> str:
    return urllib.parse.quote(text, safe="/:")


@functools.cache
def _is_spdx(licence: str) -> bool:
    """Return whether a licence is an SPDX identifier."""
    # packaging parses whole expressions; of the identifiers, only these have a
    # plus
    if re.search(r"^LicenseRef-|\s|\(|(?<!GPL-\d\.\d)\+$", licence):
        return False
    from packaging import licenses

    try:
        return licenses.canonicalize_license_expression(licence) == licence
    except licenses.InvalidLicenseExpression:
        return False


def _packages(
    components: collections.abc.Iterable[dict[str, typing.Any]], kind: str
) -> tuple[_package.Package, ...]:
    return tuple(
        sorted(
            _from(component)
            for component in components
            if component.get("purl", "").startswith(kind)
        )
    )


def _from(component: dict[str, typing.Any]) -> _package.Package:
    properties = _properties(component)
    _, _, arch = component["purl"].partition("arch=")
    return _package.Package(
        name=_text(component["name"]),
        version=_text(component["version"]),
        arch=arch.partition("&")[0],
        source=properties.get(SOURCE, [""])[0],
        size=bounds.parse_number(properties.get(SIZE, ["0"])[0]),
        licences=tuple(
            sorted(
                _text(
                    licence["license"].get("id") or licence["license"]["name"]
                )
                for licence in component.get("licenses", ())
            )
        ),
    )


def _container(component: dict[str, typing.Any]) -> docker.Container:
    properties = _properties(component)
    return docker.Container(
        names=tuple(sorted(properties[NAMES])),
        id=_text(component["bom-ref"]),
        size=bounds.parse_number(properties[SIZE][0]),
        packages=_packages(component.get("components", ()), "pkg:deb/"),
        system=properties.get(SYSTEM, [""])[0],
    )


def _properties(component: dict[str, typing.Any]) -> dict[str, list[str]]:
    properties: dict[str, list[str]] = {}
    for entry in component.get("properties", ()):
        properties.setdefault(entry["name"], []).append(_text(entry["value"]))
    return properties


def _text(value: typing.Any) -> str:
    """Return a value that must be a string.

    :raises TypeError: it is not a string.
    """
    if not isinstance(value, str):
        raise TypeError(f"{type(value).__name__} is not a string")
    return value


def read_contents(image: pathlib.Path) -> _contents.Contents | None:
    """Return the image's description from its manifest and bill of materials.

    :returns: None unless both files exist and their digests match this image.
    :raises ImageError: one of them is damaged.
    """
    image_manifest = manifest.read(image)
    if image_manifest is None or not is_manifest_of(image_manifest, image):
        return None
    return read_stated(image, image_manifest)


def read_stated(
    image: pathlib.Path, image_manifest: manifest.Manifest
) -> _contents.Contents | None:
    """Return the description in the files beside an image.

    The digest of the image is not checked.

    :returns: None unless both files exist.
    :raises ImageError: the bill of materials is damaged, or its digest is not
        the one in the manifest.
    """
    bill = path(image)
    if image_manifest.contents is None or not bill.exists():
        return None
    if image_manifest.sbom is not None and image_manifest.sbom[
        "sha256"
    ] != digests.sha256(bill):
        raise errors.ImageError(
            f"{bill} is not the bill of materials that the manifest names: it"
            " was changed after the build",
            hint="copy the image and its .d directory again, or build it"
            " again",
        )
    packages, agent, containers = read(image)
    return _contents.Contents(
        system=image_manifest.contents["system"],
        packages=packages,
        python=agent,
        containers=containers,
        directories=image_manifest.contents["directories"],
        configuration=image_manifest.contents["configuration"],
    )


def is_manifest_of(
    image_manifest: manifest.Manifest, image: pathlib.Path
) -> bool:
    """Return whether a manifest describes an image file, by its digest."""
    return digests.is_same(image, image_manifest.image.sha256)
