# SPDX-License-Identifier: Apache-2.0
"""What a record of a verification says, and when it says nothing."""

import json
import pathlib
import typing

from tests import base
from tests import signing
from trove_tools import errors
from trove_tools.artifact import signature
from trove_tools.artifact import verification
from trove_tools.verify import outcome

ASKED = verification.Asked("boot", "vm", {})


class ReadTest(base.TestCase):
    def setUp(self) -> None:
        super().setUp()
        self.image = self.temp_dir() / "x.qcow2"

    def write(self, data: typing.Any) -> None:
        file = verification.path(self.image)
        file.parent.mkdir(exist_ok=True)
        file.write_text(data if isinstance(data, str) else json.dumps(data))

    def test_where_it_is(self) -> None:
        self.assertEqual(
            pathlib.PurePath("x.d/verify.json"),
            verification.path(self.image).relative_to(self.image.parent),
        )

    def test_nothing(self) -> None:
        self.assertIsNone(verification.read(self.image, "abc"))
        for data in ("{", "[]", {"sha256": "other", "ok": True}):
            self.write(data)
            self.assertIsNone(verification.read(self.image, "abc"))

    def test_a_good_one(self) -> None:
        self.write(
            {"sha256": "abc", "ok": True, "level": "agent", "tier": "vm"}
        )
        found = verification.read(self.image, "abc")
        # as it was written once
        self.assertEqual(
            verification.Record("agent", ("qemu",), True), found
        )
        self.assertEqual("agent (qemu)", str(found))

    def test_one_of_today(self) -> None:
        self.write(
            {"sha256": "abc", "ok": True, "level": "agent",
             "machines": ["container"], "missing": {"boot": "no QEMU"}}
        )  # fmt: skip
        found = verification.read(self.image, "abc")
        self.assertEqual("agent (container) without boot", str(found))

    def test_a_damaged_one(self) -> None:
        for damage in ({"machines": [1]}, {"missing": {"boot": 1}},
                       {"machines": "qemu"}, {"missing": []}):  # fmt: skip
            self.write({"sha256": "abc", "ok": True, **damage})
            self.assertIsNone(verification.read(self.image, "abc"))

    def test_one_that_booted_nothing(self) -> None:
        self.write(
            {"sha256": "abc", "ok": True, "level": "agent",
             "tier": "namespace", "unchecked": "the kernel"}
        )  # fmt: skip
        found = verification.read(self.image, "abc")
        assert found is not None
        self.assertEqual(["the kernel"], list(found.missing))

    def test_a_failed_one(self) -> None:
        checks = [
            {"name": "boot", "ok": True},
            {"name": "mariadb: prepare", "ok": False},
        ]
        self.write(
            {"sha256": "abc", "ok": False, "level": "agent",
             "checks": checks}
        )  # fmt: skip
        self.assertEqual(
            "agent (qemu) FAILED: mariadb: prepare",
            str(verification.read(self.image, "abc")),
        )


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
        verification.write(found.as_dict(), self.image, "abc", ASKED, key)

    def recalled(self, key: signature.SigningKey | None) -> bool:
        trusted = key.trusted if key else None
        found = verification.recall(self.image, "abc", ASKED, trusted)
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
        verification.require_writable(self.image)
        self.sidecar.rmdir()
        error = self.assertRaises(
            errors.UsageError, verification.require_writable, self.image
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
