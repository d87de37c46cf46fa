# SPDX-License-Identifier: Apache-2.0
"""The manifest beside an image."""

import hashlib
import json
import pathlib

import jsonschema

from tests import base
from trove_tools import errors
from trove_tools.artifact import manifest
from trove_tools.host import digests


def example(image: pathlib.Path) -> manifest.Manifest:
    return manifest.Manifest(
        build_id="1f",
        created="2026-01-01T00:00:00+00:00",
        image=manifest.File(
            image.name, "qcow2", 3, 4, sha256="a" * 64, sha512="b" * 128
        ),
        guest={"distribution": "debian", "version": "13"},
        series={"name": "x", "trove": "1"},
        agent={"source": "pypi", "version": "1"},
        datastores=(
            manifest.Datastore(
                "mariadb", "1", "mariadb", "native", ("server",), 1024, 4
            ),
            manifest.Datastore(
                "mysql", "1", "mysql", "container", (), 1024, 4,
                containers=(
                    manifest.Container(("mysql:1",), "sha256:1", "registry"),
                ),
            ),
        ),
    )  # fmt: skip


class ManifestTest(base.TestCase):
    def setUp(self) -> None:
        super().setUp()
        self.image = self.temp_dir() / "a.b-1.0.qcow2"
        self.file = manifest.path(self.image)
        self.file.parent.mkdir()

    def test_lies_beside_the_image(self) -> None:
        self.assertEqual(
            self.image.parent / "a.b-1.0.d" / "manifest.json", self.file
        )

    def test_round_trip(self) -> None:
        manifest.write(example(self.image), self.file)
        self.assertEqual(example(self.image), manifest.read(self.image))
        self.assertEqual([self.file], list(self.file.parent.iterdir()))

    def test_absent(self) -> None:
        self.assertIsNone(manifest.read(self.image))

    def broken(self, text: str) -> errors.ImageError:
        self.file.write_text(text)
        error = self.assertRaises(
            errors.ImageError, manifest.read, self.image
        )
        self.assertIn(str(self.file), error.message)
        self.assertTrue(error.hint)
        return error

    def test_no_json(self) -> None:
        self.broken("{")
        self.broken("[]")

    def test_other_version(self) -> None:
        error = self.broken(json.dumps({"manifest_version": 99}))
        self.assertIn("99", error.message)

    def test_damaged(self) -> None:
        data = example(self.image).as_dict()
        del data["datastores"][0]["packages"]
        self.broken(json.dumps(data))
        del data["datastores"]
        self.broken(json.dumps(data))

    def test_says_what_is_wrong_in_one_message(self) -> None:
        data = example(self.image).as_dict()
        data["image"]["format"] = "vmdk"
        data["datastores"][0]["min_ram"] = "much"
        error = self.broken(json.dumps(data))
        self.assertIn("image.format: 'vmdk' is not one of", error.message)
        self.assertIn("datastores.0.min_ram: 'much' is not of type",
                      error.message)  # fmt: skip

    def test_what_a_later_release_adds_is_no_fault(self) -> None:
        data = {**example(self.image).as_dict(), "later": 1}
        data["datastores"][0]["later"] = {"any": "thing"}
        data["image"]["later"] = data["guest"]["later"] = "x"
        self.file.write_text(json.dumps(data))
        read = manifest.read(self.image)
        assert read is not None
        self.assertEqual(
            example(self.image).datastores, read.datastores
        )

    def test_the_schema_describes_all_that_is_written(self) -> None:
        described = manifest.read_schema()["properties"]
        written = example(self.image).as_dict()
        self.assertEqual(set(described), set(written))
        self.assertEqual(
            manifest.VERSION, described["manifest_version"]["const"]
        )
        jsonschema.Draft202012Validator.check_schema(manifest.read_schema())

    def test_digests(self) -> None:
        content = b"x" * (3 * 1024 * 1024 + 5)
        self.image.write_bytes(content)
        self.assertEqual(
            {
                "sha256": hashlib.sha256(content).hexdigest(),
                "sha512": hashlib.sha512(content).hexdigest(),
            },
            digests.compute(self.image),
        )
