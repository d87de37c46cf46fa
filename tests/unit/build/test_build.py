# SPDX-License-Identifier: Apache-2.0
"""The log of a build that fails, and the image file of one that does not."""

import json
import os
import types
import typing

import ddt

from tests import base
from tests.unit.plan import samples
from trove_tools import console
from trove_tools import errors
from trove_tools.build import build
from trove_tools.build import cache
from trove_tools.build import preflight
from trove_tools.build import previous
from trove_tools.build import workspace
from trove_tools.host import cleanup
from trove_tools.host import process
from trove_tools.plan import plan


@ddt.ddt
class FailureTest(base.TestCase):
    def setUp(self) -> None:
        super().setUp()
        # what takes things down runs as root by way of sudo otherwise
        self.patch_object(cleanup, "_is_root", lambda: True)
        self.patch_object(preflight, "require", lambda *_: [])
        self.output = self.temp_dir()
        self.said: list[str] = []
        self.failure: Exception = errors.BuildError("no")

    def fail(
        self, made: plan.Plan, space: workspace.Workspace, *_: typing.Any
    ) -> None:
        space.log.write_text("the last line")
        raise self.failure

    def build(self, **options: typing.Any) -> None:
        self.patch_object(build, "_make", self.fail)
        screen = console.Console()
        self.patch_object(screen, "say", self.said.append)
        made = plan.make(samples.a_request())
        build.build(
            made, output=self.output, work=None,
            cache=cache.Cache(self.temp_dir()), screen=screen, **options,
        )  # fmt: skip

    @ddt.data(
        OSError(28, "No space left"), errors.BuildError("no"), ValueError("x")
    )
    def test_log(self, failure: Exception) -> None:
        self.failure = failure
        expected = (errors.BuildError, ValueError)
        raised = self.assertRaises(expected, self.build, force=True)
        (log,) = self.output.glob("*.d/build-failed.log")
        self.assertEqual("the last line", log.read_text())
        told = getattr(raised, "hint", "") or raised.__notes__[0]
        self.assertIn(f"the whole log is in {log}", told)

    def test_image_of_another_key(self) -> None:
        self.patch_object(
            previous, "find_current",
            lambda made, output, trusted=None, patched=False: (
                None if trusted else made
            ),
        )  # fmt: skip
        key = types.SimpleNamespace(
            trusted="keys", public=types.SimpleNamespace(fingerprint="SHA:x")
        )
        self.assertRaises(errors.BuildError, self.build, force=False, key=key)
        self.assertIn(
            " is not signed with the key SHA:x and is built again",
            self.said[0],
        )


class ConvertTest(base.TestCase):
    def test_a_compressed_image(self) -> None:
        if process.find("qemu-img") is None:
            self.skipTest("qemu-img is not installed")
        raw = self.temp_dir() / "raw"
        content = os.urandom(4096) * 512
        raw.write_bytes(content)
        image = raw.with_name("image.qcow2")
        build.write_qcow2(raw, image, "zstd")
        done = process.run(["qemu-img", "info", "--output=json", image])
        found = json.loads(done.stdout)
        self.assertEqual(256 * 1024, found["cluster-size"])
        data = found["format-specific"]["data"]
        self.assertEqual("zstd", data["compression-type"])
        self.assertLess(image.stat().st_size, 2 * 1024 * 1024)
        back = raw.with_name("back")
        process.run(["qemu-img", "convert", "-O", "raw", image, back])
        self.assertEqual(content, back.read_bytes())
