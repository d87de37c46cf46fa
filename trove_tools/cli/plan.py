# SPDX-License-Identifier: Apache-2.0
"""``trove-image-builder plan``: prints what a build would do."""

import collections.abc
import importlib.util
import os
import pathlib
import typing

from trove_tools import console
from trove_tools import errors
from trove_tools import results
from trove_tools.artifact import manifest
from trove_tools.artifact import signature
from trove_tools.build import cache as _cache
from trove_tools.build import forecast
from trove_tools.cli import cache as caching
from trove_tools.cli import common
from trove_tools.config import options
from trove_tools.host import credentials
from trove_tools.plan import elements
from trove_tools.plan import layers as _layers
from trove_tools.plan import plan as _plan
from trove_tools.sources.container import sources
from trove_tools.sources.network import proxies
from trove_tools.sources.network import session

_PYPI = "https://pypi.org/simple"
_PIP_SETTINGS = elements.DIRECTORY / "trove-pip/trove-pip/pip_settings.py"


def print_plans(call: common.Call) -> int:
    """Print the plans of builds.

    The table shows a summary. With ``--long``, as JSON and in the shell's
    format, the complete plan is printed.

    :returns: the exit status.
    """
    settings = call.settings
    with session.open_session(settings.ca_certificate):
        plans = _plan.make_all(
            call.flags.datastores, settings, call.catalog, call.screen.warn
        )
        forecaster = _open_forecaster(settings, call.screen)
        if settings.format == "table":
            for number, plan in enumerate(plans):
                if number:
                    print()
                data = plan.as_dict()
                if not settings.long:
                    data = summary(plan, forecaster, settings.output_dir)
                console.emit(data, "table")
            return errors.EXIT_OK
        forecasts = forecaster.make_forecasts(plans)
    rows = [
        {**plan.as_dict(), "file": plan.file, **expected.as_dict()}
        for plan, expected in zip(plans, forecasts, strict=True)
    ]
    console.emit(
        rows[0] if len(rows) == 1 else rows,
        settings.format,
        result=results.PLAN,
    )
    return errors.EXIT_OK


def _open_forecaster(
    settings: options.Settings, screen: console.Console
) -> forecast.Forecaster:
    """Return what makes the forecasts of builds with these options."""
    key = signature.open_signing_key(settings.sign_key)
    return forecast.Forecaster(
        _open_cache(settings, key),
        settings.output_dir,
        trusted=key.trusted if key else None,
        remote=caching.open_remote(settings, screen, key),
        shared=caching.open_images(settings, screen, key),
    )


def _open_cache(
    settings: options.Settings, key: signature.SigningKey | None
) -> _cache.Cache | None:
    """Return the cache, or None if a build could not use it either."""
    try:
        return caching.open_cache(settings, key, fresh=settings.fresh)
    except errors.UsageError:
        return None


def summary(
    plan: _plan.Plan,
    forecaster: forecast.Forecaster,
    output: pathlib.Path,
) -> dict[str, typing.Any]:
    """Return a summary of a plan, as labels and values.

    :param forecaster: makes the forecast of its build.
    :param output: the directory of the images.
    """
    (expected,) = forecaster.make_forecasts([plan])
    missing = [
        layer
        for layer in plan.layers[:-1]
        if expected.layers[layer.name] == forecast.BUILT
    ]
    cached = [
        name
        if where != forecast.REGISTRY
        else f"{name} (of the registry)"
        for name, where in expected.layers.items()
        if where != forecast.BUILT
    ]
    return {
        "name": plan.name,
        "guest system": "{distribution}-{version} ({release}), {arch}".format(
            **plan.guest
        ),
        "datastores": "\n".join(map(_datastore, plan.datastores)),
        **({"decided": "\n".join(plan.reasons)} if plan.reasons else {}),
        "comes from": "\n".join(_sources(plan)),
        "pulls": _pulls(plan),
        "guest agent": _agent(plan),
        "addresses": "\n".join(addresses(plan, missing)),
        "in the cache": cached or "nothing",
        "to be built": [
            *(layer.name for layer in missing), plan.layers[-1].name,
        ],
        "disk": "{disk_size} GiB, {format}, compression {compression}".format(
            **plan.output
        ),
        "file": _size(plan, forecaster.manifests),
        "time": _time(plan, expected, output),
        "more": "digests, elements and environment: --long",
    }


def _datastore(entry: dict[str, typing.Any]) -> str:
    where = "in a container"
    if entry["runtime"] != "container":
        where = "installed in the guest system"
    manager = f"Trove's manager {entry['manager']}"
    if not entry["manager"]:
        manager = "no manager in this series of Trove"
    return f"{entry['name']} {entry['version']}, {where}; {manager}"


def _sources(plan: _plan.Plan) -> collections.abc.Iterator[str]:
    """Yield the source of each datastore."""
    for each in plan.containers:
        if each.backup:
            what = f"packages {_packages(plan, each)} and the program of"
            yield f"{each.datastore}, backups: {what} {each.requirement}"
            continue
        what = {
            "packages": f"packages {_packages(plan, each)}, made into a"
            " container",
            "registry": f"registry: {each.mirror or ''}"
            f" {each.reference}".replace(":  ", ": "),
        }.get(each.source, f"{each.source}: {each.path}")
        yield f"{each.datastore}: {what}"
    for layer in plan.layers:
        for native in layer.natives:
            if native.file:
                what = f"package {native.file.location}"
            else:
                names = ", ".join(native.settings.packages)
                place = native.repository.base if native.repository else ""
                what = f"packages {names} of {place or 'the guest system'}"
            yield f"{native.datastore}: {what}"


def _packages(plan: _plan.Plan, container: sources.Container) -> str:
    """Return a container's packages, and their suite if it differs."""
    names = ", ".join(container.packages)
    if container.suite == plan.guest["release"]:
        return names
    return f"{names} of {container.suite}"


def _pulls(plan: _plan.Plan) -> str:
    if not plan.containers:
        return "none: nothing runs in a container"
    if plan.local_manifests:
        return "need no registry: the guest answers its own engine"
    return "need a registry"


def _agent(plan: _plan.Plan) -> str:
    agent = plan.agent
    said = {
        "pypi": f"{agent['location']} of PyPI",
        "git": f"{agent['location']}, {agent['ref']}",
        "checkout": f"checkout {agent['location']}",
    }[agent["source"]]
    constraints = agent["constraints"]
    return f"{said}; constraints {constraints}" if constraints else said


def addresses(
    plan: _plan.Plan, missing: collections.abc.Collection[_layers.Layer]
) -> list[str]:
    """Return the addresses that a build contacts, with their purposes.

    :param missing: the layers that have to be built; addresses that only other
        layers need are left out.
    """
    known = plan.layers[0].environment
    system = plan.guest["distribution"]
    found = {
        "packages": known.get(_layers.MIRROR)
        or f"diskimage-builder's default mirror of {system}",
        "security updates": known.get(_layers.SECURITY_MIRROR),
    }
    for layer in missing:
        for container in layer.containers:
            name = container.datastore
            if container.source == "registry":
                found[f"container of {name}"] = (
                    container.mirror or container.reference
                )
        for each in layer.natives:
            name = each.datastore
            if each.repository:
                found[f"packages of {name}"] = each.repository.base
                found[f"key of {name}"] = each.repository.key
            if each.file:
                found[f"package of {name}"] = each.file.location
    pip = _pip_settings()
    indexes = pip.get("index-url", _PYPI), pip.get("extra-index-url", "")
    found["Python packages"] = " ".join(indexes).strip()
    if plan.agent["source"] == "git":
        found["guest agent"] = plan.agent["location"]
    if "://" in plan.agent["constraints"]:
        found["constraints"] = plan.agent["constraints"]
    proxied = {
        each.check: each.found
        for each in proxies.findings()
        if each.found != "none"
    }
    return [
        f"{credentials.hide(address)}  ({purpose})"
        for purpose, address in {**found, **proxied}.items()
        if address and not address.startswith("/")
    ]


def _pip_settings() -> dict[str, str]:
    """Return the host's pip settings, as the element trove-pip reads them."""
    spec = importlib.util.spec_from_file_location("pips", _PIP_SETTINGS)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    settings: dict[str, str] = module.read_settings(os.environ)
    return settings


def _size(
    plan: _plan.Plan, earlier: collections.abc.Iterable[manifest.Manifest]
) -> str:
    names = [each["name"] for each in plan.datastores]
    for made in earlier:
        if [each.name for each in made.datastores] == names:
            size = console.size(made.image.size)
            return f"about {size}, as {made.image.file}"
    return "size not known before the first build"


def _time(
    plan: _plan.Plan, expected: forecast.Forecast, output: pathlib.Path
) -> str:
    """Return the estimated duration of a build, and its basis."""
    if expected.image == forecast.FILE:
        return f"none: {output / plan.file} is current"
    if expected.image == forecast.REGISTRY:
        return "that of a copy: the image is in the registry"
    minutes = f"about {max(1, round(expected.seconds / 60))} min"
    if not expected.guessed:
        return f"{minutes}, as earlier builds took here"
    return (
        f"{minutes}; {', '.join(expected.guessed)} as measured on two quiet"
        " processors, since none was built here"
    )
