# SPDX-License-Identifier: Apache-2.0
"""The plan: all that a build will do, as plain data.

A plan is made from a request without looking at anything else, so it can be
printed, compared, and tested without building.  Plans with the same digest
make images with the same content, up to what the package mirrors serve.
"""

import dataclasses
import hashlib
import json
import typing

from trove_tools.image import request as _request


@dataclasses.dataclass(frozen=True)
class Plan:
    """What one build does.

    :param name: the image's name, without an ending.
    :param datastores: what the image serves, as in the manifest.
    :param elements: for diskimage-builder, in this order.
    :param elements_path: where they are, besides diskimage-builder's.
    :param environment: what reaches diskimage-builder.
    :param output: format, compression, partition_table, disk_size (GiB).
    :param inputs: versions and digests of what takes part.
    :param containers: what is put into the guest's image store.
    :param natives: what is installed in the guest's own system.
    """

    name: str
    datastores: tuple[dict[str, typing.Any], ...]
    guest: dict[str, str]
    series: dict[str, str]
    agent: dict[str, str]
    elements: tuple[str, ...]
    elements_path: tuple[str, ...]
    environment: dict[str, str]
    output: dict[str, typing.Any]
    inputs: dict[str, str]
    containers: tuple[dict[str, typing.Any], ...] = ()
    natives: tuple[dict[str, typing.Any], ...] = ()

    def as_dict(self) -> dict[str, typing.Any]:
        """Return the plan as plain data, with its digest."""
        plain: dict[str, typing.Any] = json.loads(
            json.dumps(dataclasses.asdict(self))
        )
        return {**plain, "digest": self.digest()}

    def digest(self) -> str:
        """Return the digest of all that decides the image's content.

        Not of where things lie: a checkout that was moved builds the same
        image.  The elements' content is among the inputs.
        """
        content = dataclasses.asdict(self)
        del content["elements_path"]
        for container in content["containers"]:
            del container["path"]
        for native in content["natives"]:
            if native["file"] is not None:
                del native["file"]["location"]
        text = json.dumps(content, sort_keys=True)
        return hashlib.sha256(text.encode()).hexdigest()

    @property
    def file(self) -> str:
        """The image's file name."""
        return f"{self.name}.{self.output['format']}"


def make(request: _request.Request) -> Plan:
    """Return the plan that fulfils a request."""
    guest = request.guest
    return Plan(
        name=request.name or default_name(request),
        datastores=tuple(
            {
                "name": each.datastore.name,
                "version": each.version.version,
                "manager": each.datastore.manager,
                "runtime": each.runtime.name,
                "packages": each.packages,
                "min_ram": each.datastore.min_ram,
                "min_disk": max(each.datastore.min_disk, request.disk_size),
            }
            for each in request.choices
        ),
        guest={
            "distribution": guest.distribution,
            "version": guest.version,
            "release": guest.release,
            "arch": request.arch,
        },
        series={
            "name": request.series.name,
            "trove": request.series.trove,
        },
        agent={
            "source": request.agent.source,
            "location": request.agent.location,
            "ref": request.agent.ref,
            "state": request.agent.state,
            "constraints": request.agent.constraints,
        },
        elements=(
            *guest.elements,
            "vm",
            f"block-device-trove-{request.partition_table}",
            "trove-guest",
            "trove-guest-agent",
            # once each, in the order of the datastores
            *dict.fromkeys(
                element
                for each in request.choices
                for element in each.elements
            ),
            *request.further_elements,
            "manifests",
        ),
        elements_path=request.elements_path,
        environment=_environment(request),
        output={
            "format": request.image_format,
            "compression": request.compression
            if request.image_format == "qcow2"
            else "none",
            "partition_table": request.partition_table,
            "disk_size": request.disk_size,
        },
        inputs={
            "diskimage-builder": request.dib_version,
            "elements": request.elements_digest,
        },
        containers=tuple(
            each.container.as_dict()
            for each in request.choices
            if each.container
        ),
        natives=tuple(
            each.native.as_dict() for each in request.choices if each.native
        ),
    )


def default_name(request: _request.Request) -> str:
    """Return the name of an image that is given none."""
    datastores = (
        f"{each.datastore.name}-{each.version.version}"
        for each in request.choices
    )
    return "-".join(
        (
            "trove",
            *datastores,
            request.guest.distribution,
            request.guest.version,
            request.arch,
        )
    )


def _environment(request: _request.Request) -> dict[str, str]:
    values = {
        **request.inherited,
        "DIB_RELEASE": request.guest.release,
        "DIB_IMAGE_SIZE": str(request.disk_size),
        **request.agent.environment(),
    }
    if request.guest_user:
        values["DIB_TROVE_GUEST_USER"] = request.guest_user
    if request.mirrors.archive:
        values["DIB_DISTRIBUTION_MIRROR"] = request.mirrors.archive
    if request.mirrors.security:
        # read by debian-minimal; the other systems have one mirror for all
        values["DIB_DEBIAN_SECURITY_MIRROR"] = request.mirrors.security
    return dict(sorted(values.items()))
