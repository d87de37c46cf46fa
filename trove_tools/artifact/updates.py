# SPDX-License-Identifier: Apache-2.0
"""Compares an image with what a build would put into it today.

The image is not read: its manifest and its bill of materials say what it
contains. The package repositories are read as apt reads them, so nothing that
is not signed with the distribution's or the vendor's key counts.
"""

import collections.abc
import concurrent.futures
import dataclasses
import fnmatch
import functools
import json
import pathlib
import sys
import typing

from trove_tools import errors
from trove_tools.artifact import manifest
from trove_tools.catalog import model
from trove_tools.host import causes
from trove_tools.host import debian
from trove_tools.host import process
from trove_tools.inspection import contents as _contents
from trove_tools.inspection import docker
from trove_tools.inspection import package as _package
from trove_tools.sources import fetch
from trove_tools.sources.container import skopeo
from trove_tools.sources.container import sources as _container
from trove_tools.sources.native import apt
from trove_tools.sources.native import keyring

#: Where an update belongs to, if not to a container.
SYSTEM, AGENT = "system", "agent"

# seconds to wait for the package index or the git repository of the agent
_TIMEOUT = 20.0

_Packages = collections.abc.Collection[_package.Package]


@dataclasses.dataclass(frozen=True)
class Update:
    """A difference between an image and what a build would use today.

    :param where: :data:`SYSTEM`, :data:`AGENT`, or the name of a container.
    :param name: the package, or the reference of a container.
    :param installed: the version, commit or digest in the image.
    :param available: today's.
    :param security: whether it is a security update of the distribution.
    :param source: the suite, repository or index that has it.
    """

    where: str
    name: str
    installed: str
    available: str
    security: bool
    source: str


@dataclasses.dataclass
class Comparison:
    """The result for one image.

    :param updates: sorted; security updates first.
    :param compared: the number of compared packages.
    :param unknown: packages that no repository has, as ``where: name``.
    :param notes: what could not be compared, and why.
    """

    updates: list[Update] = dataclasses.field(default_factory=list)
    compared: int = 0
    unknown: list[str] = dataclasses.field(default_factory=list)
    notes: list[str] = dataclasses.field(default_factory=list)


@dataclasses.dataclass(frozen=True)
class Today:
    """Where today's packages come from.

    :param mirrors: the mirrors of the guest system's distribution.
    :param series: the series of the guest agent.
    :param lists: the directory that keeps package indices.
    """

    mirrors: debian.Mirrors
    series: model.Series
    lists: pathlib.Path


def compare_image(
    made: manifest.Manifest, contents: _contents.Contents, today: Today
) -> Comparison:
    """Compare an image with the repositories of today.

    :raises ImageError: the guest system has no apt.
    :raises BuildError: a repository cannot be read or is not to be trusted.
    :raises UsageError: no mirror of the distribution is known.
    """
    distribution = made.guest["distribution"]
    if distribution not in debian.COMPONENTS:
        raise errors.ImageError(
            f"packages of {distribution} cannot be compared: its repositories"
            " are not read by apt",
            hint="renew the image after some days instead",
        )
    if not today.mirrors.archive:
        raise errors.UsageError(
            f"no package mirror of {distribution} is known",
            hint="name it with --mirror, and --security-mirror",
        )
    result = Comparison()
    if not today.mirrors.security and distribution == "debian":
        result.notes.append(
            "no mirror of security updates is known: --security-mirror"
        )
    planned = _planned_containers(made)
    with concurrent.futures.ThreadPoolExecutor(4) as pool:
        # the package index, git and registries are slow, and independent
        others = [
            pool.submit(_compare_agent, made, today.series),
            *(
                pool.submit(
                    _compare_digest, made, container, planned.get(name)
                )
                for container in contents.containers
                for name in container.names[:1]
            ),
        ]
        _compare_packages(made, contents, planned, today, result)
        for future in others:
            update, note = future.result()
            result.updates += [update] if update else []
            result.notes += [note] if note else []
    result.updates.sort(key=lambda u: (not u.security, u.where, u.name))
    return result


def _planned_containers(
    made: manifest.Manifest,
) -> dict[str, dict[str, typing.Any]]:
    """Return the plan's containers by their names in the guest."""
    return {
        name: container
        for layer in made.plan.get("layers", ())
        for container in layer["containers"]
        for name in container["names"]
    }


def _compare_packages(
    made: manifest.Manifest,
    contents: _contents.Contents,
    planned: collections.abc.Mapping[str, dict[str, typing.Any]],
    today: Today,
    result: Comparison,
) -> None:
    """Compare the packages of the system, and of containers made of them."""
    # by release: those of the system and of each container
    groups: dict[str, dict[str, _Packages]] = {
        made.guest["release"]: {SYSTEM: contents.packages}
    }
    for container in contents.containers:
        entry = planned.get(container.names[0])
        if entry and entry["source"] == "packages":
            group = groups.setdefault(entry["suite"], {})
            group[container.names[0]] = container.packages
    distribution, arch = made.guest["distribution"], made.guest["arch"]
    file = debian.find_keyring(distribution)
    check_date = not debian.takes_old_index()
    available: dict[str, list[tuple[apt.Package, str]]]
    with keyring.open_keyring(
        file.read_bytes(), None, who=distribution, location=str(file)
    ) as ring:
        for release, group in groups.items():
            names = {each.name for one in group.values() for each in one}
            available = {}
            for url, suite in debian.list_suites(
                today.mirrors, distribution, release
            ):
                try:
                    found = apt.read(
                        url, suite, debian.COMPONENTS[distribution], arch,
                        names, ring, cache=today.lists, check_date=check_date,
                    )  # fmt: skip
                except errors.BuildError as exc:
                    raise errors.BuildError(
                        exc.message,
                        hint=causes.find_remedy(exc.message)
                        or "check the network, --mirror and --security-mirror",
                    ) from exc
                for package in found.packages:
                    available.setdefault(package.name, []).append(
                        (package, suite)
                    )
            if release == made.guest["release"]:
                _read_vendors(made, contents, available, today.lists)
            for where, packages in group.items():
                _add_updates(result, where, packages, available)


def _read_vendors(
    made: manifest.Manifest,
    contents: _contents.Contents,
    available: dict[str, list[tuple[apt.Package, str]]],
    lists: pathlib.Path,
) -> None:
    """Add the packages of vendors' repositories that the image came from."""
    vendors: dict[str, list[tuple[apt.Package, str]]] = {}
    for layer in made.plan.get("layers", ()):
        for native in layer.get("natives", ()):
            repository = native.get("repository")
            if not repository:
                continue
            names = {
                package.name
                for package in contents.packages
                if any(
                    fnmatch.fnmatch(package.name, pattern)
                    for pattern in repository["packages"]
                )
            }
            who = native["datastore"]
            key = fetch.read(repository["key"], f"{who}'s key")
            with keyring.open_keyring(
                key, repository["fingerprints"], who=who,
                location=repository["key"],
            ) as ring:  # fmt: skip
                for path in repository["paths"]:
                    url = f"{repository['base']}/{path}".rstrip("/")
                    read = apt.read(
                        url, repository["suite"], repository["components"],
                        made.guest["arch"], names, ring, cache=lists,
                    )  # fmt: skip
                    for package in read.packages:
                        vendors.setdefault(package.name, []).append(
                            (package, url)
                        )
    # the vendor's package, and not the distribution's of the same name, is
    # installed
    available |= vendors


def _add_updates(
    result: Comparison,
    where: str,
    packages: _Packages,
    available: collections.abc.Mapping[str, list[tuple[apt.Package, str]]],
) -> None:
    key = functools.cmp_to_key(apt.compare)
    for package in packages:
        known = available.get(package.name)
        if not known:
            result.unknown.append(f"{where}: {package.name}")
            continue
        result.compared += 1
        newer = [
            each
            for each in known
            if apt.compare(each[0].version, package.version) > 0
        ]
        if not newer:
            continue
        newest, suite = max(newer, key=lambda each: key(each[0].version))
        # an update may also be newer than the security update before it
        secure = [each for _, each in newer if debian.is_security(each)]
        result.updates.append(
            Update(
                where, package.name, package.version, newest.version,
                bool(secure), secure[0] if secure else suite,
            )
        )  # fmt: skip


def _compare_digest(
    made: manifest.Manifest,
    container: docker.Container,
    entry: dict[str, typing.Any] | None,
) -> tuple[Update | None, str]:
    """Compare the digest of a container with that of its tag in a registry.

    :param entry: the container in the plan.
    :returns: the update, if any, and why it could not be compared, if so.
    """
    name = container.names[0]
    if entry is None or entry["source"] not in ("packages", "registry"):
        return None, f"{name} did not come from packages or a registry"
    if entry["source"] == "packages":
        return None, ""
    digests = {
        each.names[0]: each.digest
        for datastore in made.datastores
        for each in datastore.containers
    }
    installed = next(
        (digests[each] for each in container.names if each in digests), ""
    )
    fields = {field.name for field in dataclasses.fields(_container.Container)}
    values: dict[str, typing.Any] = {
        key: tuple(value) if isinstance(value, list) else value
        for key, value in entry.items()
        if key in fields
    }
    # today's image may be another one than the image in the lock file
    wanted = _container.Container(**{**values, "digest": ""})
    try:
        available = skopeo.find(wanted, made.guest["arch"]).digest
    except errors.BuildError as exc:
        return None, f"{name}: {exc.message}"
    if available == installed:
        return None, ""
    return Update(
        name, wanted.reference, installed, available, False, "registry"
    ), ""


def _compare_agent(
    made: manifest.Manifest, series: model.Series
) -> tuple[Update | None, str]:
    """Compare the guest agent with the newest one of its source.

    :returns: the update, if any, and why it could not be compared, if so.
    """
    agent = made.agent
    source = agent.get("source")
    planned = made.plan.get("agent", {})
    if source == "pypi":
        ours = made.series.get("name") == series.name
        requirement = series.requirement if ours else planned["location"]
        installed = agent.get("version") or ""
        available, note = _find_release(requirement)
        where = "package index"
        newer = available and apt.compare(available, installed) > 0
    elif source == "git":
        installed = agent.get("commit") or ""
        where = planned["location"]
        available, note = _find_commit(where, planned["ref"])
        newer = available and available != installed
    else:
        return None, "the guest agent came from a checkout"
    if newer:
        return Update(AGENT, "trove", installed, available, False, where), ""
    return None, note


def _find_release(requirement: str) -> tuple[str, str]:
    """Return the newest version that matches, or why it is unknown."""
    try:
        done = process.run(
            [
                sys.executable, "-m", "pip", "--disable-pip-version-check",
                "--no-input", "--retries=1", f"--timeout={_TIMEOUT / 4:.0f}",
                "install", "--dry-run", "--quiet", "--no-deps",
                "--ignore-installed", "--ignore-requires-python",
                "--report=-", "--", requirement,
            ],
            timeout=_TIMEOUT,
        )  # fmt: skip
        report = json.loads(done.stdout)
        return str(report["install"][0]["metadata"]["version"]), ""
    except (errors.CommandError, ValueError, LookupError, TypeError):
        return "", "pip cannot tell the newest release of the guest agent"


def _find_commit(url: str, ref: str) -> tuple[str, str]:
    """Return the commit of a branch or tag, or why it is unknown."""
    try:
        done = process.run(
            ["git", "ls-remote", url, ref, f"refs/tags/{ref}^{{}}"],
            env={"GIT_TERMINAL_PROMPT": "0"},
            timeout=_TIMEOUT,
        )
    except errors.TroveToolsError:
        return "", f"git cannot read {url}"
    # the commit of an annotated tag comes last
    lines = done.stdout.split()
    return (lines[-2], "") if lines else ("", f"{url} has no {ref}")
