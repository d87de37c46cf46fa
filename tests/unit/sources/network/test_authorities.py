# SPDX-License-Identifier: Apache-2.0
"""Files with certificates of authorities."""

import pathlib

from tests import base
from tests.standins import authority
from trove_tools import errors
from trove_tools.sources.network import authorities


class ReadTest(base.TestCase):
    def setUp(self) -> None:
        super().setUp()
        self.directory = self.temp_dir()
        self.made = authority.Authority(self.directory, "An Authority")

    def refused(self, file: pathlib.Path) -> str:
        error = self.assertRaises(
            errors.UsageError, authorities.read, file, "--guest-ca"
        )
        self.assertTrue(error.message.startswith(f"--guest-ca {file}: "))
        self.assertIsNotNone(error.hint)
        return error.message

    def test_several(self) -> None:
        other = authority.Authority(self.temp_dir(), "Another")
        file = self.directory / "two.pem"
        file.write_text(
            f"a comment\n{self.made.file.read_text()}\n"
            f"{other.file.read_text()}"
        )
        one, two = authorities.read(file, "--guest-ca")
        self.assertEqual("CN = An Authority", one.subject)
        self.assertEqual("CN = Another", two.subject)
        self.assertNotEqual(one.sha256, two.sha256)
        self.assertIn(self.made.body, one.pem)

    def test_what_is_none(self) -> None:
        file = self.directory / "text"
        file.write_text("-----BEGIN CERTIFICATE-----\n")
        self.assertIn("no certificate", self.refused(file))
        file.write_text(
            "-----BEGIN CERTIFICATE-----\nbm8=\n-----END CERTIFICATE-----\n"
        )
        self.assertIn("cannot be read", self.refused(file))
        self.assertIn(
            "cannot be read: No such file",
            self.refused(self.directory / "absent"),
        )
        self.assertIn("cannot be read", self.refused(self.directory))

    def test_private_key(self) -> None:
        file = self.made.server("mirror.invalid")
        self.assertIn("private key", self.refused(file))

    def test_of_a_server(self) -> None:
        file = self.made.server("mirror.invalid")
        text = file.read_text()
        file.write_text(text[text.index("-----BEGIN CERT") :])
        self.assertIn("is a server's", self.refused(file))

    def test_expired(self) -> None:
        old = authority.Authority(self.temp_dir(), "Old", days=-1)
        self.assertIn(
            "the certificate of CN = Old expired on", self.refused(old.file)
        )


class BundleTest(base.TestCase):
    def test_each_certificate_once(self) -> None:
        one = authority.Authority(self.temp_dir())
        two = authority.Authority(self.temp_dir())
        text = authorities.bundle(
            [one.file, "/nonexistent", str(two.file), one.file]
        )
        self.assertEqual(2, text.count("BEGIN CERTIFICATE"))
        self.assertIn(two.body, text)

    def test_what_apt_trusts(self) -> None:
        self.assertEqual(
            ["/a", "/b"],
            authorities.of_apt(
                {
                    "acquire::https::cainfo": "/a",
                    "acquire::https::mirror.example.org::cainfo": "/b",
                    "acquire::http::proxy": "http://proxy:1",
                }
            ),
        )

    def test_what_programs_are_set_to(self) -> None:
        directory = self.temp_dir()
        self.fake_program("git", "echo '~/own.pem'", directory)
        found = authorities.of_programs()
        self.assertTrue(found[0].endswith("/own.pem"))
        self.assertNotIn("~", found[0])
