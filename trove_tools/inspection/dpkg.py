# SPDX-License-Identifier: Apache-2.0
"""Reads what dpkg knows of a root, without running it.

dpkg-query(1) and deb-control(5) describe the fields; the licences stand in
each package's copyright file, where that is machine-readable:
https://www.debian.org/doc/packaging-manuals/copyright-format/1.0/
"""

import pathlib
import re

from trove_tools.host import deb822
from trove_tools.host import untrusted
from trove_tools.inspection import package
from trove_tools.inspection import rootfile

_STATUS = "var/lib/dpkg/status"
# that of a desktop with everything has 10 MB
_LARGEST = 64 * 1024 * 1024
_MACHINE_READABLE = re.compile(r"\AFormat: *\S*copyright-format", re.I)
_LICENCE = re.compile(r"^License: *(\S.*)$", re.MULTILINE)
_BETWEEN = re.compile(r",? (?:and/or|and|or) |, ?")


def installed(root: pathlib.Path) -> tuple[package.Package, ...]:
    """Return the packages that are installed, by name.

    :returns: none where the root is not dpkg's.
    """
    return tuple(
        sorted(
            package.Package(
                name=fields["package"],
                version=fields["version"],
                arch=fields.get("architecture", ""),
                source=fields.get("source", "").partition(" ")[0],
                # KiB, as dpkg-gencontrol has estimated it
                size=1024
                * untrusted.parse_number(fields.get("installed-size", "")),
                licences=_licences(root, fields["package"]),
            )
            for fields in deb822.installed(
                rootfile.text(root / _STATUS, _LARGEST)
            )
        )
    )


def _licences(root: pathlib.Path, name: str) -> tuple[str, ...]:
    """Return the short names of the licences that a package names."""
    if "/" in name or name.startswith("."):
        return ()
    text = rootfile.text(root / "usr/share/doc" / name / "copyright")
    if not _MACHINE_READABLE.match(text):
        return ()
    found = {
        word.strip()
        for stanza in re.split(r"\n\n+", text)
        # others explain licences
        if stanza.startswith("Files:")
        for line in _LICENCE.findall(stanza)
        for word in _BETWEEN.split(" ".join(line.split()))
    }
    return tuple(sorted(found - {""}))
