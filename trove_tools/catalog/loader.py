# SPDX-License-Identifier: Apache-2.0
"""Reads the catalog's files and reports all errors in them."""

import collections.abc
import functools
import pathlib
import typing

import yaml

from trove_tools.catalog import model
from trove_tools.catalog import native
from trove_tools.catalog import validation
from trove_tools.host import bounds
from trove_tools.host import paths

DIRECTORY = pathlib.Path(__file__).parent


def load(
    further: collections.abc.Sequence[pathlib.Path] = (),
    directory: pathlib.Path = DIRECTORY,
) -> model.Catalog:
    """Read and validate the catalog.

    :param further: directories with the user's own datastore entries, which
        may replace entries of the same name.
    :param directory: the directory of the catalog.
    :raises CatalogError: lists all errors.
    """
    problems = validation.Problems()
    series = _read(directory / "series.yaml", "series", problems)
    guests = _read(directory / "guests.yaml", "guests", problems)
    runtimes = _read(directory / "runtimes.yaml", "runtimes", problems)
    entries = {}
    for entries_directory in (directory / "datastores", *further):
        paths.require_directory(
            entries_directory,
            "catalog directory",
            "correct --catalog or TROVE_TOOLS_CATALOG",
        )
        for file in sorted(entries_directory.glob("*.yaml")):
            entry = _read(file, "datastore", problems)
            if entry is not None:
                entries[file.stem] = (file, entry)
    if not problems:
        for file, entry in entries.values():
            problems.add(
                file, validation.find_contradictions(file, entry, guests)
            )
    problems.raise_any()
    return model.Catalog(
        series=model.Series(**series),
        guests={guest["name"]: _guest(guest) for guest in guests},
        datastores={
            name: _datastore(entry, guests, runtimes)
            for name, (_, entry) in sorted(entries.items())
        },
    )


@functools.cache
def _schemas() -> bytes:
    return (DIRECTORY / "schemas.yaml").read_bytes()


def _read(
    file: pathlib.Path, kind: str, problems: validation.Problems
) -> typing.Any:
    """Read a file; if it is invalid, record a problem and return None."""
    try:
        content = bounds.read_bytes(file)
        data = bounds.parse_yaml(content)
        bounds.require(data)
    except (OSError, ValueError) as exc:
        # such as an invalid date
        problems.add(file, [validation.Problem((), f"cannot be read: {exc}")])
        return None
    except RecursionError:
        problems.add(file, [validation.Problem((), str(bounds.too_deep()))])
        return None
    except yaml.YAMLError as exc:
        problems.add_yaml(file, exc)
        return None
    known = validation.ValidFiles(_schemas())
    if known.has(kind, content):
        return data
    schema = bounds.parse_yaml(_schemas())[kind]
    wrong = validation.find_violations(data, schema)
    problems.add(file, wrong)
    if wrong:
        return None
    known.add(kind, content)
    return data


def _guest(data: dict[str, typing.Any]) -> model.Guest:
    return model.Guest(
        **{
            **data,
            "elements": tuple(data["elements"]),
            "package_elements": tuple(data["package_elements"]),
            "architectures": tuple(data["architectures"]),
        }
    )


def _datastore(
    data: dict[str, typing.Any],
    guests: list[dict[str, typing.Any]],
    shared: dict[str, list[str]],
) -> model.Datastore:
    runtimes = {
        name: _runtime(name, entry, shared[name])
        for name, entry in data["runtimes"].items()
    }
    return model.Datastore(
        **{
            "manager": None,
            **data,
            "ports": tuple(data["ports"]),
            "scenarios": tuple(data.get("scenarios", ())),
            "versions": {
                entry["version"]: _version(data, entry, guests)
                for entry in data["versions"]
            },
            "runtimes": runtimes,
        }
    )


def _version(
    data: dict[str, typing.Any],
    entry: dict[str, typing.Any],
    guests: list[dict[str, typing.Any]],
) -> model.Version:
    systems = entry["runtimes"].get(model.NATIVE, ())
    return model.Version(
        version=entry["version"],
        guests={
            runtime: tuple(names)
            for runtime, names in entry["runtimes"].items()
        },
        native={
            guest["name"]: native.resolve(
                data["runtimes"][model.NATIVE], entry, guest
            )
            for guest in guests
            if guest["name"] in systems
        },
        unsupported=entry.get("unsupported", {}),
        refused=entry.get("refused", {}),
    )


def _runtime(
    name: str, data: dict[str, typing.Any], shared: list[str]
) -> model.Runtime:
    health = data["health"]
    return model.Runtime(
        name=name,
        elements=tuple(data["elements"]),
        shared_elements=tuple(shared),
        health=model.Health(
            **{**health, "setup": tuple(health.get("setup", ()))}
        ),
        architectures=tuple(data.get("architectures", ("amd64",))),
        container=_container(data["container"])
        if "container" in data
        else None,
    )


def _container(data: dict[str, typing.Any]) -> model.Container:
    return model.Container(
        image=data["image"],
        names=tuple(data["names"]),
        variable=data["variable"],
        packages={
            version: {
                guest: tuple(packages) for guest, packages in guests.items()
            }
            for version, guests in data.get("packages", {}).items()
        },
        suites=data.get("suites", {}),
        recipe=data.get("recipe", ""),
        command=tuple(data.get("command", ())),
        data=data.get("data", ""),
    )
