# SPDX-License-Identifier: Apache-2.0
"""The bill of materials beside an image: ``NAME.d/sbom.cdx.json``.

CycloneDX (https://cyclonedx.org/docs/1.6/json/): the guest system's
packages, those of the guest agent's virtual environment, and the containers
with what is inside.  It tells what was found in the finished root, so the
same root gives the same bill.
"""

import collections.abc
import datetime
import pathlib
import typing
import uuid

from trove_tools import errors
from trove_tools import manifest
from trove_tools import untrusted
from trove_tools.inspection import contents as _contents
from trove_tools.inspection import docker
from trove_tools.inspection import package as _package

if typing.TYPE_CHECKING:
    from cyclonedx.model import bom as _bom
    from cyclonedx.model import component as _component

#: Properties of ours; https://github.com/CycloneDX/cyclonedx-property-taxonomy
SIZE = "trove-tools:installed-size"
SOURCE = "trove-tools:source-package"
NAMES = "trove-tools:names"

_SPACE = uuid.UUID("6f1c1f0e-4d2b-5a69-9d0e-0d1f6c5b7a31")


def path(image: pathlib.Path) -> pathlib.Path:
    """Return where the bill of materials of an image lies."""
    return manifest.sidecar(image) / "sbom.cdx.json"


def write(
    found: _contents.Contents, made: manifest.Manifest, file: pathlib.Path
) -> None:
    """Write the bill of materials of an image.

    :param found: what is in the image.
    :param made: what the image is.
    """
    from cyclonedx.output import json as output

    bill = _bill(found, made)
    file.write_text(output.JsonV1Dot6(bill).output_as_string(indent=1) + "\n")


def read(
    image: pathlib.Path,
) -> tuple[
    tuple[_package.Package, ...],
    tuple[_package.Package, ...],
    tuple[docker.Container, ...],
]:
    """Read the bill beside an image.

    :returns: the system's packages, the agent's, and the containers.
    :raises ImageError: there is none, or none that we have written.
    """
    file = path(image)
    try:
        components = untrusted.read_json(file)["components"]
        return (
            _packages(components, "pkg:deb/"),
            _packages(components, "pkg:pypi/"),
            tuple(
                sorted(
                    (
                        _container(each)
                        for each in components
                        if each["type"] == "container"
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
    found: _contents.Contents, made: manifest.Manifest
) -> "_bom.Bom":
    from cyclonedx import model
    from cyclonedx.model import bom
    from cyclonedx.model import component
    from cyclonedx.model import tool

    parts = _Parts(made)
    image = component.Component(
        name=pathlib.Path(made.image["file"]).stem,
        version=made.build_id,
        type=component.ComponentType.OPERATING_SYSTEM,
        bom_ref="image",
        description="guest image for OpenStack Trove: "
        + ", ".join(f"{each.name} {each.version}" for each in made.datastores),
        hashes=[
            model.HashType(alg=algorithm, content=made.image[name])
            for name, algorithm in (
                ("sha256", model.HashAlgorithm.SHA_256),
                ("sha512", model.HashAlgorithm.SHA_512),
            )
            if name in made.image
        ],
    )
    tools = [
        component.Component(
            name=name, version=version,
            type=component.ComponentType.APPLICATION,
        )
        for name, version in sorted(made.tools.items())
    ]  # fmt: skip
    every = [
        *(parts.debian(each) for each in found.packages),
        *(parts.python(each) for each in found.python),
        *(parts.container(each) for each in found.containers),
    ]
    bill = bom.Bom(
        serial_number=uuid.uuid5(_SPACE, made.image.get("sha256", "")),
        components=every,
        metadata=bom.BomMetaData(
            component=image,
            tools=tool.ToolRepository(components=tools),
            timestamp=datetime.datetime.fromisoformat(made.created),
        ),
    )
    bill.register_dependency(image, every)
    for each in every:
        if each.components:
            bill.register_dependency(each, each.components)
    return bill


class _Parts:
    """Makes components of what was found."""

    def __init__(self, made: manifest.Manifest) -> None:
        guest = made.guest
        self._distribution = guest.get("distribution", "")
        self._distro = f"{self._distribution}-{guest.get('version', '')}"
        self._arch = guest.get("arch", "")

    def debian(
        self, found: _package.Package, where: str = ""
    ) -> "_component.Component":
        from packageurl import PackageURL

        return self._component(
            found,
            PackageURL(
                "deb", self._distribution, found.name, found.version,
                {"arch": found.arch, "distro": self._distro},
            ),
            where,
        )  # fmt: skip

    def python(self, found: _package.Package) -> "_component.Component":
        from packageurl import PackageURL

        return self._component(
            found, PackageURL("pypi", None, found.name, found.version)
        )

    def container(self, found: docker.Container) -> "_component.Component":
        from cyclonedx import model
        from cyclonedx.model import component
        from packageurl import PackageURL

        name, _, tag = found.names[0].rpartition(":")
        namespace, _, name = name.rpartition("/")
        return component.Component(
            type=component.ComponentType.CONTAINER,
            name=found.names[0].rpartition(":")[0],
            version=tag,
            bom_ref=found.id,
            purl=PackageURL(
                "oci", None, name, found.id,
                {"tag": tag, "arch": self._arch,
                 "repository_url": f"{namespace}/{name}" if namespace
                 else ""},
            ),
            hashes=[
                model.HashType(
                    alg=model.HashAlgorithm.SHA_256,
                    content=found.id.partition(":")[2],
                )
            ],
            properties=[
                model.Property(name=SIZE, value=str(found.size)),
                *(
                    model.Property(name=NAMES, value=each)
                    for each in found.names
                ),
            ],
            components=[
                self.debian(each, found.id) for each in found.packages
            ],
        )  # fmt: skip

    def _component(
        self, found: _package.Package, purl: typing.Any, where: str = ""
    ) -> "_component.Component":
        from cyclonedx import model
        from cyclonedx import spdx
        from cyclonedx.model import component
        from cyclonedx.model import license as _license

        properties = {SOURCE: found.source, SIZE: str(found.size or "")}
        return component.Component(
            type=component.ComponentType.LIBRARY,
            name=found.name,
            version=found.version,
            purl=purl,
            # the same package may be in several containers as well
            bom_ref=f"{where}/{purl}" if where else str(purl),
            licenses=[
                _license.DisjunctiveLicense(id=each)
                if spdx.is_supported_id(each)
                else _license.DisjunctiveLicense(name=each)
                for each in found.licences
            ],
            properties=[
                model.Property(name=name, value=value)
                for name, value in properties.items()
                if value
            ],
        )


def _packages(
    components: collections.abc.Iterable[dict[str, typing.Any]], kind: str
) -> tuple[_package.Package, ...]:
    return tuple(
        sorted(
            _from(each)
            for each in components
            if each.get("purl", "").startswith(kind)
        )
    )


def _from(component: dict[str, typing.Any]) -> _package.Package:
    properties = _properties(component)
    # urllib.parse costs less than packageurl, and this is all that is asked
    _, _, arch = component["purl"].partition("arch=")
    return _package.Package(
        name=_text(component["name"]),
        version=_text(component["version"]),
        arch=arch.partition("&")[0],
        source=properties.get(SOURCE, [""])[0],
        size=untrusted.parse_number(properties.get(SIZE, ["0"])[0]),
        licences=tuple(
            sorted(
                _text(each["license"].get("id") or each["license"]["name"])
                for each in component.get("licenses", ())
            )
        ),
    )


def _container(component: dict[str, typing.Any]) -> docker.Container:
    properties = _properties(component)
    return docker.Container(
        names=tuple(sorted(properties[NAMES])),
        id=_text(component["bom-ref"]),
        size=untrusted.parse_number(properties[SIZE][0]),
        packages=_packages(component.get("components", ()), "pkg:deb/"),
    )


def _properties(component: dict[str, typing.Any]) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for each in component.get("properties", ()):
        found.setdefault(each["name"], []).append(_text(each["value"]))
    return found


def _text(value: typing.Any) -> str:
    """Return a value that must be a text.

    :raises TypeError: it is not.
    """
    if not isinstance(value, str):
        raise TypeError(f"{type(value).__name__} in place of a text")
    return value
