# SPDX-License-Identifier: Apache-2.0
"""Containers from a real registry on loopback, archives and OCI layouts.

The images are small and made here: what counts is the way they take, which
is the way of the large ones.
"""

import dataclasses
import json
import pathlib
import shutil
import socket
import subprocess
import tarfile
import typing

from tests import base
from tests import registry
from trove_tools import errors
from trove_tools.sources.container import lock
from trove_tools.sources.container import prepare
from trove_tools.sources.container import recipes
from trove_tools.sources.container import rootfs
from trove_tools.sources.container import sources

CONDITIONS = rootfs.Conditions("debian", "amd64")
REFERENCE = "registry.example/openstack.trove/mysql:8.4"


def an_image(file: pathlib.Path, name: str, version: str, arch: str) -> str:
    """Write the image of a container with nothing but our own files."""
    root = file.with_suffix(".root")
    recipes.read("mariadb").write_overlay(root)
    return prepare.write_archive(
        [root], file, names=[name], arch=arch, epoch=0,
        config={"Env": [f"MYSQL_VERSION={version}"]},
    )  # fmt: skip


class SourcesCase(base.TestCase):
    def setUp(self) -> None:
        super().setUp()
        if shutil.which("skopeo") is None:
            self.skipTest("skopeo is not installed")
        self.place = self.temp_dir()

    def container(
        self, source: str, **changes: typing.Any
    ) -> sources.Container:
        values: dict[str, typing.Any] = {
            "datastore": "mysql",
            "version": "8.4",
            "variable": "MYSQL_VERSION",
            "source": source,
            "names": ("mysql:8.4", REFERENCE),
        }
        return sources.Container(**{**values, **changes})

    def prepare(self, container: sources.Container) -> prepare.Prepared:
        obtained = prepare.obtain(
            container, self.place, CONDITIONS, lambda text: None
        )
        (prepared,) = prepare.write_archives(
            [obtained], self.place, CONDITIONS
        )
        return prepared

    def refused(self, container: sources.Container) -> errors.BuildError:
        error = self.assertRaises(errors.BuildError, self.prepare, container)
        self.assertEqual(errors.EXIT_FAILED, error.exit_status)
        self.assertTrue(error.hint)
        return error

    def check_result(self) -> dict[str, typing.Any]:
        """Look into what docker load would be given."""
        with tarfile.open(self.place / "mysql.tar") as opened:
            stream = opened.extractfile("manifest.json")
            assert stream is not None
            (listed,) = json.load(stream)
        self.assertEqual(2, len(listed["RepoTags"]))
        self.assertIn(REFERENCE, listed["RepoTags"])
        found: dict[str, typing.Any] = listed
        return found

    def skopeo(self, *argv: str) -> None:
        subprocess.run(
            ["skopeo", "--insecure-policy", *argv],
            check=True, capture_output=True,
        )  # fmt: skip


class RegistryTest(SourcesCase):
    def setUp(self) -> None:
        super().setUp()
        registry.need(self)
        running = registry.registry(self.temp_dir())
        self.registry = running.__enter__()
        self.addCleanup(running.__exit__, None, None, None)

    def push(self, version: str = "8.4.6", arch: str = "amd64") -> None:
        file = self.temp_dir() / "image.tar"
        an_image(file, "mysql:8.4", version, arch)
        self.registry.push(file, "openstack.trove/mysql:8.4")

    def wanted(self, **changes: typing.Any) -> sources.Container:
        values: dict[str, typing.Any] = {
            "reference": REFERENCE,
            "mirror": self.registry.mirror,
        }
        return self.container("registry", **{**values, **changes})

    def test_there_and_locked(self) -> None:
        self.push()
        made = self.prepare(self.wanted())
        self.assertEqual("8.4.6", made.installed)
        self.check_result()
        file = self.temp_dir() / "lock.json"
        lock.write(file, {REFERENCE: made.digest})
        (self.place / "mysql.tar").unlink()
        locked = self.wanted(digest=lock.read(file)[REFERENCE])
        self.assertEqual(made, dataclasses.replace(
            self.prepare(locked), container=made.container
        ))  # fmt: skip
        # somebody moves the tag
        self.push("8.4.7")
        error = self.refused(locked)
        self.assertIn(f" says {made.digest}", error.message)
        self.assertIn("--lock", error.hint or "")

    def test_no_such_version(self) -> None:
        self.assertIn("no such image", self.refused(self.wanted()).message)

    def test_other_version_behind_the_tag(self) -> None:
        self.push("8.0.40")
        self.assertIn(
            "holds mysql 8.0.40, not 8.4", self.refused(self.wanted()).message
        )

    def test_other_architecture(self) -> None:
        self.push(arch="arm64")
        self.assertIn(
            "made for arm64, not amd64", self.refused(self.wanted()).message
        )

    def test_plain_http_is_not_taken_for_granted(self) -> None:
        plain = f"127.0.0.1:{self.registry.port}"
        error = self.refused(self.wanted(mirror=plain))
        self.assertIn("plain HTTP", error.message)

    def test_registry_that_does_not_answer(self) -> None:
        with socket.socket() as taken:
            taken.bind(("127.0.0.1", 0))
            port = taken.getsockname()[1]
            error = self.refused(
                self.wanted(mirror=f"http://127.0.0.1:{port}")
            )
        self.assertIn("cannot be reached", error.message)
        self.assertIn("archive:PATH", error.hint or "")


class FilesTest(SourcesCase):
    def test_archive(self) -> None:
        file = self.temp_dir() / "image.tar"
        identity = an_image(file, "mysql:8.4", "8.4.6", "amd64")
        made = self.prepare(self.container("archive", path=str(file)))
        self.assertEqual(identity, made.digest)
        self.check_result()

    def test_layout(self) -> None:
        file = self.temp_dir() / "image.tar"
        identity = an_image(file, "mysql:8.4", "8.4.6", "amd64")
        layout = self.temp_dir() / "layout"
        self.skopeo("copy", f"docker-archive:{file}", f"oci:{layout}:8.4")
        made = self.prepare(self.container("oci", path=str(layout)))
        self.assertEqual("8.4.6", made.installed)
        self.assertNotEqual("", identity)
        self.check_result()

    def test_wrong_ones(self) -> None:
        for version, arch, words in (
            ("8.0.1", "amd64", "holds mysql 8.0.1, not 8.4"),
            ("8.4.6", "arm64", "not amd64"),
        ):
            file = self.temp_dir() / "image.tar"
            an_image(file, "mysql:8.4", version, arch)
            error = self.refused(self.container("archive", path=str(file)))
            self.assertIn(words, error.message)

    def test_cut_off(self) -> None:
        file = self.temp_dir() / "image.tar"
        an_image(file, "mysql:8.4", "8.4.6", "amd64")
        file.write_bytes(file.read_bytes()[:1500])
        error = self.refused(self.container("archive", path=str(file)))
        self.assertIn("is no container image", error.message)
