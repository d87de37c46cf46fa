# SPDX-License-Identifier: Apache-2.0
"""The role that Zuul's jobs build and verify images with, on this host."""

import base64
import json
import os
import pathlib
import shutil
import subprocess
import sys
import typing

from tests import base as tests_base
from tests import registry
from tests import signing
from tests.image import base
from tests.image import sectors
from tests.image import tiny
from trove_tools.artifact import manifest
from trove_tools.artifact import verification
from trove_tools.host import requirements

# for htpasswd: secret-of-zuul
_USERS = "zuul:$2b$05$abcdefghijklmnopqrstuu5//2njVoxU3xgWo8COKSG0x9jZtaBAm\n"


class PlayCase(tests_base.TestCase):
    def run_playbook(
        self, name: str, place: pathlib.Path, **said: typing.Any
    ) -> subprocess.CompletedProcess[str]:
        """Run a playbook of the image jobs on this host.

        :param place: where the image goes.
        :param said: the role's variables.
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
        return subprocess.run(
            [playbook, "-i", "localhost,", "-c", "local",
             tests_base.ROOT / "playbooks" / "image" / name,
             "-e", json.dumps(said)],
            env={
                **os.environ,
                "ANSIBLE_HOME": os.fspath(self.temp_dir()),
                "ANSIBLE_ROLES_PATH": os.fspath(tests_base.ROOT / "roles"),
                "TMPDIR": os.fspath(place),
            },
            stdin=subprocess.DEVNULL, capture_output=True, text=True,
        )  # fmt: skip


class RoleTest(base.TestCase, PlayCase):
    def play(
        self, place: pathlib.Path, **said: typing.Any
    ) -> tuple[subprocess.CompletedProcess[str], pathlib.Path]:
        """Play the role for one datastore; see :meth:`run_playbook`.

        :returns: how that ended, and the image.
        """
        done = self.run_playbook("run.yaml", place, **said)
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
        self.assertEqual(f"{made.image.sha256}  {image.name}\n", digest)
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


class ShareTest(PlayCase):
    """Jobs of merged code write layers to a registry; all jobs fetch them."""

    timeout = 600

    def setUp(self) -> None:
        super().setUp()
        signing.need(self)
        registry.need(self)
        self.place = self.temp_dir()
        tiny.write(self.place / "elements")
        self.key = signing.make_key(self.place / "key")
        self.set_env(SSH_AUTH_SOCK=None)

    def node(self, name: str) -> pathlib.Path:
        """Go to a node with an empty cache; return its directory."""
        place = self.place / name
        place.mkdir()
        self.set_env(
            TROVE_TOOLS_CACHE_DIR=str(place / "cache"),
            TROVE_TOOLS_ELEMENTS_PATH=str(self.place / "elements"),
        )
        return place

    def build(
        self, place: pathlib.Path, **said: typing.Any
    ) -> list[dict[str, typing.Any]]:
        """Build on a node; return how it got the layers."""
        done = self.run_playbook(
            "run.yaml", place,
            trove_image_datastore="mariadb",
            trove_image_build_options=["--image-format", "tar"],
            **said,
        )  # fmt: skip
        # the root of these elements is too small to be verified
        self.assertEqual(2, done.returncode, done.stdout + done.stderr)
        self.assertIn("Verify the image", done.stdout, done.stderr)
        (file,) = (place / "images").glob("*.d/manifest.json")
        layers: list[dict[str, typing.Any]] = json.loads(file.read_text())[
            "layers"
        ]
        return layers

    def test_share(self) -> None:
        directory = self.place / "registry"
        directory.mkdir()
        with registry.registry(directory, users=_USERS) as running:
            repository = f"127.0.0.1:{running.port}/trove/layers"
            secret = {
                "repository": "",
                "username": "zuul",
                "password": "secret-of-zuul",
                "sign_key": self.key.read_text(),
            }
            place = self.node("first")
            layers = self.build(place)
            self.assertEqual([False] * 4, [one["cached"] for one in layers])
            # no registry is configured
            done = self.run_playbook(
                "share.yaml", place, trove_image_registry=secret
            )
            self.assertEqual(0, done.returncode, done.stdout + done.stderr)
            self.assertEqual([], list(directory.rglob("*.sig")))

            secret["repository"] = repository
            done = self.run_playbook(
                "share.yaml", place, trove_image_registry=secret
            )
            said = done.stdout + done.stderr
            self.assertEqual(0, done.returncode, said)
            for value in ("secret-of-zuul", "PRIVATE KEY"):
                self.assertNotIn(value, said)
            self.assertEqual([], list(place.glob("trove-tools-*")))

            auth = self.place / "auth.json"
            encoded = base64.b64encode(b"zuul:secret-of-zuul").decode()
            auth.write_text(
                json.dumps(
                    {"auths": {repository[: -len("/trove/layers")]:
                               {"auth": encoded}}}
                )
            )  # fmt: skip
            self.set_env(REGISTRY_AUTH_FILE=str(auth))
            layers = self.build(
                self.node("second"),
                trove_image_cache_from=[repository],
                trove_image_trusted_keys=[
                    signing.public(self.key).read_text().strip()
                ],
            )
        self.assertEqual(
            [True] * 3 + [False], [one["cached"] for one in layers]
        )
        self.assertEqual(repository, layers[2]["origin"])
