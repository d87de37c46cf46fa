# SPDX-License-Identifier: Apache-2.0
"""What a record of a verification says, and when it says nothing."""

import json
import pathlib
import typing

from tests import base
from trove_tools.artifact import verification


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
            verification.Verified("agent", ("qemu",), True), found
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
        self.assertEqual(("the kernel",), found.missing)

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
