# SPDX-License-Identifier: Apache-2.0
"""A build signs what it has built, all of it or nothing."""

import os
import pathlib
import typing

from tests import base
from tests import commands
from tests import signing
from tests.image import tiny
from trove_tools import errors
from trove_tools.artifact import manifest
from trove_tools.artifact import sbom
from trove_tools.artifact import signature
from trove_tools.host import digests
from trove_tools.host import process
from trove_tools.host import requirements

NAME = "trove-mariadb-11.8-debian-13-amd64"


class SignTest(base.TestCase):
    timeout = 300

    def setUp(self) -> None:
        super().setUp()
        signing.need(self)
        if not requirements.may_be_root():
            self.skipTest("building needs root, or sudo without a password")
        self.place = self.temp_dir()
        tiny.write(self.place / "elements")
        self.image = self.place / "output" / f"{NAME}.tar"
        self.key = signing.make_key(self.place / "key")
        self.other = signing.make_key(self.place / "other")
        self.set_env(SSH_AUTH_SOCK=None)

    def run_build(
        self, *words: str | os.PathLike[str]
    ) -> commands.Outcome:
        return tiny.build(self.place, *words)

    def build(self, *words: str | os.PathLike[str]) -> typing.Any:
        outcome = self.run_build(*words)
        self.assertEqual(0, outcome.status, outcome.stderr)
        return outcome.json()

    def read(self, key: pathlib.Path) -> manifest.Manifest | None:
        """Read the manifest, which a key must have signed."""
        trusted = signature.read_trusted_keys([signing.public(key)])
        return manifest.read(self.image, trusted)

    def test_build(self) -> None:
        closed = signing.make_key(self.place / "closed", "secret")
        outcome = self.run_build("--sign-key", closed)
        self.assertEqual(2, outcome.status, outcome.stderr)
        self.assertIn("it has a passphrase, and no ssh-agent", outcome.stderr)
        self.assertFalse(self.image.parent.exists())

        row = self.build("--sign-key", self.key)
        made = self.read(self.key)
        assert made is not None and made.sbom is not None
        key = signature.open_signing_key(self.key)
        assert key is not None
        self.assertEqual(key.public.fingerprint, row["signed_by"])
        self.assertEqual(
            digests.compute(sbom.path(self.image), ["sha256"])["sha256"],
            made.sbom["sha256"],
        )
        self.assert_nothing_of_the_key()

        # what this key has signed is current, whoever asks
        self.assertFalse(self.build("--sign-key", self.key)["built"])
        self.assertFalse(self.build()["built"])
        self.assertEqual(made, self.read(self.key))

        # a key signs only what was built with it
        row = self.build("--sign-key", self.other)
        self.assertTrue(row["built"])
        self.assertRaises(errors.ImageError, self.read, self.key)
        made = self.read(self.other)
        file = manifest.path(self.image)
        file.write_text(file.read_text() + "\n")
        self.assertTrue(self.build("--sign-key", self.other)["built"])
        self.assertNotEqual(made, self.read(self.other))

        # without a key, no signature of the image before is left
        self.assertTrue(self.build("--force")["built"])
        self.assertFalse(signature.path(file).exists())
        self.assertIsNotNone(manifest.read(self.image))

    def assert_nothing_of_the_key(self) -> None:
        """Make sure that no file of the build has a line of the key."""
        line = self.key.read_text().splitlines()[2]
        found = process.run(
            ["grep", "-rlF", line, self.image.parent, self.place / "cache"],
            check=False,
        )
        self.assertEqual((1, ""), (found.status, found.stdout))
