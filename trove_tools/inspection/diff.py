# SPDX-License-Identifier: Apache-2.0
"""Compares the contents of two images.

With the same packages and the same ``SOURCE_DATE_EPOCH``, two builds of one
plan create identical files, except those in :data:`EXPECTED`. A test builds an
image twice and compares the files.
"""

import collections.abc
import re
import typing

from trove_tools.inspection import contents
from trove_tools.inspection import package
from trove_tools.inspection import rootfile

# paths, and digests of values that are compared themselves
_MEANINGLESS = re.compile(r"(^|\.)(digest|elements_path|path)$")
#: Smaller differences of a directory's size, in bytes, are not reported.
LEAST = 64 * 1024


class Difference(typing.NamedTuple):
    """A difference between two images.

    :param kind: package, container, directory, configuration, system, plan
        or file.
    :param where: the system, the agent, or the name of a container; for a
        file, the reason why it differs between two builds of one plan, if that
        is known.
    :param change: added, removed or changed.
    :param old: the value in the first image; None if it was added.
    :param new: the value in the second image; None if it was removed.
    """

    kind: str
    where: str
    name: str
    change: str
    old: typing.Any
    new: typing.Any


Differences = collections.abc.Iterator[Difference]
_Values = collections.abc.Mapping[str, typing.Any]


def compare_contents(
    old: contents.Contents, new: contents.Contents
) -> list[Difference]:
    """Return the differences between the contents of two images, by kind."""
    return [
        *_pairs("system", "system", old.system, new.system),
        *_packages("system", old.packages, new.packages),
        *_packages("agent", old.python, new.python),
        *_containers(old, new),
        *_directories(old.directories, new.directories),
        *_pairs("configuration", "system", old.configuration,
                new.configuration),
    ]  # fmt: skip


def compare_plans(old: _Values, new: _Values) -> list[Difference]:
    """Return the differences between the plans of two builds."""
    left, right = (
        {
            name: value
            for name, value in _flat("", plan)
            if not _MEANINGLESS.search(name)
        }
        for plan in (old, new)
    )
    return list(_pairs("plan", "plan", left, right))


def compare_files(
    old: collections.abc.Mapping[str, rootfile.FileState],
    new: collections.abc.Mapping[str, rootfile.FileState],
) -> list[Difference]:
    """Return the differences between files, each with the known reason."""
    left, right = rootfile.compare_states(old, new)
    return [
        difference._replace(
            where=explain_file(
                difference.name, str(difference.old).startswith("@")
            ) or ""
        )
        for difference in _pairs("file", "", left, right)
    ]  # fmt: skip


def _pairs(kind: str, where: str, old: _Values, new: _Values) -> Differences:
    for name in sorted({*old, *new}):
        left, right = old.get(name), new.get(name)
        if left == right:
            continue
        change = "changed"
        if name not in old:
            change = "added"
        elif name not in new:
            change = "removed"
        yield Difference(kind, where, name, change, left, right)


def _packages(
    where: str,
    old: collections.abc.Iterable[package.Package],
    new: collections.abc.Iterable[package.Package],
) -> Differences:
    yield from _pairs("package", where, _versions(old), _versions(new))


def _versions(
    packages: collections.abc.Iterable[package.Package],
) -> dict[str, str]:
    """Return the versions by package name, as a text with commas."""
    by_name: dict[str, set[str]] = {}
    for entry in packages:
        by_name.setdefault(entry.name, set()).add(entry.version)
    return {
        name: ", ".join(sorted(versions)) for name, versions in by_name.items()
    }


def _containers(
    old: contents.Contents, new: contents.Contents
) -> Differences:
    left, right = _by_name(old), _by_name(new)
    yield from _pairs(
        "container", "system",
        {name: container.id for name, container in left.items()},
        {name: container.id for name, container in right.items()},
    )  # fmt: skip
    for name in sorted(left.keys() & right.keys()):
        yield from _packages(
            name, left[name].packages, right[name].packages
        )


def _by_name(image: contents.Contents) -> dict[str, typing.Any]:
    # an image may have several names; the first one identifies it
    return {container.names[0]: container for container in image.containers}


def _directories(
    old: collections.abc.Mapping[str, int],
    new: collections.abc.Mapping[str, int],
) -> Differences:
    for difference in _pairs("directory", "system", old, new):
        if abs((difference.new or 0) - (difference.old or 0)) >= LEAST:
            yield difference


def _flat(
    name: str, value: typing.Any
) -> collections.abc.Iterator[tuple[str, typing.Any]]:
    """Yield the plain values in a nested structure, by dotted names."""
    if isinstance(value, collections.abc.Mapping):
        for key, inner in value.items():
            yield from _flat(f"{name}.{key}" if name else str(key), inner)
    elif isinstance(value, list | tuple) and any(
        isinstance(inner, collections.abc.Mapping) for inner in value
    ):
        for number, inner in enumerate(value):
            yield from _flat(f"{name}[{number}]", inner)
    else:
        yield name, value


class Expected(typing.NamedTuple):
    """Files that are expected to differ between two builds.

    :param pattern: a regular expression for their paths.
    :param time_only: only their modification times differ.
    """

    pattern: str
    why: str
    time_only: bool = False


EXPECTED = (
    Expected(
        r"/var/lib/docker(/.*)?",
        "Docker gives each layer a random name, and notes when it was loaded",
    ),
    Expected(
        r"/boot/grub(/.*)?",
        "the boot loader finds its disk by the UUID of a file system, which"
        " is random",
    ),
    Expected(
        r"/opt/trove-guest-agent/.*\.pyc",
        "Python compiles several modules at a time; which constants a few of"
        " them mark as shared depends on what the process has done before",
    ),
    Expected(
        r"/etc|/tmp|/var/log/.*",
        "diskimage-builder empties logs and puts resolv.conf in place after"
        " the last hook",
        time_only=True,
    ),
)


def explain_file(path: str, time_only: bool = False) -> str | None:
    """Return why a file differs between two builds; None if unknown.

    :param time_only: only its modification time differs.
    """
    for expected in EXPECTED:
        if re.fullmatch(expected.pattern, path) and (
            time_only or not expected.time_only
        ):
            return expected.why
    return None
