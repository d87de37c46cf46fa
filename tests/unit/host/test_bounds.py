# SPDX-License-Identifier: Apache-2.0
"""What is read of files and JSON that somebody else may have written."""

import os

import ddt

from tests import base
from trove_tools.host import bounds
from trove_tools.host import hosttools
from trove_tools.inspection import package


@ddt.ddt
class JsonTest(base.TestCase):
    @ddt.data(
        "",
        "{",
        "[" * 100_000,
        "[" * 62 + "]" * 62,
        '{"a":' * 62 + "1" + "}" * 62,
        "9" * 41,
        "9" * 5000,
        "1e999",
        "NaN",
        "-Infinity",
        '"\\ud800"',
        '{"\\udfff": 1}',
        b"\xff\xff",
    )
    def test_refused(self, text: str | bytes) -> None:
        self.assertRaises(ValueError, bounds.decode_json, text)

    @ddt.data("0", "-18446744073709551616", '"\\ud83d\\ude00"', "[1.5, null]")
    def test_accepted(self, text: str) -> None:
        bounds.decode_json(text)

    def test_as_deep_as_allowed(self) -> None:
        bounds.decode_json("[" * 60 + "1" + "]" * 60)

    def test_a_value_in_itself(self) -> None:
        data: list[object] = []
        data.append(data)
        self.assertRaises(ValueError, bounds.require, data)

    def test_a_value_that_is_doubled_many_times(self) -> None:
        data: list[object] = []
        for _ in range(50):
            data = [data, data]
        self.assertRaises(ValueError, bounds.require, data)


class FileTest(base.TestCase):
    def test_a_fifo_is_refused_at_once(self) -> None:
        path = self.temp_dir() / "x"
        os.mkfifo(path)
        self.assertRaises(ValueError, bounds.read_bytes, path)

    def test_what_is_too_large(self) -> None:
        path = self.temp_dir() / "x"
        path.write_bytes(b"12345")
        self.assertEqual(b"12345", bounds.read_bytes(path, 5))
        self.assertRaises(ValueError, bounds.read_bytes, path, 4)


class NumberTest(base.TestCase):
    def test_only_what_is_a_size(self) -> None:
        self.assertEqual(12, bounds.parse_number("12"))
        for text in ("", "-1", "²", "٣", "1" * 5000, " 1"):
            self.assertEqual(0, bounds.parse_number(text), text)

    def test_installed_size_of_a_package(self) -> None:
        root = self.temp_dir()
        status = root / "var/lib/dpkg/status"
        status.parent.mkdir(parents=True)
        status.write_text(
            "Package: x\nVersion: 1\nStatus: install ok installed\n"
            "Installed-Size: ²\n"
        )
        self.assertEqual([0], [each.size for each in package.read_dpkg(root)])


class OsReleaseTest(base.TestCase):
    def test_a_quote_without_its_end(self) -> None:
        root = self.temp_dir()
        (root / "etc").mkdir()
        (root / "etc/os-release").write_bytes(
            b'ID=debian\nNAME="Debian\nVERSION_ID="13"\nX=\xff\n'
        )
        release = hosttools.os_release(root)
        self.assertEqual("debian", release["ID"])
        self.assertEqual("13", release["VERSION_ID"])
        self.assertNotIn("NAME", release)
