# SPDX-License-Identifier: Apache-2.0
"""What was found is kept beside the image, and recalled."""

from tests import base
from tests import signing
from trove_tools import errors
from trove_tools.artifact import signature
from trove_tools.artifact import verification
from trove_tools.verify import outcome
from trove_tools.verify import record

ASKED = record.Asked("boot", "vm", {})


class RecordTest(base.TestCase):
    def setUp(self) -> None:
        super().setUp()
        signing.need(self)
        self.place = self.temp_dir()
        self.image = self.place / "x.qcow2"
        self.sidecar = self.place / "x.d"
        self.sidecar.mkdir()

    def key(self, name: str) -> signature.SigningKey:
        file = signing.make_key(self.place / name)
        key = signature.open_signing_key(file)
        assert key is not None
        return key

    def write(self, key: signature.SigningKey | None) -> None:
        found = outcome.Report(str(self.image), "boot")
        with found.check("boot"):
            pass
        record.write(found, self.image, "abc", ASKED, key)

    def recalled(self, key: signature.SigningKey | None) -> bool:
        trusted = key.trusted if key else None
        found = record.recall(self.image, "abc", ASKED, trusted)
        return found is not None

    def test_recalled_as_long_as_the_key_is_the_same(self) -> None:
        key, other = self.key("key"), self.key("other")
        self.write(None)
        self.assertTrue(self.recalled(None))
        # nobody signs what somebody else may have written
        self.assertFalse(self.recalled(key))
        self.write(key)
        self.assertTrue(self.recalled(key))
        self.assertTrue(self.recalled(None))
        self.assertFalse(self.recalled(other))

    def test_no_old_signature_stays(self) -> None:
        self.write(self.key("key"))
        path = signature.path(verification.path(self.image))
        self.assertTrue(path.exists())
        self.write(None)
        self.assertFalse(path.exists())

    def test_no_place_for_what_is_signed(self) -> None:
        record.require_place(self.image)
        self.sidecar.rmdir()
        error = self.assertRaises(
            errors.UsageError, record.require_place, self.image
        )
        self.assertIn(str(self.sidecar), error.message)
        self.write(None)
        self.assertFalse(self.sidecar.exists())

    def test_what_is_written(self) -> None:
        self.write(self.key("key"))
        self.assertEqual(
            ["verify.json", "verify.json.sig"],
            sorted(path.name for path in self.sidecar.iterdir()),
        )
