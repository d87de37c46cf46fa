# SPDX-License-Identifier: Apache-2.0
"""Chooses the package mirrors of a build, and finds their snapshots.

The apt configuration of a host in a private network names its mirrors.  The
build uses them if the guest system is of the host's distribution.

The field ``Snapshots`` of a mirror's Release files contains the address of its
snapshots, with ``@SNAPSHOTID@`` in place of the date; for the archives of
Debian and Ubuntu, apt has a table of these addresses (sources.list(5) and
apt-pkg/init.cc of apt 3).  A mirror's address that contains ``@SNAPSHOTID@``
is used as it is.  The files of a snapshot are signed as in any repository.
"""

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

#: The placeholder for the date in the address of a snapshot.
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
# bytes; the fields come before the list of files, which has megabytes
_HEAD = 64 * 1024


def choose(
    archive: str | None, security: str | None, distribution: str
) -> debian.Mirrors:
    """Return the mirrors of a build: the given ones, or else the host's.

    :param archive: the URL of the package mirror, or None.
    :param security: the URL of the mirror for security updates, or None.
    :param distribution: the guest system's distribution.
    :raises UsageError: one of the URLs contains credentials.
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


def parse_date(text: str) -> datetime.datetime:
    """Parse a date in one of the forms of users and apt, in UTC.

    :raises UsageError: the text is not a date.
    """
    for form in _FORMS:
        try:
            when = datetime.datetime.strptime(text, form)
        except ValueError:
            continue
        return when.replace(tzinfo=datetime.UTC)
    raise errors.UsageError(
        f"--snapshot {text}: not a date",
        hint="give a date, such as 2026-01-31 or 20260131T120000Z",
    )


def format_date(when: datetime.datetime) -> str:
    """Return a time in the form that the address of a snapshot has."""
    return when.strftime(_FORMS[-1])


def find_snapshots(
    known: debian.Mirrors, guest: model.Guest, wanted: datetime.datetime
) -> debian.Mirrors:
    """Return the snapshots of a guest system's mirrors.

    :raises UsageError: a mirror has no snapshot; see :func:`find_snapshot`.
    """
    if guest.distribution not in _DISTRIBUTIONS:
        raise errors.UsageError(
            f"--snapshot: there are no snapshots of"
            f" {guest.distribution}'s packages",
            hint=f"guest systems with snapshots: {', '.join(_DISTRIBUTIONS)}",
        )
    if not known.archive:
        raise errors.UsageError(
            f"--snapshot: this host's apt sources name no mirror of"
            f" {guest.distribution}",
            hint="name it with --mirror",
        )
    security = known.security
    return debian.Mirrors(
        find_snapshot(known.archive, guest.release, wanted),
        security
        and find_snapshot(security, f"{guest.release}-security", wanted),
    )


def find_snapshot(mirror: str, suite: str, wanted: datetime.datetime) -> str:
    """Return the address of a mirror's snapshot.

    :param mirror: the URL of the mirror, or of its snapshots with
        ``@SNAPSHOTID@``.
    :param suite: the suite that the snapshot must have, such as ``trixie``.
    :param wanted: the time of the snapshot.
    :raises UsageError: the mirror has no snapshot of that time, or the
        snapshot cannot be reached.
    """
    mirror = mirror.rstrip("/")
    template = mirror if MARK in mirror else _told(mirror, suite)
    if MARK not in template:
        raise errors.UsageError(
            f"--snapshot: {mirror} offers no snapshots",
            hint=_HINT,
        )
    address = template.replace(MARK, format_date(wanted)).rstrip("/")
    try:
        release = _release(address, suite)
    except OSError as exc:
        raise errors.UsageError(
            f"--snapshot: {mirror} has no snapshot of {format_date(wanted)}"
            f" that can be reached: {address}: {_reason(exc)}",
            hint=causes.find_remedy(_reason(exc)) or _HINT,
        ) from exc
    _require_older(release, address, wanted)
    return address


_HINT = (
    f"give --mirror and --security-mirror with {MARK} where the date goes,"
    " for a mirror that has snapshots; or leave --snapshot out"
)


def _told(mirror: str, suite: str) -> str:
    """Return the URL of a mirror's snapshots; empty if it has none."""
    try:
        field = _FIELD.search(_release(mirror, suite))
    except OSError as exc:
        raise errors.UsageError(
            f"--snapshot: the snapshots of {mirror} cannot be found:"
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
        raise OSError("snapshots need an http or https URL")
    with session.open_url(url, _TIMEOUT, packages=True) as answer:
        head: bytes = answer.read(_HEAD)
        return head.decode(errors="replace")


def _require_older(
    release: str, address: str, wanted: datetime.datetime
) -> None:
    """Raise an error if a snapshot is newer than the wanted time.

    :param release: the snapshot's InRelease file.
    :param address: the URL of the snapshot, for the error.
    :param wanted: the wanted time.
    :raises UsageError: the snapshot is newer.
    """
    field = _DATE.search(release)
    try:
        date = datetime.datetime.strptime(
            field[1] if field else "", "%a, %d %b %Y %H:%M:%S UTC"
        ).replace(tzinfo=datetime.UTC)
    except ValueError:
        return
    if date > wanted:
        raise errors.UsageError(
            f"--snapshot: {address} is of {date:%Y-%m-%d %H:%M} UTC, which is"
            f" later than {format_date(wanted)}",
            hint="the mirror ignores the date, or only has later snapshots;"
            " give a date that it has",
        )


def _reason(error: OSError) -> str:
    if isinstance(error, urllib.error.HTTPError):
        return f"{error.code} {error.reason}"
    if isinstance(error, urllib.error.URLError):
        return str(error.reason)
    return str(error)
