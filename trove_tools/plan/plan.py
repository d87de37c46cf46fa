# SPDX-License-Identifier: Apache-2.0
"""The plan: all that a build will do, as plain data.

A plan depends on a request alone, so it can be printed, compared, and tested
without building.  Plans with the same digest produce images with the same
content, except for changes on the package mirrors.
"""

import collections.abc
import dataclasses
import hashlib
import json
import typing

from trove_tools import errors
from trove_tools.catalog import model
from trove_tools.config import options
from trove_tools.config import table
from trove_tools.host import credentials
from trove_tools.plan import layers as _layers
from trove_tools.plan import request as _request
from trove_tools.sources.container import sources as _container


@dataclasses.dataclass(frozen=True)
class Plan:
    """The plan of one build.

    :param name: the image's name, without a file extension.
    :param datastores: the datastores of the image, as in the manifest.
    :param layers: the layers of the image, in the order of building.
    :param elements_path: directories with elements, in addition to
        diskimage-builder's own.
    :param output: format, compression, partition_table, disk_size (GiB).
    :param guest_ca: the certificate authorities that guests trust besides
        the guest system's: subject, sha256 (the fingerprint) and expires.
    :param unattended_upgrades: guests install security updates automatically.
    :param dev: the image is for development: a developer's key can log in.
    :param local_manifests: the guest serves the manifests of the image's
        containers to its Docker engine.
    :param allow: findings that are allowed in the image, as ``KIND:PATH``.
    :param unread: the user's ``DIB_*`` variables that have no effect.
    :param reasons: for each version that the builder chose instead of the
        default: the reason.
    """

    name: str
    datastores: tuple[dict[str, typing.Any], ...]
    guest: dict[str, str]
    series: dict[str, str]
    agent: dict[str, str]
    layers: tuple[_layers.Layer, ...]
    elements_path: tuple[str, ...]
    output: dict[str, typing.Any]
    dev: bool = False
    local_manifests: bool = False
    guest_ca: tuple[dict[str, str], ...] = ()
    unattended_upgrades: bool = False
    allow: tuple[str, ...] = ()
    unread: tuple[str, ...] = ()
    reasons: tuple[str, ...] = ()

    def as_dict(self) -> dict[str, typing.Any]:
        """Return the plan as plain data, with its digest."""
        plain: dict[str, typing.Any] = json.loads(
            json.dumps(
                {
                    **dataclasses.asdict(self),
                    "layers": [layer.as_dict() for layer in self.layers],
                }
            )
        )
        return {**credentials.hide_all(plain), "digest": self.digest()}

    def secrets(self) -> dict[str, str]:
        """Return the variables whose values may be secret, with values."""
        return {
            name: value
            for layer in self.layers
            for name, value in layer.secrets().items()
        }

    def digest(self) -> str:
        """Return the digest of all that the image's content depends on.

        Paths are excluded: a checkout that was moved builds the same image.
        The digest of the last layer covers the inputs of all layers.
        """
        content = dataclasses.asdict(self)
        for name in ("elements_path", "agent", "unread", "reasons"):
            del content[name]
        content["layers"] = self.layers[-1].digest
        text = json.dumps(content, sort_keys=True)
        return hashlib.sha256(text.encode()).hexdigest()

    @property
    def containers(self) -> tuple[_container.Container, ...]:
        """The containers for the guest's image store."""
        return tuple(
            container
            for layer in self.layers
            for container in layer.containers
        )

    @property
    def mirror(self) -> str | None:
        """The URL of the package mirror; None if it is unknown."""
        return self.layers[0].environment.get(_layers.MIRROR)

    @property
    def downloads(self) -> str | None:
        """The user's directory for diskimage-builder's downloads, or None."""
        return self.layers[0].environment.get("DIB_IMAGE_CACHE")

    @property
    def file(self) -> str:
        """The image's file name."""
        return f"{self.name}.{self.output['format']}"


def make_all(
    words: collections.abc.Sequence[str],
    settings: options.Settings,
    catalog: model.Catalog,
    warn: collections.abc.Callable[[str], None],
) -> list[Plan]:
    """Return the plans of all images of a command line.

    :param words: the datastores, as ``DATASTORE[:VERSION]``.
    :param warn: called about variables that no image reads.
    :raises TroveToolsError: an image cannot be planned.
    """
    if settings.all:
        if words:
            raise errors.UsageError(
                f"--all builds all there are, and {words[0]} was named",
                hint="leave one of the two out",
            )
        words = list(catalog.datastores)
    if not words:
        raise errors.UsageError(
            "no datastore was named",
            hint=f"one of: {', '.join(catalog.datastores)}; or --all",
        )
    images = [words] if settings.together else [[word] for word in words]
    if settings.name and len(images) > 1:
        raise errors.UsageError(
            "--name goes with one image only",
            hint="build the images one by one, or leave --name out; or"
            " --together makes one image of all",
        )
    # plan all images before the first one is built
    plans = [make(_request.make(each, settings, catalog)) for each in images]
    # a variable that at least one image reads causes no warning
    for name in sorted(set.intersection(*(set(p.unread) for p in plans))):
        warn(
            f"{name} is set, but nothing in this build reads it: neither an"
            " element of the plan nor diskimage-builder itself"
        )
    return plans


def make(request: _request.Request) -> Plan:
    """Return the plan for a request."""
    guest = request.guest
    environment = _environment(request)
    layers = _layers.make_layers(request, environment)
    return Plan(
        name=request.name or default_name(request),
        datastores=tuple(
            {
                "name": choice.datastore.name,
                "version": choice.version.version,
                "manager": choice.datastore.manager,
                "runtime": choice.runtime.name,
                "packages": choice.packages,
                "min_ram": choice.datastore.min_ram,
                "min_disk": max(choice.datastore.min_disk, request.disk_size),
            }
            for choice in request.choices
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
        layers=layers,
        elements_path=request.elements_path,
        output={
            "format": request.image_format,
            "compression": request.compression
            if request.image_format == "qcow2"
            else "none",
            "partition_table": request.partition_table,
            "disk_size": request.disk_size,
        },
        dev=bool(request.dev_key),
        local_manifests=request.local_manifests,
        guest_ca=request.guest_ca.as_dicts(),
        unattended_upgrades=request.unattended_upgrades,
        allow=request.allow,
        unread=_layers.find_unread(_undecided(request, environment), layers),
        reasons=tuple(
            choice.reason for choice in request.choices if choice.reason
        ),
    )


def _undecided(
    request: _request.Request, environment: dict[str, str]
) -> list[str]:
    """Return the user's variables that set none of the options.

    The plan replaces the values of some variables, such as DIB_RELEASE.  The
    user's value has no effect then, so it is returned as ``NAME=VALUE``.
    """
    by_options = {
        variable
        for option in table.OPTIONS
        for variable in option.environment
    }
    return [
        name if environment[name] == value else f"{name}={value}"
        for name, value in request.inherited.items()
        if name not in by_options
    ]


def default_name(request: _request.Request) -> str:
    """Return the name of an image for which the user gave no name."""
    datastores = (
        f"{choice.datastore.name}-{choice.version.version}"
        for choice in request.choices
    )
    return "-".join(
        (
            "trove",
            *datastores,
            request.guest.distribution,
            request.guest.version,
            request.arch,
            # an image for development must not replace another image
            *(("dev",) if request.dev_key else ()),
        )
    )


def _environment(request: _request.Request) -> dict[str, str]:
    values = {
        **request.inherited,
        "DIB_RELEASE": request.guest.release,
        "DIB_IMAGE_SIZE": str(request.disk_size),
        **request.agent.environment(),
        **request.guest_ca.environment(),
    }
    if request.guest_user:
        values["DIB_TROVE_GUEST_USER"] = request.guest_user
    if request.snapshot:
        values[_layers.SNAPSHOT] = request.snapshot
    if request.epoch is not None:
        # https://reproducible-builds.org/specs/source-date-epoch/
        values[_layers.EPOCH] = str(request.epoch)
    if request.dev_key:
        values["DIB_TROVE_DEV_KEY"] = request.dev_key
    if request.mirrors.archive:
        values[_layers.MIRROR] = request.mirrors.archive
    if request.mirrors.security:
        # only debian-minimal reads this; the other guest systems have one
        # mirror for all packages
        values[_layers.SECURITY_MIRROR] = request.mirrors.security
    return dict(sorted(values.items()))
