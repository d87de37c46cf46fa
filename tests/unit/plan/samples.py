# SPDX-License-Identifier: Apache-2.0
"""Requests and settings that several tests begin with."""

import dataclasses
import functools
import typing

from trove_tools.catalog import loader
from trove_tools.config import options
from trove_tools.config import table
from trove_tools.host import debian
from trove_tools.plan import agent
from trove_tools.plan import elements
from trove_tools.plan import request
from trove_tools.plan import selection
from trove_tools.sources.container import sources


def settings(**changes: typing.Any) -> options.Settings:
    """Return the options of a build, with their defaults but for some."""
    declared = table.group(
        "arch", "guest", "system", "container", "plan", "name", "place",
        "cache", "fresh", "sign", "trust", "remote", "image",
    )  # fmt: skip
    values = {
        option.name: [] if option.many else option.default
        for option in declared
    }
    return options.Settings({**values, **changes})


@functools.cache
def library() -> elements.Library:
    """Return all elements that our datastores are made of."""
    catalog = loader.load()
    runtimes = [
        runtime
        for datastore in catalog.datastores.values()
        for runtime in datastore.runtimes.values()
    ]
    return elements.read(
        [
            *elements.ALWAYS, elements.LOCAL_MANIFESTS,
            elements.disk("mbr"), elements.disk("gpt"),
            elements.BIOS, elements.EFI,
            *(name for each in catalog.guests.values()
              for name in (*each.elements, *each.package_elements)),
            *(name for each in runtimes
              for name in (*each.elements, *each.shared_elements)),
        ],
        (elements.DIRECTORY, elements.shipped_path()),
    )  # fmt: skip


def changed(name: str, **changes: typing.Any) -> elements.Library:
    """Return all elements, with something else in one of them."""
    known = library()
    values = {"digest": "1", **changes}
    element = dataclasses.replace(
        known.get(name, elements.Element("0")), **values
    )
    return {**known, name: element}


def a_request(**changes: typing.Any) -> request.Request:
    """Return a request that depends on nothing of this host."""
    catalog = loader.load()
    mariadb = catalog.datastore("mariadb")
    native = selection.Choice(
        mariadb, mariadb.version("11.8"), mariadb.runtime("native")
    )
    values: dict[str, typing.Any] = {
        "choices": (native,),
        "guest": catalog.guest("debian-13"),
        "arch": "amd64",
        "series": catalog.series,
        "agent": agent.Agent("pypi", "trove==1"),
        "mirrors": debian.Mirrors("http://a.example/d", "http://s.example"),
        "elements_path": ("/elements",),
        "library": library(),
        "further_elements": (),
        "guest_user": None,
        "dev_key": "",
        "allow": (),
        "image_format": "qcow2",
        "compression": "zstd",
        "partition_table": "mbr",
        "disk_size": 4,
        "dib_version": "3",
        "inherited": {},
        "core_variables": elements.variables_of_core(),
        "name": None,
    }
    return request.Request(**{**values, **changes})


def a_choice(name: str, **changes: typing.Any) -> selection.Choice:
    """Return the choice of a datastore's container, from a registry."""
    datastore = loader.load().datastore(name)
    version = datastore.default_version
    values = {
        "datastore": name,
        "version": version,
        "variable": "X_VERSION",
        "source": "registry",
        "names": (f"{name}:{version}",),
        "reference": f"registry.example/{name}:{version}",
    }
    return selection.Choice(
        datastore,
        datastore.version(),
        datastore.runtime("container"),
        sources.Container(**{**values, **changes}),
    )
