# SPDX-License-Identifier: Apache-2.0
"""Reads the catalog's files and reports all errors in them."""

import collections.abc
import functools
import pathlib
import typing

from trove_tools.catalog import model
from trove_tools.catalog import native
from trove_tools.catalog import validation
from trove_tools.host import bounds
from trove_tools.host import paths

DIRECTORY = pathlib.Path(__file__).parent

# the files of the catalog that are not a datastore's
_SHARED = ("series", "guests", "runtimes")


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
    files = [directory / f"{name}.yaml" for name in _SHARED]
    for entries_directory in (directory / "datastores", *further):
        paths.require_directory(
            entries_directory,
            "catalog directory",
            "correct --catalog or TROVE_TOOLS_CATALOG",
        )
        files += sorted(entries_directory.glob("*.yaml"))
    data = _read(files)
    return model.Catalog(
        series=model.Series(**data["series"]),
        guests={guest["name"]: _guest(guest) for guest in data["guests"]},
        datastores={
            name: _datastore(entry, data["guests"], data["runtimes"])
            for name, entry in sorted(data["datastores"].items())
        },
    )


@functools.cache
def _schemas() -> bytes:
    return (DIRECTORY / "schemas.yaml").read_bytes()


def _read(files: collections.abc.Sequence[pathlib.Path]) -> typing.Any:
    """Return the data of the catalog's files.

    :param files: those of :data:`_SHARED`, then those of datastores.
    :returns: the data of each file in :data:`_SHARED`, by name, and those of
        datastores.
    :raises CatalogError: lists all errors.
    """
    problems = validation.Problems()
    contents = {}
    for file in files:
        try:
            contents[file] = bounds.read_bytes(file)
        except (OSError, ValueError) as exc:
            problems.add(file, [_unreadable(exc)])
    known = validation.ValidFiles(_schemas() + validation.rules())
    text = b"".join(
        b"%s %d\n%s" % (file.stem.encode(), len(content), content)
        for file, content in contents.items()
    )
    data = None if problems else known.read("catalog", text)
    if data is None:
        data = _check(files, contents, problems)
        known.add("catalog", text, data)
    return data


def _check(
    files: collections.abc.Sequence[pathlib.Path],
    contents: dict[pathlib.Path, bytes],
    problems: validation.Problems,
) -> typing.Any:
    """Parse and check the catalog's files, as for :func:`_read`."""
    shared, entries = files[: len(_SHARED)], files[len(_SHARED) :]
    parsed: dict[pathlib.Path, typing.Any] = {}
    for file in contents:
        kind = file.stem if file in shared else "datastore"
        parsed[file] = _parse(file, contents[file], kind, problems)
    # an entry of the user's replaces another one of the same name
    data: dict[str, typing.Any] = {
        **{file.stem: parsed.get(file) for file in shared},
        "datastores": {file.stem: parsed.get(file) for file in entries},
    }
    if not problems:
        for file in {file.stem: file for file in entries}.values():
            problems.add(
                file,
                validation.find_contradictions(
                    file, parsed[file], data["guests"]
                ),
            )
    problems.raise_any()
    return data


def _unreadable(exc: Exception) -> validation.Problem:
    return validation.Problem((), f"cannot be read: {exc}")


def _parse(
    file: pathlib.Path,
    content: bytes,
    kind: str,
    problems: validation.Problems,
) -> typing.Any:
    """Parse a file; if it is invalid, record a problem and return None."""
    # imported here because files that were valid before are not parsed
    import yaml

    try:
        data = bounds.parse_yaml(content)
        bounds.require(data)
    except ValueError as exc:
        # such as an invalid date
        problems.add(file, [_unreadable(exc)])
        return None
    except RecursionError:
        problems.add(file, [validation.Problem((), str(bounds.too_deep()))])
        return None
    except yaml.YAMLError as exc:
        problems.add_yaml(file, exc)
        return None
    schema = bounds.parse_yaml(_schemas())[kind]
    wrong = validation.find_violations(data, schema)
    problems.add(file, wrong)
    return None if wrong else data


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
