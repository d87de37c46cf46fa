# SPDX-License-Identifier: Apache-2.0
"""Reads files of Debian's tools: deb822(5), dpkg's status, sources.list(5).

It also knows which suites of a distribution's archive a system is made of.
"""

import collections.abc
import dataclasses
import pathlib
import re

from trove_tools import errors
from trove_tools.host import hosttools
from trove_tools.host import process

_BETWEEN = re.compile(r"\n\s*\n")
_LINE = re.compile(
    r"^deb\s+(?:\[[^]]*\]\s+)?(?P<uri>\S+)\s+(?P<suite>\S+)(?P<rest>.*)$"
)

#: The components of each distribution's archive that guests use.
COMPONENTS = {"debian": ("main",), "ubuntu": ("main", "universe")}

_KEYRINGS = pathlib.Path("/usr/share/keyrings")

# suites that are not released have neither updates nor security updates:
# https://www.debian.org/releases/sid/
_ROLLING = ("sid", "unstable")


@dataclasses.dataclass(frozen=True)
class Source:
    """A package repository in apt's configuration."""

    uri: str
    suite: str
    components: tuple[str, ...]


@dataclasses.dataclass(frozen=True)
class Mirrors:
    """The mirrors of a distribution; an unknown mirror is ``None``."""

    archive: str | None = None
    security: str | None = None


def parse_paragraphs(text: str) -> collections.abc.Iterator[dict[str, str]]:
    """Yield the fields of each paragraph that has fields.

    :returns: values by the field's name in lower case; continuation lines
        of a value are without their indentation.
    """
    for paragraph in _BETWEEN.split(text):
        fields: dict[str, str] = {}
        name = ""
        for line in paragraph.splitlines():
            if line[:1].isspace():
                if name:
                    fields[name] += f"\n{line.strip()}"
            elif ":" in line and not line.startswith("#"):
                name, _, value = line.partition(":")
                name = name.strip().lower()
                fields[name] = value.strip()
        if fields:
            yield fields


def parse_installed(status: str) -> collections.abc.Iterator[dict[str, str]]:
    """Yield the fields of each installed package in dpkg's status file."""
    for fields in parse_paragraphs(status):
        state = fields.get("status", "")
        if state.endswith(" installed") and fields.keys() >= {
            "package", "version"
        }:  # fmt: skip
            yield fields


def read_mirrors(
    distribution: str, root: pathlib.Path = pathlib.Path("/")
) -> Mirrors:
    """Return the mirrors that this host uses for its own packages.

    :param distribution: the guest system's distribution; there are no
        mirrors if the host's is another one.
    :param root: the host's root directory.
    """
    release = hosttools.os_release(root)
    if release.get("ID") != distribution:
        return Mirrors()
    codename = release.get("VERSION_CODENAME", "")
    archive = security = None
    for source in read_sources(root / "etc/apt"):
        if "main" not in source.components:
            continue
        if source.suite == codename:
            archive = archive or source.uri
        elif source.suite == f"{codename}-security":
            security = security or source.uri
    return Mirrors(archive, security)


def list_suites(
    mirrors: Mirrors, distribution: str, release: str
) -> list[tuple[str, str]]:
    """Return the mirrors and suites that a system's packages come from.

    :param mirrors: the archive's mirror must be known.
    :param distribution: the distribution, such as ``debian``.
    :param release: the suite of the release, such as ``trixie``.
    """
    assert mirrors.archive is not None
    suites = [(mirrors.archive, release)]
    if release not in _ROLLING:
        suites.append((mirrors.archive, f"{release}-updates"))
        security = mirrors.security
        if distribution == "ubuntu":
            security = security or mirrors.archive
        if security:
            suites.append((security, f"{release}-security"))
    return suites


def is_security(suite: str) -> bool:
    """Return whether a suite has security updates."""
    return suite.endswith("-security")


def is_of_version(version: str, wanted: str) -> bool:
    """Return whether a package has an upstream version.

    :param version: the package's version: [epoch:]upstream[-revision], as in
        deb-version(7).
    :param wanted: the version, such as ``11.8``; 11.8.6 is one of it, and
        11.80 is not.
    """
    upstream = version.rpartition(":")[2]
    return upstream == wanted or upstream.startswith(
        (f"{wanted}.", f"{wanted}-")
    )


def require_version(
    package: str, installed: str | None, wanted: str, mirror: str | None
) -> None:
    """Raise an error unless a package was installed in the wanted version.

    The mirror decides which version is installed; without this check, only the
    users of a cloud would notice that an image called 11.8 contains 11.4.

    :param installed: the package's version; empty or None if it is absent.
    :param wanted: the version in the catalog, such as ``11.8``.
    :param mirror: the source of the package, for the error.
    :raises BuildError: another version is installed, or none.
    """
    if not installed:
        raise errors.BuildError(f"package {package} was not installed")
    if not is_of_version(installed, wanted):
        raise errors.BuildError(
            f"{mirror or 'the mirror'} has {package} {installed}, not"
            f" {wanted}",
            hint="build the version that it has, or name another mirror with"
            " --mirror",
        )


def find_keyring(distribution: str) -> pathlib.Path:
    """Return the file on this host with the keys of a distribution.

    :raises MissingToolError: there is none.
    """
    keyring = _KEYRINGS / f"{distribution}-archive-keyring.gpg"
    if not keyring.exists():
        raise errors.MissingToolError(
            f"nothing on this host says which keys sign {distribution}'s"
            f" packages: there is no {keyring}",
            hint=f"install {distribution}-archive-keyring (Ubuntu:"
            " ubuntu-keyring)",
        )
    return keyring


def takes_old_index() -> bool:
    """Return whether this host's apt accepts an index past its date.

    Hosts have this setting for a mirror that is updated less often than its
    suite, as behind an air gap: apt.conf(5), Acquire::Check-Valid-Until.
    """
    if process.find("apt-config") is None:
        return False
    option = "Acquire::Check-Valid-Until"
    done = process.run(
        ["apt-config", "shell", "CHECKED", f"{option}/b"], check=False
    )
    return "false" in done.stdout


def read_sources(apt: pathlib.Path) -> list[Source]:
    """Return the binary repositories of an apt configuration directory."""
    files = [
        apt / "sources.list",
        *sorted(apt.glob("sources.list.d/*.list")),
        *sorted(apt.glob("sources.list.d/*.sources")),
    ]
    found: list[Source] = []
    for file in files:
        try:
            text = file.read_text(errors="replace")
        except OSError:
            continue
        is_deb822 = file.suffix == ".sources"
        parse = _parse_stanzas if is_deb822 else _parse_lines
        found.extend(parse(text))
    return found


def _parse_lines(text: str) -> collections.abc.Iterator[Source]:
    for line in text.splitlines():
        match = _LINE.match(line.partition("#")[0].strip())
        if match:
            yield Source(
                match["uri"].rstrip("/"),
                match["suite"],
                tuple(match["rest"].split()),
            )


def _parse_stanzas(text: str) -> collections.abc.Iterator[Source]:
    for fields in parse_paragraphs(text):
        if fields.get("enabled", "yes").lower() in ("no", "false", "0"):
            continue
        if "deb" not in fields.get("types", "").split():
            continue
        for uri in fields.get("uris", "").split():
            for suite in fields.get("suites", "").split():
                yield Source(
                    uri.rstrip("/"),
                    suite,
                    tuple(fields.get("components", "").split()),
                )
