# SPDX-License-Identifier: Apache-2.0
"""The parts of verify that need no guest."""

import os
import pathlib
import struct
import tempfile
import typing

from tests import base
from tests.unit.verify import samples
from trove_tools import console
from trove_tools import errors
from trove_tools import userdirs
from trove_tools.verify import accel
from trove_tools.verify import report
from trove_tools.verify import run


class VerifyTest(base.TestCase):
    def setUp(self) -> None:
        super().setUp()
        self.place = self.temp_dir()
        self.patch_object(tempfile, "tempdir", str(self.temp_dir()))

    def verify(
        self, image: pathlib.Path, **changes: typing.Any
    ) -> report.Report:
        known = changes.pop("known", None)
        return run.verify(
            image,
            {"mariadb": samples.HEALTH},
            options=run.Options(**changes),
            screen=console.Console(quiet=True),
            known=known,
        )

    def image(self) -> pathlib.Path:
        image = self.place / "image.raw"
        # one partition, of one sector
        entry = bytes(4) + b"\x83" + bytes(3) + struct.pack("<II", 1, 1)
        image.write_bytes(
            bytes(446) + entry + bytes(48) + b"\x55\xaa" + bytes(512)
        )
        return image

    def test_missing_tools_are_all_named(self) -> None:
        self.set_env(PATH=str(self.place))
        error = self.assertRaises(
            errors.MissingToolError, self.verify, self.image()
        )
        for tool in ("qemu-img", "genisoimage", "qemu-system-x86_64"):
            self.assertIn(tool, error.message)
        self.assertIn("install", error.hint)

    def test_an_architecture_for_later(self) -> None:
        self.assertRaises(
            errors.UsageError, self.verify, self.image(), arch="arm64"
        )

    def test_no_image(self) -> None:
        self.assertRaises(
            errors.UsageError, self.verify, self.place / "absent"
        )

    def test_another_image_than_its_manifest_says(self) -> None:
        found = self.verify(
            self.image(), known=samples.manifest(1024, "0" * 64)
        )
        self.assertFalse(found.ok)
        (check,) = found.checks
        self.assertIn("its manifest describes", check.detail)
        self.assertEqual("b1", found.build_id)
        self.assertIsNone(found.logs)

    def test_a_qemu_that_cannot_start_leaves_nothing(self) -> None:
        self.fake_program(
            accel.SYSTEM,
            '[ "$1" != --version ] || exec echo version 9;'
            " echo broken >&2; exit 1",
        )
        error = self.assertRaises(
            errors.VerifyError, self.verify, self.image(), accelerator="tcg"
        )
        self.assertIn("broken", error.message)
        kept = userdirs.state() / "verify" / "image"
        self.assertIn(f"all logs are in {kept}", error.hint)
        self.assertEqual("broken\n", (kept / "qemu.log").read_text())
        left = os.listdir(tempfile.gettempdir())
        self.assertEqual([], [n for n in left if "verify" in n])


class StateTest(base.TestCase):
    def test_running(self) -> None:
        run._check_state({"state": "running", "failed": []})

    def test_degraded(self) -> None:
        error = self.assertRaises(
            report.CheckError,
            run._check_state,
            {
                "state": "degraded",
                "failed": [{"unit": "a.service", "log": ["it broke"]}],
            },
        )
        self.assertEqual(
            "systemd is degraded, failed: a.service", error.message
        )
        self.assertEqual(["a.service:", "  it broke"], error.log)

    def test_a_state_without_a_culprit(self) -> None:
        error = self.assertRaises(
            report.CheckError,
            run._check_state,
            {"state": "maintenance", "failed": []},
        )
        self.assertIn("maintenance", error.message)
