# SPDX-License-Identifier: Apache-2.0
"""load-trove-image with an image in a real registry."""

import os
import pathlib
import subprocess
import typing

from tests import base
from tests import commands
from tests import signing
from tests.functional import clouds
from tests.functional import registries
from tests.functional import test_load
from tests.unit.cloud import images
from trove_tools.artifact import manifest
from trove_tools.artifact import signature
from trove_tools.host import digests


class LoadTest(clouds.TestCase, registries.TestCase):
    """load-trove-image streams from the registry to Glance."""

    def setUp(self) -> None:
        super().setUp()
        self.set_env(REGISTRY_AUTH_FILE=str(self.files / "auth.json"))
        self.path = self.image_file()
        self.set_env(TMPDIR=str(self.temp_dir()))

    def push(self, path: pathlib.Path) -> typing.Any:
        outcome = self.command(
            "trove-image-builder", "push", path,
            f"127.0.0.1:{self.port}/trove/images:x", "-f", "json",
        )  # fmt: skip
        self.assertEqual(0, outcome.status, outcome.stderr)
        return outcome.json()

    def address(self, mark: str = ":x") -> str:
        return f"oci+http://127.0.0.1:{self.port}/trove/images{mark}"

    def trusting(self, key: signature.SigningKey) -> tuple[str, pathlib.Path]:
        return "--trusted-key", signing.public(key.file)

    def test_by_tag_and_by_digest(self) -> None:
        pushed = self.push(self.path)
        self.assertFalse(pushed["signed"])
        row = self.loaded(self.address())
        self.assertEqual("sent", row["upload"])
        (image,) = self.images()
        sums = digests.compute(self.path)
        self.assertEqual(sums["sha512"], image.hash_value)
        self.assertEqual(sums["sha256"], row["sha256"])
        self.assertEqual(self.path.stem, image.name)
        row = self.loaded(self.address(f"@{pushed['digest']}"))
        self.assertEqual("unchanged", row["upload"])
        # the file is the same image
        self.assertEqual("unchanged", self.loaded(self.path)["upload"])
        self.assertEqual([], list(self.home.glob(".cache/**/*.qcow2")))

    def test_nothing_is_there(self) -> None:
        for mark in (":y", "", f"@sha256:{'0' * 64}"):
            outcome = self.load(self.address(mark))
            self.assertIn(outcome.status, (1, 2))
            self.assertEqual([], self.images())

    def test_signature(self) -> None:
        self.push(self.path)
        outcome = self.load(self.address(), *self.trusting(self.key))
        self.assertEqual(1, outcome.status)
        self.assertIn("is not signed", outcome.stderr)
        signing.sign(
            manifest.path(self.path), self.key.file, signature.MANIFEST
        )
        self.assertTrue(self.push(self.path)["signed"])
        outcome = self.load(self.address(), *self.trusting(self.other))
        self.assertEqual(1, outcome.status)
        self.assertEqual([], self.images())
        self.loaded(self.address(), *self.trusting(self.key))

    def test_damage_on_the_way(self) -> None:
        self.push(self.path)
        sha256 = digests.compute(self.path)["sha256"]
        (blob,) = (self.place / "registry").rglob(f"{sha256}/data")
        content = blob.read_bytes()
        half = len(content) // 2
        for damaged in (
            content[:half] + b"x" + content[half + 1 :], content[:-9],
        ):  # fmt: skip
            blob.write_bytes(damaged)
            outcome = self.load(self.address())
            self.assertEqual(1, outcome.status, outcome.stderr)
            self.assertEqual([], self.images())
            self.assertEqual([], self.versions())
        blob.write_bytes(content)
        self.loaded(self.address())

    def test_memory(self) -> None:
        path = self.large_file(400 * test_load.MIB)
        images.describe(
            path,
            datastores=(
                images.datastore(self.datastore, "1.0", manager="mariadb"),
            ),
        )
        self.push(path)
        process = subprocess.Popen(
            commands.command_line(
                "load-trove-image", self.address(), "-f", "json"
            ),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            env={**os.environ, "PYTHONPATH": str(base.ROOT)},
        )
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
        self.assertEqual(0, process.returncode)
        self.assertEqual(path.stat().st_size, self.images()[0].size)
        self.assertLess(usage.ru_maxrss * 1024, test_load.MEMORY)
