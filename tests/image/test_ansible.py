# SPDX-License-Identifier: Apache-2.0
"""The role that Zuul's jobs build and verify images with, on this host."""

import json
import os
import pathlib
import shutil
import subprocess
import sys
import typing

from tests import base as tests_base
from tests.image import base
from tests.image import sectors
from tests.image import tiny
from trove_tools.artifact import manifest
from trove_tools.artifact import verification
from trove_tools.host import requirements


class RoleTest(base.TestCase):
    def play(
        self, place: pathlib.Path, **said: typing.Any
    ) -> tuple[subprocess.CompletedProcess[str], pathlib.Path]:
        """Play the role for one datastore.

        :param place: where the image goes.
        :param said: the role's variables.
        :returns: how that ended, and the image.
        """
        places = os.environ.get("TROVE_TOOLS_LINT_BIN"), os.environ["PATH"]
        playbook = shutil.which(
            "ansible-playbook", path=os.pathsep.join(filter(None, places))
        )
        if playbook is None:
            self.skipTest("Ansible is not installed")
        if not requirements.may_be_root():
            self.skipTest("building needs root, or sudo without a password")
        said = {
            # whatever else is on this host's PATH
            "ansible_python_interpreter": sys.executable,
            "trove_image_checkout": os.fspath(tests_base.ROOT),
            "trove_image_runtime": "native",
            "trove_image_output": os.fspath(place / "images"),
            **said,
        }
        done = subprocess.run(
            [playbook, "-i", "localhost,", "-c", "local",
             tests_base.ROOT / "playbooks" / "image" / "run.yaml",
             "-e", json.dumps(said)],
            env={
                **os.environ,
                "ANSIBLE_HOME": os.fspath(self.temp_dir()),
                "ANSIBLE_ROLES_PATH": os.fspath(tests_base.ROOT / "roles"),
                "TMPDIR": os.fspath(place),
            },
            stdin=subprocess.DEVNULL, capture_output=True, text=True,
        )  # fmt: skip
        self.assertIn("Build the image", done.stdout, done.stderr)
        (image,) = (place / "images").glob("*.qcow2")
        return done, image

    def test_image_of_a_datastore(self) -> None:
        done, image = self.play(
            self.temp_dir(),
            trove_image_datastore="redis",
            # two of its layers are there already
            trove_image_build_options=[
                "--cache-dir", os.fspath(base.cache_directory()),
            ],
            # test_verify boots such images in QEMU
            trove_image_verify_options=["--machine", "container"],
        )  # fmt: skip
        self.assertEqual(0, done.returncode, done.stdout + done.stderr)
        made = manifest.read(image)
        assert made is not None
        digest = image.with_name(f"{image.name}.sha256").read_text()
        self.assertEqual(f"{made.image['sha256']}  {image.name}\n", digest)
        record = json.loads(verification.path(image).read_text())
        self.assertEqual("datastore", record["level"])

    def test_image_that_does_not_boot(self) -> None:
        elements, place = self.temp_dir(), self.temp_dir()
        tiny.write(elements)
        # what the firmware makes of a disk without a boot loader varies
        halt = "".join(f"\\x{byte:02x}" for byte in sectors.HALT)
        tiny.hook(
            elements / "trove-guest-agent", "pre-finalise", "60-tiny-halt",
            f"printf '{halt}' | sudo dd of=$IMAGE_BLOCK_DEVICE conv=notrunc\n",
        )  # fmt: skip
        done, image = self.play(
            place,
            trove_image_datastore="mariadb",
            trove_image_build_options=[
                "--cache-dir", os.fspath(place / "cache"),
                "--elements-path", os.fspath(elements),
            ],
            trove_image_verify_options=[
                "--level", "boot", "--machine", "qemu", "--timeout", "2",
            ],
        )  # fmt: skip
        said = done.stdout + done.stderr
        self.assertEqual(2, done.returncode, said)
        self.assertIn("failed boot (qemu): waiting for firmware", said)
        self.assertGreater(image.stat().st_size, 0)
