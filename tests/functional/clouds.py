# SPDX-License-Identifier: Apache-2.0
"""What the tests of loading and activating have in common."""

import functools
import os
import pathlib
import shutil
import subprocess
import time
import typing

from tests import commands
from tests.functional import base
from tests.unit.cloud import images


class TestCase(base.TestCase):
    """A test with image files, and a datastore name of its own.

    What it loads goes away with it.
    """

    def setUp(self) -> None:
        super().setUp()
        # Trove takes image tags of 20 characters at most
        self.datastore = f"ds-{os.urandom(4).hex()}"
        self.set_env(OS_CLOUD=base.ADMIN)
        self.addCleanup(self._clean)
        self.files = self.temp_dir()
        self._loaded = 0

    @functools.cached_property
    def admin(self) -> typing.Any:
        """A connection that lasts as long as the test."""
        return self.connection()

    @functools.cached_property
    def admins_trove(self) -> typing.Any:
        """A troveclient that lasts as long as the test."""
        return self.trove()

    def _clean(self) -> None:
        # a test may have turned to a cloud that is not there
        clouds = self.minicloud_dir / "clouds.yaml"
        self.set_env(OS_CLIENT_CONFIG_FILE=str(clouds))
        trove = self.admins_trove
        for version in self.versions():
            trove.mgmt_ds_versions.delete(version.id)
        for datastore in trove.datastores.list():
            if datastore.name == self.datastore:
                trove.datastores.delete(datastore.id)
        for image in self.images():
            self.admin.image.delete_image(image.id)

    def image_file(
        self,
        version: str = "1.0",
        *,
        manifest: bool = True,
        **changes: typing.Any,
    ) -> pathlib.Path:
        """Return a new small qcow2 image, unlike every other one.

        :param version: of the datastore in it.
        :param manifest: whether to write a manifest beside it.
        :param changes: what to change in the manifest.
        """
        if shutil.which("qemu-img") is None:
            self.skipTest("qemu-img is not installed (package qemu-utils)")
        name = f"{self.datastore}-{version}-{os.urandom(2).hex()}"
        raw = self.files / f"{name}.raw"
        raw.write_bytes(images.raw() + os.urandom(200000))
        path = raw.with_suffix(".qcow2")
        convert = ["qemu-img", "convert", "-c", "-O", "qcow2", raw, path]
        subprocess.run(convert, check=True, stdin=subprocess.DEVNULL)
        raw.unlink()
        if manifest:
            served = images.datastore(
                self.datastore, version, manager="mariadb"
            )
            changes.setdefault("datastores", (served,))
            images.describe(path, **changes)
        return path

    def large_file(self, size: int) -> pathlib.Path:
        """Return a raw image of many bytes that takes no room here."""
        path = self.files / f"{self.datastore}-large.raw"
        path.write_bytes(images.raw())
        os.truncate(path, size)
        return path

    def load(
        self, *args: str | os.PathLike[str], **env: str
    ) -> commands.Outcome:
        """Run load-trove-image.

        Not twice in one second: Glance's times have no more, and which of
        two images is newer must be seen.
        """
        while int(time.time()) == self._loaded:
            time.sleep(0.05)
        try:
            return self.command("load-trove-image", *args, env=env)
        finally:
            self._loaded = int(time.time())

    def loaded(self, *args: str | os.PathLike[str]) -> typing.Any:
        """Run load-trove-image, which must work; return its one row."""
        outcome = self.load(*args, "--format", "json")
        self.assertEqual(0, outcome.status, outcome.stderr)
        (row,) = outcome.json()
        return row

    def images(self) -> list[typing.Any]:
        """Return the images in Glance that this test loaded."""
        return [
            image
            for image in self.admin.image.images()
            if self.datastore in [image.name, *image.tags]
            or (image.name or "").startswith(self.datastore)
        ]

    def versions(self) -> list[typing.Any]:
        """Return the versions of this test's datastore."""
        return [
            version
            for version in self.admins_trove.mgmt_ds_versions.list()
            if version.datastore_name == self.datastore
        ]

    def assert_refused(
        self, outcome: commands.Outcome, status: int, *words: str
    ) -> None:
        """Make sure that a command failed as it should.

        With the right status, one message and one hint, no traceback,
        nothing on stdout, and nothing of it in the cloud.
        """
        self.assertEqual(status, outcome.status, outcome.stderr)
        self.assertEqual("", outcome.stdout)
        self.assertNotIn("Traceback", outcome.stderr)
        lines = outcome.stderr.splitlines()
        starts = [line.partition(":")[0] for line in lines[-2:]]
        self.assertEqual(["error", "hint"], starts, outcome.stderr)
        for word in words:
            self.assertIn(word, outcome.stderr)
