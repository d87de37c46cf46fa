# SPDX-License-Identifier: Apache-2.0
"""The build host's own mirrors, in both of apt's forms."""

from tests import base
from trove_tools.plan import mirrors

DEB822 = """\
# a comment: with a colon
Types: deb deb-src
URIs: http://one.example/debian/
Suites: bookworm bookworm-updates
Components: main contrib
Signed-By: /usr/share/keyrings/x.gpg

Types: deb
URIs: http://one.example/debian-security
Suites: bookworm-security
Components:
 main
# in the middle
Signed-By: /x.gpg

Types: deb
Enabled: no
URIs: http://off.example/debian
Suites: bookworm
Components: main
"""

ONE_LINE = """\
# deb http://no.example/debian bookworm main
deb-src http://no.example/debian bookworm main
deb [arch=amd64 signed-by=/x.gpg] http://two.example/debian bookworm main
deb http://other.example/tool stable main # a tool
deb http://two.example/sec/ bookworm-security main contrib
"""


class MirrorsTest(base.TestCase):
    def setUp(self) -> None:
        super().setUp()
        self.root = self.temp_dir()
        self.apt = self.root / "etc/apt"
        (self.apt / "sources.list.d").mkdir(parents=True)
        (self.root / "etc/os-release").write_text(
            'ID=debian\nVERSION_CODENAME=bookworm\nNAME="Debian GNU/Linux"\n'
        )

    def test_deb822(self) -> None:
        (self.apt / "sources.list.d/debian.sources").write_text(DEB822)
        self.assertEqual(
            mirrors.Mirrors(
                "http://one.example/debian",
                "http://one.example/debian-security",
            ),
            mirrors.of_host("debian", self.root),
        )

    def test_one_line(self) -> None:
        (self.apt / "sources.list").write_text(ONE_LINE)
        self.assertEqual(
            mirrors.Mirrors(
                "http://two.example/debian", "http://two.example/sec"
            ),
            mirrors.of_host("debian", self.root),
        )

    def test_other_distribution(self) -> None:
        (self.apt / "sources.list").write_text(ONE_LINE)
        self.assertEqual(
            mirrors.Mirrors(), mirrors.of_host("ubuntu", self.root)
        )

    def test_nothing_there(self) -> None:
        self.assertEqual(
            mirrors.Mirrors(), mirrors.of_host("debian", self.root)
        )

    def test_no_os_release(self) -> None:
        self.assertEqual(
            mirrors.Mirrors(), mirrors.of_host("debian", self.temp_dir())
        )
