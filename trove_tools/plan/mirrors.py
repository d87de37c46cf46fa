# SPDX-License-Identifier: Apache-2.0
"""Which package mirrors the build host itself uses.

A host in a private network has its mirrors in its own apt configuration.
When the guest is of the same distribution, the build takes them from there,
in both forms that apt knows: one line (``sources.list``) and deb822
(``*.sources``); see sources.list(5).
"""

import collections.abc
import dataclasses
import pathlib
import re

from trove_tools.host import credentials
from trove_tools.host import deb822
from trove_tools.host import hosttools


@dataclasses.dataclass(frozen=True)
class Source:
    """A repository as apt knows it."""

    uri: str
    suite: str
    components: tuple[str, ...]


@dataclasses.dataclass(frozen=True)
class Mirrors:
    """The mirrors of a distribution; what is not known is ``None``."""

    archive: str | None = None
    security: str | None = None


def choose(
    archive: str | None, security: str | None, distribution: str
) -> Mirrors:
    """Return the mirrors of a build: what was given, or else the host's.

    :raises UsageError: one of them has a password in its address.
    """
    host = of_host(distribution)
    chosen = Mirrors(archive or host.archive, security or host.security)
    for flag, url in (
        ("--mirror", chosen.archive),
        ("--security-mirror", chosen.security),
    ):
        credentials.refuse(
            url,
            f"{flag}, or this host's apt sources",
            f"give {flag} an address that has none",
        )
    return chosen


def of_host(
    distribution: str, root: pathlib.Path = pathlib.Path("/")
) -> Mirrors:
    """Return the mirrors that this host uses for its own packages.

    :param distribution: the guest's; another than the host's has none.
    :param root: the host's root directory.
    """
    release = hosttools.os_release(root)
    if release.get("ID") != distribution:
        return Mirrors()
    codename = release.get("VERSION_CODENAME", "")
    archive = security = None
    for source in read(root / "etc/apt"):
        if "main" not in source.components:
            continue
        if source.suite == codename:
            archive = archive or source.uri
        elif source.suite == f"{codename}-security":
            security = security or source.uri
    return Mirrors(archive, security)


def read(apt: pathlib.Path) -> list[Source]:
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
        parse = _deb822 if file.suffix == ".sources" else _lines
        found.extend(parse(text))
    return found


_LINE = re.compile(
    r"^deb\s+(?:\[[^]]*\]\s+)?(?P<uri>\S+)\s+(?P<suite>\S+)(?P<rest>.*)$"
)


def _lines(text: str) -> collections.abc.Iterator[Source]:
    for line in text.splitlines():
        match = _LINE.match(line.partition("#")[0].strip())
        if match:
            yield Source(
                match["uri"].rstrip("/"),
                match["suite"],
                tuple(match["rest"].split()),
            )


def _deb822(text: str) -> collections.abc.Iterator[Source]:
    for fields in deb822.paragraphs(text):
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
