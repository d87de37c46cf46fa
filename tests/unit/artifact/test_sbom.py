# SPDX-License-Identifier: Apache-2.0
"""The bill of materials beside an image."""

import dataclasses
import json
import pathlib

from cyclonedx import schema
from cyclonedx.validation import json as validation

from tests import base
from tests.unit.cloud import images
from trove_tools import errors
from trove_tools.artifact import manifest
from trove_tools.artifact import sbom
from trove_tools.inspection import contents
from trove_tools.inspection import docker
from trove_tools.inspection import package

LIBC = package.Package(
    "libc6", "2.41-1+b1", "amd64", "glibc", 1024, ("Apache-2.0", "LGPL-2.1+")
)
FOUND = contents.Contents(
    system={"id": "debian", "name": "Debian", "kernel": "6"},
    packages=(package.Package("bash", "5.2:1~x", "all"), LIBC),
    python=(package.Package("Babel", "2.17", licences=("BSD License",)),),
    containers=(
        docker.Container(
            ("mariadb:11.8", "quay.io/trove/mariadb:11.8"),
            "sha256:" + "a" * 64, 2048, (LIBC,), "debian-forky",
        ),
    ),
    directories={"/": 5},
    configuration={"/etc/x": "-> y"},
)  # fmt: skip


class SbomTest(base.TestCase):
    def setUp(self) -> None:
        super().setUp()
        self.image = self.temp_dir() / "x.qcow2"
        self.image.write_text("x")
        self.made = images.describe(
            self.image,
            contents={
                "system": FOUND.system,
                "directories": FOUND.directories,
                "configuration": FOUND.configuration,
            },
        )
        self.file = sbom.path(self.image)
        sbom.write(FOUND, self.made, self.file)

    def test_is_valid(self) -> None:
        validator = validation.JsonStrictValidator(schema.SchemaVersion.V1_6)
        self.assertIsNone(validator.validate_str(self.file.read_text()))

    def test_names_what_it_is_of(self) -> None:
        image = json.loads(self.file.read_text())["metadata"]["component"]
        self.assertEqual("x", image["name"])
        self.assertIn(
            self.made.image.sha256,
            [each["content"] for each in image["hashes"]],
        )

    def test_packages_have_addresses(self) -> None:
        text = self.file.read_text()
        for purl in (
            "pkg:deb/debian/libc6@2.41-1%2Bb1?arch=amd64&distro=debian-13",
            # of the container, whose packages are of another suite
            "pkg:deb/debian/libc6@2.41-1%2Bb1?arch=amd64&distro=debian-forky",
            "pkg:pypi/babel@2.17",
            "pkg:oci/mariadb@sha256:aaa",
        ):
            self.assertIn(f'"purl": "{purl}', text)

    def test_the_same_each_time(self) -> None:
        other = self.file.with_name("other")
        sbom.write(FOUND, self.made, other)
        self.assertEqual(self.file.read_text(), other.read_text())

    def test_is_read_as_it_was_written(self) -> None:
        self.assertEqual(FOUND, sbom.read_contents(self.image))

    def test_broken(self) -> None:
        for text in ("{", "[]", '{"components": [{"purl": "pkg:deb/x"}]}'):
            self.file.write_text(text)
            error = self.assertRaises(
                errors.ImageError, sbom.read_contents, self.image
            )
            self.assertIn(str(self.file), error.message)

    def test_of_another_image(self) -> None:
        self.image.write_text("y")
        self.assertIsNone(sbom.read_contents(self.image))

    def test_not_told(self) -> None:
        made = dataclasses.replace(self.made, contents=None)
        self.assertIsNone(sbom.read_stated(self.image, made))
        manifest.path(self.image).unlink()
        self.assertIsNone(sbom.read_contents(self.image))
        self.assertIsNone(sbom.read_contents(pathlib.Path("/nowhere.qcow2")))
