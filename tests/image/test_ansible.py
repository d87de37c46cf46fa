# SPDX-License-Identifier: Apache-2.0
"""The role that Zuul's jobs build and verify images with, on this host.

The image is of elements that are built in seconds.  It cannot boot, so what
must be seen of the verification is that it fails the play.
"""

import json
import os
import shutil
import subprocess
import sys

from tests import base as tests_base
from tests.image import base
from tests.image import tiny
from trove_tools.image import host


class RoleTest(base.TestCase):
    def test_image_is_built_then_verified(self) -> None:
        places = os.environ.get("TROVE_TOOLS_LINT_BIN"), os.environ["PATH"]
        playbook = shutil.which(
            "ansible-playbook", path=os.pathsep.join(filter(None, places))
        )
        if playbook is None:
            self.skipTest("Ansible is not installed")
        if not host.may_be_root():
            self.skipTest("building needs root, or sudo without a password")
        elements, place = self.temp_dir(), self.temp_dir()
        tiny.write(elements)
        said = {
            # whatever else is on this host's PATH
            "ansible_python_interpreter": sys.executable,
            "trove_image_checkout": os.fspath(tests_base.ROOT),
            "trove_image_datastore": "mariadb",
            "trove_image_runtime": "native",
            "trove_image_output": os.fspath(place / "images"),
            "trove_image_build_options": [
                "--cache-dir", os.fspath(place / "cache"),
                "--elements-path", os.fspath(elements),
            ],
            "trove_image_verify_options": [
                "--level", "boot", "--timeout", "2",
            ],
        }  # fmt: skip
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
        self.assertEqual(2, done.returncode, done.stdout + done.stderr)
        self.assertIn("Build the image", done.stdout)
        self.assertIn("failed boot: time is up", done.stdout + done.stderr)
        (image,) = (place / "images").glob("*.qcow2")
        self.assertGreater(image.stat().st_size, 0)
