# SPDX-License-Identifier: Apache-2.0
"""The archive is what docker load reads, and the same each time."""

import hashlib
import json
import tarfile

from tests import base
from trove_tools.sources.container import archive
from trove_tools.sources.container import recipes


class ArchiveTest(base.TestCase):
    def setUp(self) -> None:
        super().setUp()
        self.root = self.temp_dir() / "root.tar"
        recipes.read("mariadb").write_overlay(self.root)

    def write(self) -> tuple[str, bytes]:
        file = self.temp_dir() / "image.tar"
        identity = archive.write(
            self.root,
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
            layer = read(listed["Layers"][0])
        self.assertEqual(
            identity, f"sha256:{hashlib.sha256(described).hexdigest()}"
        )
        config = json.loads(described)
        self.assertEqual(
            [f"sha256:{hashlib.sha256(layer).hexdigest()}"],
            config["rootfs"]["diff_ids"],
        )
        self.assertEqual(self.root.read_bytes(), layer)
        self.assertEqual("amd64", config["architecture"])
        self.assertEqual(
            ["docker-entrypoint.sh"], config["config"]["Entrypoint"]
        )
        self.assertEqual(
            ["mariadb:1", "registry.example/mariadb:1"], listed["RepoTags"]
        )
