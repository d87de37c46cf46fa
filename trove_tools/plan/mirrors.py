# SPDX-License-Identifier: Apache-2.0
"""Chooses the package mirrors of a build, and finds them as of a day.

A host in a private network has its mirrors in its own apt configuration.
When the guest is of the same distribution, the build uses these.

A mirror tells where its snapshots are in the field ``Snapshots`` of its
Release files, with ``@SNAPSHOTID@`` in place of the date; apt's own tables
tell it for the archives of Debian and Ubuntu (sources.list(5) and
apt-pkg/init.cc of apt 3).  An address that contains ``@SNAPSHOTID@`` is one
already.  The files of a snapshot are signed as those of any repository.
"""

import dataclasses
import datetime
import re
import urllib.error
import urllib.parse

from trove_tools import errors
from trove_tools.catalog import model
from trove_tools.host import causes
from trove_tools.host import credentials
from trove_tools.host import debian
from trove_tools.host import paths
from trove_tools.sources.network import session

#: Where the date goes in the address of a snapshot.
MARK = "@SNAPSHOTID@"
_PATH = "@PATH@"
_KNOWN = {
    "deb.debian.org": f"https://snapshot.debian.org/archive/{_PATH}/{MARK}",
    "archive.ubuntu.com": f"https://snapshot.ubuntu.com/{_PATH}/{MARK}",
    "security.ubuntu.com": f"https://snapshot.ubuntu.com/{_PATH}/{MARK}",
}
_DISTRIBUTIONS = ("debian", "ubuntu")
_FORMS = ("%Y-%m-%d", "%Y%m%d", "%Y%m%dT%H%M%SZ")
_FIELD = re.compile(r"^Snapshots:\s*(\S+)\s*$", re.MULTILINE)
_DATE = re.compile(r"^Date:\s*(.+?)\s*$", re.MULTILINE)
_TIMEOUT = 20.0
# the fields come first; the list of files behind them has megabytes
_HEAD = 64 * 1024


def choose(
    archive: str | None, security: str | None, distribution: str
) -> debian.Mirrors:
    """Return the mirrors of a build: what was given, or else the host's.

    :raises UsageError: one of them has a password in its address.
    """
    host = debian.read_mirrors(distribution)
    chosen = debian.Mirrors(archive or host.archive, security or host.security)
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


@dataclasses.dataclass(frozen=True)
class Date:
    """A moment whose packages are wanted."""

    when: datetime.datetime

    @property
    def identity(self) -> str:
        """What stands for it in an address."""
        return self.when.strftime("%Y%m%dT%H%M%SZ")

    @property
    def epoch(self) -> int:
        """Seconds since 1970."""
        return int(self.when.timestamp())


def parse_date(text: str) -> Date:
    """Read a date as users and apt write it, in UTC.

    :raises ValueError: it is none.
    """
    for form in _FORMS:
        try:
            when = datetime.datetime.strptime(text, form)
        except ValueError:
            continue
        return Date(when.replace(tzinfo=datetime.UTC))
    raise ValueError("a date, such as 2026-01-31 or 20260131T120000Z")


def find_snapshots(
    found: debian.Mirrors, guest: model.Guest, wanted: Date
) -> debian.Mirrors:
    """Return the snapshots of a guest system's mirrors.

    :raises UsageError: a mirror has no snapshots; see :func:`of`.
    """
    if guest.distribution not in _DISTRIBUTIONS:
        raise errors.UsageError(
            f"--snapshot: there are none of {guest.distribution}'s packages",
            hint=f"guest systems with some: {', '.join(_DISTRIBUTIONS)}",
        )
    if not found.archive:
        raise errors.UsageError(
            f"--snapshot: this host does not say which mirror of"
            f" {guest.distribution} to ask",
            hint="name it with --mirror",
        )
    security = found.security
    return debian.Mirrors(
        find_snapshot(found.archive, guest.release, wanted),
        security
        and find_snapshot(security, f"{guest.release}-security", wanted),
    )


def find_snapshot(mirror: str, suite: str, wanted: Date) -> str:
    """Return the address of a mirror's snapshot.

    :param mirror: its address, or that of snapshots with ``@SNAPSHOTID@``.
    :param suite: one that must be there, such as ``trixie``.
    :raises UsageError: it has no snapshot of that date, or none that can be
        reached.
    """
    mirror = mirror.rstrip("/")
    template = mirror if MARK in mirror else _told(mirror, suite)
    if MARK not in template:
        raise errors.UsageError(
            f"--snapshot: {mirror} offers no snapshots",
            hint=_HINT,
        )
    found = template.replace(MARK, wanted.identity).rstrip("/")
    try:
        release = _release(found, suite)
    except OSError as exc:
        raise errors.UsageError(
            f"--snapshot: {mirror} has no snapshot of {wanted.identity} that"
            f" can be reached: {found}: {_reason(exc)}",
            hint=causes.find_remedy(_reason(exc)) or _HINT,
        ) from exc
    _require_older(release, found, wanted)
    return found


_HINT = (
    f"give --mirror and --security-mirror with {MARK} where the date goes,"
    " for a mirror that has snapshots; or leave --snapshot out"
)


def _told(mirror: str, suite: str) -> str:
    """Return where a mirror's snapshots are; empty if it has none."""
    try:
        field = _FIELD.search(_release(mirror, suite))
    except OSError as exc:
        raise errors.UsageError(
            f"--snapshot: {mirror} cannot be asked for its snapshots:"
            f" {_reason(exc)}",
            hint=causes.find_remedy(_reason(exc))
            or "check --mirror and --security-mirror, or this host's apt"
            " sources",
        ) from exc
    if field:
        return field[1]
    parts = urllib.parse.urlsplit(mirror)
    known = _KNOWN.get(parts.hostname or "", "")
    return known.replace(_PATH, parts.path.strip("/"))


def _release(address: str, suite: str) -> str:
    url = f"{address}/dists/{suite}/InRelease"
    if not paths.is_url(url):
        raise OSError("snapshots are asked for by http and https only")
    with session.open_url(url, _TIMEOUT, packages=True) as answer:
        head: bytes = answer.read(_HEAD)
        return head.decode(errors="replace")


def _require_older(release: str, found: str, wanted: Date) -> None:
    """Make sure that what claims to be a snapshot is not of a later time.

    :raises UsageError: it is.
    """
    field = _DATE.search(release)
    try:
        made = datetime.datetime.strptime(
            field[1] if field else "", "%a, %d %b %Y %H:%M:%S UTC"
        ).replace(tzinfo=datetime.UTC)
    except ValueError:
        return
    if made > wanted.when:
        raise errors.UsageError(
            f"--snapshot: {found} is of {made:%Y-%m-%d %H:%M} UTC, later than"
            f" {wanted.identity}",
            hint="the mirror takes any date, or has a later one only; give"
            " one that it has",
        )


def _reason(error: OSError) -> str:
    if isinstance(error, urllib.error.HTTPError):
        return f"{error.code} {error.reason}"
    if isinstance(error, urllib.error.URLError):
        return str(error.reason)
    return str(error)
