# SPDX-License-Identifier: Apache-2.0
"""``trove-image-builder list`` and ``show``: print the catalog."""

import collections.abc
import dataclasses
import typing

from trove_tools import console
from trove_tools import errors
from trove_tools import results
from trove_tools.catalog import gate
from trove_tools.catalog import model
from trove_tools.cli import common


def list_datastores(call: common.Call) -> int:
    """Print the datastores of the catalog.

    A table has one row per datastore; with ``--long``, as JSON and in the
    shell's format, there is one entry per version and runtime.

    :returns: the exit status.
    :raises UsageError: there is no datastore with a given name.
    """
    settings, catalog = call.settings, call.catalog
    datastores = [
        catalog.datastore(name)
        for name in dict.fromkeys(call.flags.datastores or catalog.datastores)
    ]
    if settings.format == "table" and not settings.long:
        console.emit([_short(each) for each in datastores], "table")
        call.screen.say(
            "guest systems and sources: list --long; all about one:"
            " show DATASTORE"
        )
        return errors.EXIT_OK
    booted = gate.list_booted(catalog)
    rows = [
        _long(datastore, version, runtime, booted)
        for datastore in datastores
        for version in datastore.versions.values()
        for runtime in version.guests
    ]
    console.emit(rows, settings.format, result=results.LIST)
    return errors.EXIT_OK


def _short(datastore: model.Datastore) -> dict[str, typing.Any]:
    return {
        "datastore": datastore.name,
        "default": datastore.default_version,
        "versions": errors.in_order(datastore.versions)[::-1],
        "in Trove": datastore.tier,
        "runtimes": list(datastore.runtimes),
    }


def _long(
    datastore: model.Datastore,
    version: model.Version,
    runtime: str,
    booted: collections.abc.Container[tuple[str, str, str]],
) -> dict[str, typing.Any]:
    return {
        "datastore": datastore.name,
        "version": version.version,
        "default": version.version == datastore.default_version,
        "runtime": runtime,
        "guest_systems": list(version.supported(runtime)),
        "tier": datastore.tier,
        "manager": datastore.manager,
        "from": datastore.source(runtime),
        "gate": (datastore.name, version.version, runtime) in booted,
    }


def show_datastore(call: common.Call) -> int:
    """Print the catalog's entry of a datastore.

    :returns: the exit status.
    :raises UsageError: there is no such datastore.
    """
    catalog = call.catalog
    datastore = catalog.datastore(call.flags.datastore)
    data = dataclasses.asdict(datastore)
    data["versions"] = [
        {
            "version": each.version,
            **{name: each.supported(name) for name in each.guests},
            **({"unsupported": each.unsupported} if each.unsupported else {}),
            **({"refused": each.refused} if each.refused else {}),
        }
        for each in datastore.versions.values()
    ]
    data["series"] = catalog.series.name
    data["gate"] = [
        f"{version} ({runtime})"
        for name, version, runtime in sorted(gate.list_booted(catalog))
        if name == datastore.name
    ]
    for runtime_name, runtime in data["runtimes"].items():
        runtime["from"] = datastore.source(runtime_name)
    if datastore.manager is None:
        call.screen.say(
            f"this series of Trove has no manager for {datastore.name}: an"
            " image can be built and booted; load-trove-image needs"
            " --manager NAME, one of your cloud's datastore_registry_ext"
        )
    console.emit(data, call.settings.format, result=results.SHOW)
    return errors.EXIT_OK
