# SPDX-License-Identifier: Apache-2.0
"""What is installed must be what was asked for."""

import ddt

from tests import base
from trove_tools import errors
from trove_tools.build import packages


class InstalledTest(base.TestCase):
    def setUp(self) -> None:
        super().setUp()
        self.sidecar = self.temp_dir()
        (self.sidecar / "dib-manifests").mkdir()
        self.file = self.sidecar / "dib-manifests/dib-manifest-dpkg-image"

    def test_list(self) -> None:
        self.file.write_text(
            '{"packages": [{"package": "libc6:amd64", "version": "2"},'
            ' {"package": "server", "version": "1:3-4"}]}'
        )
        self.assertEqual(
            {"libc6": "2", "server": "1:3-4"},
            packages.installed(self.sidecar),
        )

    def test_absent_or_damaged(self) -> None:
        self.assertRaises(
            errors.BuildError, packages.installed, self.sidecar
        )
        for text in ("", "{}", '{"packages": [1]}'):
            self.file.write_text(text)
            self.assertRaises(
                errors.BuildError, packages.installed, self.sidecar
            )


@ddt.ddt
class VersionTest(base.TestCase):
    @ddt.data("1:11.8.6-0+deb13u1", "11.8-1", "11.8")
    def test_right(self, found: str) -> None:
        self.assertEqual(
            found, packages.of_version({"s": found}, "s", "11.8", "m")
        )

    @ddt.data("1:11.4.6-1", "11.80.1-1", "11:8-1", "12.11.8")
    def test_wrong(self, found: str) -> None:
        error = self.assertRaises(
            errors.BuildError,
            packages.of_version, {"s": found}, "s", "11.8", "http://m",
        )  # fmt: skip
        self.assertIn(f"http://m has s {found}, not 11.8", error.message)

    def test_none(self) -> None:
        self.assertRaises(
            errors.BuildError, packages.of_version, {}, "s", "11.8", "m"
        )
