# SPDX-License-Identifier: Apache-2.0
"""Every package that an image of Debian gets is in Debian's real index."""

import fnmatch
import lzma
import re

import ddt

from tests import base
from tests.unit.elements import resolved
from trove_tools.catalog import loader
from trove_tools.catalog import model
from trove_tools.host import debian
from trove_tools.sources import fetch


@ddt.ddt
class PackageNamesTest(base.TestCase):
    timeout = 300

    @ddt.data("debian-13", "debian-12")
    def test_names(self, system: str) -> None:
        catalog = loader.load()
        guest = catalog.guest(system)
        mirror = debian.read_mirrors("debian").archive
        if mirror is None:
            self.skipTest("this host is no Debian and names no mirror of it")
        known = self.index(mirror, guest)
        found = resolved.packages(
            resolved.all_elements(catalog, guest), guest, self.temp_dir()
        )
        for element, (_, names) in found.items():
            self.assertEqual(set(), names - known, element)
        for datastore in catalog.datastores.values():
            for version in datastore.versions.values():
                self.assertEqual(
                    [],
                    self.missing(version, system, known),
                    f"{datastore.name} {version.version}",
                )

    def missing(
        self, version: model.Version, system: str, known: set[str]
    ) -> list[str]:
        """Return what neither Debian nor the vendor would have."""
        native = version.native.get(system)
        if native is None:
            return []
        vendors = native.repository.packages if native.repository else ()
        return [
            name
            for name in native.packages
            if name not in known
            and not any(fnmatch.fnmatch(name, each) for each in vendors)
        ]

    def index(self, mirror: str, guest: model.Guest) -> set[str]:
        """Return the names of Debian's packages, the virtual ones too."""
        packed = fetch.read(
            f"{mirror}/dists/{guest.release}/main/binary-amd64/Packages.xz",
            "Debian's index",
        )
        text = lzma.decompress(packed).decode()
        names = set(re.findall(r"^Package: (\S+)$", text, re.MULTILINE))
        for line in re.findall(r"^Provides: (.*)$", text, re.MULTILINE):
            names.update(each.split()[0] for each in line.split(", "))
        return names
