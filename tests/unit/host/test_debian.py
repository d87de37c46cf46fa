# SPDX-License-Identifier: Apache-2.0

import ddt

from tests import base
from trove_tools import errors
from trove_tools.host import debian
from trove_tools.host import process

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
STATUS = """\
Package: bash
Status: install ok installed
Version: 5.2
Description: a shell
 that goes on: here
 .
# a comment
Source: bash (5.2-1)

 lost

Package: gone
Status: deinstall ok config-files
Version: 1

Package: broken
Status: install ok installed
"""


class Deb822Test(base.TestCase):
    def test_paragraphs(self) -> None:
        first, *others = debian.parse_paragraphs(STATUS)
        self.assertEqual(
            {
                "package": "bash",
                "status": "install ok installed",
                "version": "5.2",
                "description": "a shell\nthat goes on: here\n.",
                "source": "bash (5.2-1)",
            },
            first,
        )
        self.assertEqual(["gone", "broken"], [o["package"] for o in others])

    def test_installed(self) -> None:
        (found,) = debian.parse_installed(STATUS)
        self.assertEqual("bash", found["package"])

    def test_nothing(self) -> None:
        self.assertEqual(
            [], list(debian.parse_paragraphs("\n\nno field\n \n"))
        )


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
            debian.Mirrors(
                "http://one.example/debian",
                "http://one.example/debian-security",
            ),
            debian.read_mirrors("debian", self.root),
        )

    def test_one_line(self) -> None:
        (self.apt / "sources.list").write_text(ONE_LINE)
        self.assertEqual(
            debian.Mirrors(
                "http://two.example/debian", "http://two.example/sec"
            ),
            debian.read_mirrors("debian", self.root),
        )

    def test_other_distribution(self) -> None:
        (self.apt / "sources.list").write_text(ONE_LINE)
        self.assertEqual(
            debian.Mirrors(), debian.read_mirrors("ubuntu", self.root)
        )

    def test_nothing_there(self) -> None:
        self.assertEqual(
            debian.Mirrors(), debian.read_mirrors("debian", self.root)
        )

    def test_no_os_release(self) -> None:
        self.assertEqual(
            debian.Mirrors(), debian.read_mirrors("debian", self.temp_dir())
        )


class SuitesTest(base.TestCase):
    def test_what_a_system_is_made_of(self) -> None:
        both = debian.Mirrors("http://a", "http://s")
        for mirrors, system, suites in (
            (both, ("debian", "trixie"),
             ["a trixie", "a trixie-updates", "s trixie-security"]),
            (debian.Mirrors("http://a"), ("debian", "trixie"),
             ["a trixie", "a trixie-updates"]),
            (debian.Mirrors("http://a"), ("ubuntu", "noble"),
             ["a noble", "a noble-updates", "a noble-security"]),
            (both, ("debian", "sid"), ["a sid"]),
        ):  # fmt: skip
            self.assertEqual(
                suites,
                [f"{url.removeprefix('http://')} {suite}"
                 for url, suite in debian.list_suites(mirrors, *system)],
            )  # fmt: skip


class OldIndexTest(base.TestCase):
    def test_as_apt_of_this_host_is_set_up(self) -> None:
        conf = self.temp_dir() / "apt.conf"
        self.set_env(APT_CONFIG=str(conf))
        if process.find("apt-config") is None:
            self.skipTest("this host has no apt")
        for value, expected in (("no", True), ("false", True), ("1", False)):
            conf.write_text(
                "Dir::Etc::parts /none; Dir::Etc::main /none;"
                f' Acquire::Check-Valid-Until "{value}";\n'
            )
            self.assertEqual(expected, debian.takes_old_index(), value)

    def test_without_apt(self) -> None:
        self.patch_object(process, "find", lambda name: None)
        self.assertFalse(debian.takes_old_index())


@ddt.ddt
class VersionTest(base.TestCase):
    @ddt.data("1:11.8.6-0+deb13u1", "11.8-1", "11.8")
    def test_right(self, found: str) -> None:
        self.assertTrue(debian.is_of_version(found, "11.8"))
        debian.require_version("s", found, "11.8", "http://m")

    @ddt.data("1:11.4.6-1", "11.80.1-1", "11:8-1", "12.11.8")
    def test_wrong(self, found: str) -> None:
        self.assertFalse(debian.is_of_version(found, "11.8"))
        error = self.assertRaises(
            errors.BuildError,
            debian.require_version, "s", found, "11.8", "http://m",
        )  # fmt: skip
        self.assertIn(f"http://m has s {found}, not 11.8", error.message)

    @ddt.data("", None)
    def test_absent(self, found: str | None) -> None:
        error = self.assertRaises(
            errors.BuildError, debian.require_version, "s", found, "11.8", None
        )
        self.assertEqual("package s was not installed", error.message)
