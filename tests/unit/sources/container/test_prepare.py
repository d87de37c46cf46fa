# SPDX-License-Identifier: Apache-2.0
import hashlib
import json
import pathlib
import tarfile
import typing

from tests import base
from trove_tools import errors
from trove_tools.host import digests
from trove_tools.sources.container import prepare
from trove_tools.sources.container import recipes
from trove_tools.sources.container import rootfs
from trove_tools.sources.container import skopeo
from trove_tools.sources.container import sources


class PrepareTest(base.TestCase):
    def test_an_archive_that_is_replaced_meanwhile(self) -> None:
        place = self.temp_dir()
        archive = place / "a.tar"
        archive.write_text("of the plan")
        digest = digests.compute(archive, ["sha256"])["sha256"]
        container = sources.Container(
            "mariadb", "11.8", "X", "archive", ("mariadb:11.8",),
            path=str(archive), digest=f"sha256:{digest}",
        )  # fmt: skip
        self.patch_object(
            skopeo, "find", lambda *_: skopeo.Image("x", "sha256:1", {})
        )

        def copy(_: typing.Any, __: typing.Any, file: pathlib.Path,
                 ___: str) -> None:  # fmt: skip
            file.touch()
            archive.write_text("another")

        self.patch_object(skopeo, "copy", copy)
        error = self.assertRaises(
            errors.BuildError, prepare.obtain, container, place,
            rootfs.Conditions("debian", "amd64"), lambda text: None,
        )  # fmt: skip
        self.assertIn(digest, error.message)


class ArchiveTest(base.TestCase):
    def setUp(self) -> None:
        super().setUp()
        self.root = self.temp_dir() / "root.tar"
        recipes.read("mariadb").write_overlay(self.root)
        self.base = self.temp_dir() / "base.tar"
        with tarfile.open(self.base, "w") as made:
            made.addfile(tarfile.TarInfo("./a"))

    def write(self) -> tuple[str, bytes]:
        file = self.temp_dir() / "image.tar"
        identity = prepare.write_archive(
            [self.base, self.root],
            file,
            names=["mariadb:1", "registry.example/mariadb:1"],
            arch="amd64",
            config=recipes.read("mariadb").configuration("1"),
            epoch=0,
        )
        return identity, file.read_bytes()

    def test_same_each_time(self) -> None:
        self.assertEqual(self.write(), self.write())

    def test_holds_together(self) -> None:
        identity, content = self.write()
        file = self.temp_dir() / "image.tar"
        file.write_bytes(content)
        with tarfile.open(file) as opened:

            def read(name: str) -> bytes:
                stream = opened.extractfile(name)
                assert stream is not None
                return stream.read()

            (listed,) = json.loads(read("manifest.json"))
            described = read(listed["Config"])
            layers = [read(name) for name in listed["Layers"]]
        self.assertEqual(
            identity, f"sha256:{hashlib.sha256(described).hexdigest()}"
        )
        config = json.loads(described)
        self.assertEqual(
            [f"sha256:{hashlib.sha256(each).hexdigest()}" for each in layers],
            config["rootfs"]["diff_ids"],
        )
        self.assertEqual(
            [self.base.read_bytes(), self.root.read_bytes()], layers
        )
        self.assertEqual(2, len(config["history"]))
        self.assertEqual("amd64", config["architecture"])
        self.assertEqual(
            ["docker-entrypoint.sh"], config["config"]["Entrypoint"]
        )
        self.assertEqual(
            ["mariadb:1", "registry.example/mariadb:1"], listed["RepoTags"]
        )
