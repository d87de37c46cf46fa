# SPDX-License-Identifier: Apache-2.0
"""Reads the installed packages of a root, without running its programs.

dpkg-query(1) and deb-control(5) describe the fields of dpkg's status file; the
licences are in each package's copyright file, if it is machine-readable:
https://www.debian.org/doc/packaging-manuals/copyright-format/1.0/

In a Python virtual environment, each distribution has a directory with its
metadata:
https://packaging.python.org/en/latest/specifications/recording-installed-packages/
"""

import collections.abc
import dataclasses

# the parser would load this on first use: too late in a confined process
import email.message
import email.parser
import pathlib
import re
import typing

from trove_tools.host import bounds
from trove_tools.host import debian
from trove_tools.inspection import rootfile

_STATUS = "var/lib/dpkg/status"
# bytes; the status file of a full desktop has 10 MB
_LARGEST_STATUS = 64 * 1024 * 1024
_MACHINE_READABLE = re.compile(r"\AFormat: *\S*copyright-format", re.I)
_LICENCE = re.compile(r"^License: *(\S.*)$", re.MULTILINE)
_BETWEEN_LICENCES = re.compile(r",? (?:and/or|and|or) |, ?")
#: The path of the guest agent's virtual environment in the root.
AGENT_VENV = "opt/trove-guest-agent"
# bytes; the metadata includes a long description
_LARGEST_METADATA = 4 * 1024 * 1024


@dataclasses.dataclass(frozen=True, order=True)
class Package:
    """An installed package.

    :param source: the source package, if its name differs.
    :param size: bytes of the installed files; 0 if unknown.
    :param licences: the licences, as the package names them.
    """

    name: str
    version: str
    arch: str = ""
    source: str = ""
    size: int = 0
    licences: tuple[str, ...] = ()


def from_dicts(
    plain: collections.abc.Iterable[dict[str, typing.Any]],
) -> tuple[Package, ...]:
    """Restore packages from plain data."""
    return tuple(
        Package(**{**values, "licences": tuple(values["licences"])})
        for values in plain
    )


def read_dpkg(root: pathlib.Path) -> tuple[Package, ...]:
    """Return the packages that dpkg has installed, sorted by name.

    :returns: empty if the root has no dpkg.
    """
    return tuple(
        sorted(
            Package(
                name=fields["package"],
                version=fields["version"],
                arch=fields.get("architecture", ""),
                source=fields.get("source", "").partition(" ")[0],
                # dpkg-gencontrol has estimated the size in KiB
                size=1024
                * bounds.parse_number(fields.get("installed-size", "")),
                licences=_dpkg_licences(root, fields["package"]),
            )
            for fields in debian.parse_installed(
                rootfile.read_text(root / _STATUS, _LARGEST_STATUS)
            )
        )
    )


def _dpkg_licences(root: pathlib.Path, name: str) -> tuple[str, ...]:
    """Return the short names of a package's licences."""
    if "/" in name or name.startswith("."):
        return ()
    text = rootfile.read_text(root / "usr/share/doc" / name / "copyright")
    if not _MACHINE_READABLE.match(text):
        return ()
    licences = {
        word.strip()
        for stanza in re.split(r"\n\n+", text)
        # other stanzas explain licences
        if stanza.startswith("Files:")
        for line in _LICENCE.findall(stanza)
        for word in _BETWEEN_LICENCES.split(" ".join(line.split()))
    }
    return tuple(sorted(licences - {""}))


def read_python(venv: pathlib.Path) -> tuple[Package, ...]:
    """Return the distributions in a virtual environment, sorted by name.

    :returns: empty if there is no such environment.
    """
    packages = []
    for metadata in venv.glob("lib/python3*/site-packages/*.dist-info"):
        text = rootfile.read_text(metadata / "METADATA", _LARGEST_METADATA)
        fields = email.parser.HeaderParser().parsestr(text)
        if fields["Name"] and fields["Version"]:
            packages.append(
                Package(
                    name=fields["Name"],
                    version=fields["Version"],
                    size=_python_size(metadata / "RECORD"),
                    licences=_python_licences(
                        fields["License-Expression"] or "",
                        fields["License"] or "",
                        fields.get_all("Classifier") or [],
                    ),
                )
            )
    return tuple(sorted(packages))


def _python_size(record: pathlib.Path) -> int:
    """Return the total size of the files in a distribution's record."""
    total = 0
    for line in rootfile.read_text(record, _LARGEST_METADATA).splitlines():
        total += bounds.parse_number(line.rpartition(",")[2])
    return total


def _python_licences(
    expression: str, text: str, classifiers: list[str]
) -> tuple[str, ...]:
    if expression:
        return (expression,)
    named = [
        classifier.rpartition(" :: ")[2]
        for classifier in classifiers
        if classifier.startswith("License ::") and classifier.count(" :: ") > 1
    ]
    if named:
        return tuple(sorted(set(named)))
    # some distributions put the licence's whole text there
    return (text,) if text and "\n" not in text and len(text) < 60 else ()
