# SPDX-License-Identifier: Apache-2.0
"""The public key of --dev, and what is given in its place."""

import base64
import struct

import ddt

from tests import base
from tests.unit.plan import samples
from trove_tools import errors
from trove_tools.catalog import loader
from trove_tools.plan import devkey
from trove_tools.plan import plan
from trove_tools.plan import request


def a_key(kind: str = "ssh-ed25519", inside: str = "ssh-ed25519") -> str:
    blob = struct.pack(">I", len(inside)) + inside.encode() + bytes(36)
    return f"{kind} {base64.b64encode(blob).decode()}"


@ddt.ddt
class DevKeyTest(base.TestCase):
    def setUp(self) -> None:
        super().setUp()
        self.file = self.temp_dir() / "key"

    def refused(self, text: str) -> errors.UsageError:
        self.file.write_text(text)
        error = self.assertRaises(errors.UsageError, devkey.read, self.file)
        self.assertTrue(error.hint)
        return error

    def test_the_comment_stays_behind(self) -> None:
        self.file.write_text(f"{a_key()} ann@laptop\n")
        self.assertEqual(a_key(), devkey.read(self.file))

    def test_a_private_key(self) -> None:
        error = self.refused("-----BEGIN OPENSSH PRIVATE KEY-----\nc2VjcmV0\n")
        self.assertIn("this is a private key", error.message)
        self.assertNotIn("c2VjcmV0", f"{error.message}{error.hint}")

    @ddt.data(
        "", "ssh-ed25519", "ssh-ed25519 !!!", a_key("ssh-rsa"),
        a_key("ssh-x", "ssh-x"), f"{a_key()}\n{a_key()}", "\xff\x00",
    )  # fmt: skip
    def test_no_key(self, text: str) -> None:
        self.assertIn("no public key", self.refused(text).message)

    def test_no_file(self) -> None:
        error = self.assertRaises(errors.UsageError, devkey.read, self.file)
        self.assertIn("cannot be read: there is no such file", error.message)

    def test_an_image_for_development(self) -> None:
        self.file.write_text(a_key())
        made = plan.make(
            request.make(
                ["mariadb"], samples.settings(dev=self.file), loader.load()
            )
        )
        self.assertTrue(made.dev)
        self.assertTrue(made.name.endswith("-dev"))
        # the layers below are everybody's
        *shared, last = made.layers
        self.assertIn("trove-dev", last.elements)
        self.assertEqual(a_key(), last.environment["DIB_TROVE_DEV_KEY"])
        usual = plan.make(
            request.make(["mariadb"], samples.settings(), loader.load())
        )
        self.assertFalse(usual.dev)
        self.assertEqual(
            [each.digest for each in usual.layers[:-1]],
            [each.digest for each in shared],
        )
        self.assertNotEqual(usual.digest(), made.digest())
