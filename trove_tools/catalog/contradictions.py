# SPDX-License-Identifier: Apache-2.0
"""What no schema can say of a datastore's entry: names that must agree."""

import collections.abc
import pathlib
import typing

from trove_tools.catalog import native
from trove_tools.catalog import problems

Entry = dict[str, typing.Any]


def of(
    file: pathlib.Path,
    entry: Entry,
    guests: collections.abc.Sequence[Entry],
) -> list[problems.Problem]:
    """Return what in an entry contradicts the rest of it, or the guests.

    :param file: which the entry is in.
    :param guests: the entries of the guest systems.
    """
    return [
        *_names(file, entry),
        *_systems(entry, [guest["name"] for guest in guests]),
        *_natives(entry, guests),
        *_container(entry),
    ]


def _names(file: pathlib.Path, entry: Entry) -> list[problems.Problem]:
    wrong = []
    if entry["name"] != file.stem:
        wrong.append(
            problems.Problem(
                ("name",),
                f"{entry['name']!r} must be the file's name, {file.stem!r}",
            )
        )
    names = [version["version"] for version in entry["versions"]]
    if entry["default_version"] not in names:
        wrong.append(
            problems.Problem(
                ("default_version",),
                f"{entry['default_version']!r} is not among the versions;"
                f" allowed: {', '.join(names)}",
            )
        )
    for twice in sorted({name for name in names if names.count(name) > 1}):
        wrong.append(
            problems.Problem(("versions",), f"{twice!r} stands there twice")
        )
    if "scenarios" in entry and "manager" not in entry:
        wrong.append(
            problems.Problem(
                ("scenarios",), "only a datastore with a manager has them"
            )
        )
    if (entry["tier"] == "supported") != ("manager" in entry):
        wrong.append(
            problems.Problem(
                ("tier",),
                "a supported datastore names its manager;"
                " an image-only one has none",
            )
        )
    return wrong


def _systems(
    entry: Entry, guests: collections.abc.Collection[str]
) -> list[problems.Problem]:
    wrong = []
    for number, version in enumerate(entry["versions"]):
        for runtime, systems in version["runtimes"].items():
            place = ("versions", number, "runtimes", runtime)
            if runtime not in entry["runtimes"]:
                wrong.append(
                    problems.Problem(
                        place,
                        "is not among the runtimes;"
                        f" allowed: {', '.join(entry['runtimes'])}",
                    )
                )
            for system in systems:
                if system not in guests:
                    wrong.append(
                        problems.Problem(
                            place,
                            f"unknown guest system {system!r};"
                            f" allowed: {', '.join(guests)}",
                        )
                    )
    return wrong


def _container(entry: Entry) -> collections.abc.Iterator[problems.Problem]:
    """Yield what a container of packages leaves out, or says twice."""
    place = ("runtimes", "container", "container")
    container = entry["runtimes"].get("container", {}).get("container", {})
    if "packages" in container and (
        ("recipe" in container) == ("command" in container)
    ):
        yield problems.Problem(
            (*place, "packages"),
            "a container of packages needs a recipe, or else a command",
        )
    for version in set(container.get("suites", ())) - set(
        container.get("packages", ())
    ):
        yield problems.Problem(
            (*place, "suites", version), "there are no packages of it"
        )


def _natives(
    entry: Entry, guests: collections.abc.Sequence[Entry]
) -> collections.abc.Iterator[problems.Problem]:
    """Yield what a native runtime leaves out, or says of no guest system."""
    runtime = entry["runtimes"].get("native")
    if runtime is None:
        return
    names = {guest["name"] for guest in guests}
    families = {native.family(guest["distribution"]) for guest in guests}
    for name in set(runtime.get("guests", ())) - names - families:
        yield problems.Problem(
            ("runtimes", "native", "guests", name),
            f"unknown guest system {name!r};"
            f" allowed: {', '.join(sorted(names | families))}",
        )
    for number, version in enumerate(entry["versions"]):
        systems = version["runtimes"].get("native", ())
        place = ("versions", number)
        for name in set(version.get("unsupported", ())) - set(systems):
            yield problems.Problem(
                (*place, "unsupported", name),
                "it is not among those that it can be made for at all",
            )
        for name in set(version.get("refused", ())) & set(systems):
            yield problems.Problem(
                (*place, "refused", name),
                "it is among those that it is made for",
            )
        for guest in guests:
            if guest["name"] not in systems:
                continue
            try:
                native.resolve(runtime, version, guest)
            except KeyError as exc:
                yield problems.Problem(
                    (*place, "runtimes", "native"),
                    f"nothing says {exc.args[0]} for {guest['name']}",
                )
                break
