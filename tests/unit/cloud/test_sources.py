# SPDX-License-Identifier: Apache-2.0
"""What becomes of image files, found out without a cloud."""

import json
import pathlib
import typing

from tests import base
from tests import signing
from tests.unit.cloud import fakes
from tests.unit.cloud import images
from trove_tools import errors
from trove_tools.artifact import manifest
from trove_tools.artifact import signature
from trove_tools.artifact import verification
from trove_tools.cloud import sources
from trove_tools.cloud import trove


class PrepareTest(base.TestCase):
    def setUp(self) -> None:
        super().setUp()
        self.path = self.temp_dir() / "trove-mariadb.qcow2"
        self.path.write_bytes(images.qcow2())

    def prepare(
        self, *paths: pathlib.Path, **given: typing.Any
    ) -> list[sources.Source]:
        return sources.prepare(paths or (self.path,), fakes.settings(**given))

    def refused(self, **given: typing.Any) -> errors.TroveToolsError:
        error = self.assertRaises(
            errors.TroveToolsError, self.prepare, **given
        )
        self.assertTrue(error.hint)
        return error

    def test_manifest(self) -> None:
        made = images.describe(self.path)
        (source,) = self.prepare()
        self.assertEqual(made.image.sha256, source.content.sha256)
        self.assertEqual(made.image.sha512, source.content.sha512)
        self.assertEqual(
            (trove.Target("mariadb", "11.8", "mariadb"),), source.targets
        )
        self.assertEqual(("trove", "mariadb", "11.8"), source.description.tags)
        self.assertEqual(
            {
                "name": "trove-mariadb",
                "min_disk": 3,
                "min_ram": 1024,
                "os_type": "linux",
                "architecture": "x86_64",
                "os_distro": "debian",
                "os_version": "13",
                "trove_tools_sha256": made.image.sha256,
                "trove_tools_build_id": "b1",
                "trove_tools_series": "2026.2",
                "trove_tools_agent_version": "26.0.0",
                "trove_tools_dev": "false",
                "trove_tools_agent_dirty": "false",
                "trove_tools_verified": "no",
            },
            source.description.fields,
        )
        self.assertEqual(
            {"hw_rng_model": "virtio"}, source.description.defaults
        )

    def test_no_disk_is_smaller_than_its_datastore_needs(self) -> None:
        entry = images.datastore("mariadb", "11.8", min_disk=9)
        images.describe(self.path, datastores=(entry,))
        (source,) = self.prepare()
        self.assertEqual(9, source.description.fields["min_disk"])

    def test_other_bytes_of_the_same_size(self) -> None:
        made = images.describe(self.path)
        data = bytearray(self.path.read_bytes())
        data[-1] ^= 1
        self.path.write_bytes(data)
        error = self.assertRaises(errors.ImageError, self.prepare)
        self.assertIn(str(made.image.sha256), error.message)
        self.assertIn("its sha256 is", error.message)

    def test_a_manifest_without_digests(self) -> None:
        images.describe(self.path)
        file = manifest.path(self.path)
        data = json.loads(file.read_text())
        for name in ("sha256", "sha512"):
            del data["image"][name]
        file.write_text(json.dumps(data))
        error = self.assertRaises(errors.ImageError, self.prepare)
        self.assertIn("contains no digest", error.message)

    def test_a_manifest_without_an_architecture(self) -> None:
        images.describe(
            self.path, guest={"distribution": "debian", "version": "13"}
        )
        (source,) = self.prepare(arch="arm64")
        fields = source.description.fields
        self.assertEqual("aarch64", fields["architecture"])

    def test_the_record_of_other_bytes(self) -> None:
        # written by hand for the digest that the manifest names
        self.verified()
        self.path.write_bytes(self.path.read_bytes()[:-1] + b"x")
        self.assertRaises(
            errors.ImageError, self.prepare, require_verified=True
        )

    def test_names_that_trove_does_not_register(self) -> None:
        for version in ("8.4 ", " 8.4", "8\n4", "\t", "-", "", "8" * 256):
            images.describe(
                self.path, datastores=(images.datastore("mysql", version),)
            )
            error = self.assertRaises(
                errors.TroveToolsError, self.prepare, pin=True
            )
            self.assertIn("version", error.message)
        for given, word in (
            ({"manager": " "}, "manager"),
            ({"manager": "a\nb"}, "manager"),
        ):
            images.describe(self.path)
            error = self.assertRaises(errors.UsageError, self.prepare, **given)
            self.assertIn(f"cannot register the {word}", error.message)

    def test_a_comma_in_a_tag(self) -> None:
        entry = images.datastore("mysql", "8,4")
        images.describe(self.path, datastores=(entry,))
        error = self.assertRaises(errors.UsageError, self.prepare)
        self.assertIn("--pin", error.hint or "")
        self.prepare(pin=True)

    def test_what_an_operator_adds(self) -> None:
        images.describe(self.path)
        (source,) = self.prepare(
            property=[("hw_rng_model", "other"), ("os_distro", "mine"),
                      ("hw_disk_bus", "")],
            tag=["gold"], name="mine", protected=True, member=["p2"],
        )  # fmt: skip
        fields = source.description.fields
        self.assertEqual("other", fields["hw_rng_model"])
        self.assertEqual({}, source.description.defaults)
        self.assertEqual("mine", fields["os_distro"])
        self.assertIsNone(fields["hw_disk_bus"])
        self.assertEqual("mine", fields["name"])
        self.assertTrue(fields["protected"])
        self.assertEqual("shared", fields["visibility"])
        self.assertEqual(
            ("trove", "mariadb", "11.8", "gold"), source.description.tags
        )

    def test_one_name_for_several_images(self) -> None:
        images.describe(self.path)
        error = self.assertRaises(
            errors.UsageError, sources.prepare, [self.path, self.path],
            fakes.settings(name="mine"),
        )  # fmt: skip
        self.assertIn("--name mine names one image", error.message)

    def test_members_of_what_is_not_shared(self) -> None:
        error = self.assertRaises(
            errors.UsageError, self.prepare, member=["p"], visibility="public"
        )
        self.assertIn("--visibility public", error.message)

    def verified(self, **values: typing.Any) -> None:
        made = images.describe(self.path)
        record = {"sha256": made.image.sha256, "level": "agent",
                  "tier": "vm", "ok": True, **values}  # fmt: skip
        verification.path(self.path).write_text(json.dumps(record))

    def test_verified(self) -> None:
        self.verified()
        (source,) = self.prepare(require_verified=True)
        self.assertEqual("agent (qemu)", str(source.proof))

    def test_not_verified(self) -> None:
        images.describe(self.path)
        (source,) = self.prepare()
        self.assertIsNone(source.proof)
        error = self.refused(require_verified=True)
        self.assertIn("was not verified as it is now", error.message)
        self.assertIn("trove-image-builder verify", error.hint or "")

    def test_verified_but_not_well_enough(self) -> None:
        for values, message in (
            ({"ok": False}, "failed its verification"),
            ({"tier": "namespace"}, "was not verified as a whole"),
            ({"sha256": "0"}, "was not verified as it is now"),
        ):
            self.verified(**values)
            self.prepare()
            error = self.refused(require_verified=True)
            self.assertIn(message, error.message)

    def test_visibility(self) -> None:
        images.describe(self.path)
        (source,) = self.prepare(visibility="public")
        self.assertEqual("public", source.description.fields["visibility"])

    def test_several_datastores(self) -> None:
        entries = (
            images.datastore("mariadb", "11.8"),
            images.datastore("mysql", "8.4", min_ram=4096),
        )
        images.describe(self.path, datastores=entries)
        (source,) = self.prepare()
        self.assertEqual(
            ("trove", "mariadb", "11.8", "mysql", "8.4"),
            source.description.tags,
        )
        self.assertEqual(4096, source.description.fields["min_ram"])
        (source,) = self.prepare(datastore="mysql")
        self.assertEqual("mysql", source.targets[0].datastore)
        self.assertEqual(1, len(source.targets))
        self.assertIn(
            "mariadb:11.8, mysql:8.4", self.refused(datastore="x").hint or ""
        )

    def test_pinned_images_carry_no_tags(self) -> None:
        entry = images.datastore("mariadb", "a version beyond 20 letters")
        images.describe(self.path, datastores=(entry,))
        self.assertIn("--pin", self.refused().hint or "")
        (source,) = self.prepare(pin=True)
        self.assertEqual((), source.description.tags)

    def test_truncated(self) -> None:
        images.describe(self.path)
        with open(self.path, "r+b") as stream:
            stream.truncate(self.path.stat().st_size - 100)
        error = self.refused()
        self.assertIsInstance(error, errors.ImageError)
        self.assertIn("truncated", error.message)

    def test_larger_than_built(self) -> None:
        images.describe(self.path)
        with open(self.path, "ab") as stream:
            stream.write(b"x")
        self.assertIn("not what was built", self.refused().message)

    def test_fetching_by_glance_needs_an_url(self) -> None:
        images.describe(self.path)
        error = self.refused(import_method="web-download")
        self.assertIn("name the URL", error.hint or "")
        urls = {self.path: "http://x/y.qcow2"}
        (source,) = sources.prepare(
            [self.path], fakes.settings(import_method="web-download"), urls
        )
        self.assertEqual("http://x/y.qcow2", source.content.url)

    def test_at_least_one_is_kept(self) -> None:
        images.describe(self.path)
        self.assertIn("--keep 0", self.refused(keep=0).message)

    def test_development_image_is_never_made_public(self) -> None:
        images.describe(self.path, dev=True)
        for visibility in ("public", "community"):
            error = self.refused(visibility=visibility)
            self.assertIn(f"never made {visibility}", error.message)
        self.prepare(visibility="shared")
        self.prepare()

    def test_datastore_without_a_manager(self) -> None:
        entry = images.datastore("mongodb", "8", manager=None)
        images.describe(self.path, datastores=(entry,))
        self.assertIn("--manager", self.refused().hint or "")
        (source,) = self.prepare(manager="mine")
        self.assertEqual("mine", source.targets[0].manager)

    def test_no_manifest(self) -> None:
        (source,) = self.prepare(
            datastore="mariadb", version="11.8", os="debian-13", arch="arm64"
        )
        fields = source.description.fields
        self.assertEqual(
            ("aarch64", "debian", "13"),
            tuple(
                fields[name]
                for name in ("architecture", "os_distro", "os_version")
            ),
        )
        self.assertEqual("mariadb", source.targets[0].manager)
        self.assertNotIn("trove_tools_build_id", fields)

    def test_no_manifest_and_not_said_what_it_is(self) -> None:
        for given in ({}, {"datastore": "mariadb"}, {"version": "11.8"}):
            error = self.refused(**given)
            self.assertEqual(2, error.exit_status)
            self.assertIn("trove-mariadb.d/manifest.json", error.message)
            self.assertIn("--datastore NAME --version", error.hint or "")

    def test_unknown_datastore(self) -> None:
        error = self.refused(datastore="maridb", version="1")
        self.assertEqual(2, error.exit_status)
        self.assertIn("did you mean mariadb?", error.hint or "")
        (source,) = self.prepare(
            datastore="mine", version="1", manager="mariadb"
        )
        self.assertEqual(0, source.description.fields["min_ram"])

    def test_guest_system_without_version(self) -> None:
        self.refused(datastore="mariadb", version="11.8", os="debian")

    def test_one_bad_file_among_good_ones(self) -> None:
        images.describe(self.path)
        bad = self.path.with_name("bad.qcow2")
        bad.write_bytes(b"bad")
        self.assertRaises(errors.ImageError, self.prepare, self.path, bad)


class SignedTest(base.TestCase):
    """With --trusted-key, only what a trusted key has signed is loaded."""

    def setUp(self) -> None:
        super().setUp()
        signing.need(self)
        self.place = self.temp_dir()
        self.key = signing.make_key(self.place / "key")
        self.path = self.image("trove-mariadb")

    def image(self, name: str) -> pathlib.Path:
        """Return an image file, unlike others, with a signed manifest."""
        path = self.place / f"{name}.qcow2"
        path.write_bytes(images.qcow2() + name.encode())
        made = images.describe(path)
        record = {"sha256": made.image.sha256, "level": "agent", "ok": True}
        verification.path(path).write_text(json.dumps(record))
        signing.sign(manifest.path(path), self.key, signature.MANIFEST)
        return path

    def prepare(self, *keys: pathlib.Path, **given: typing.Any) -> str:
        """Return what Glance is told of the verification."""
        trusted = [signing.public(key) for key in keys or (self.key,)]
        (source,) = sources.prepare(
            (self.path,), fakes.settings(trusted_key=trusted, **given)
        )
        return str(source.description.fields["trove_tools_verified"])

    def refused(self, *words: str, **given: typing.Any) -> None:
        error = self.assertRaises(errors.ImageError, self.prepare, **given)
        self.assertTrue(error.hint)
        for word in words:
            self.assertIn(word, error.message)

    def test_signed(self) -> None:
        self.assertEqual("no", self.prepare())
        signing.sign_record(self.path, self.key)
        self.assertEqual("agent (qemu)", self.prepare(require_verified=True))

    def test_a_record_that_is_not_signed(self) -> None:
        self.refused(
            "verify.json is not signed", "verify.json.sig",
            require_verified=True,
        )  # fmt: skip

    def test_a_record_of_another_key(self) -> None:
        other = signing.make_key(self.place / "other")
        signing.sign_record(self.path, other)
        self.refused("SHA256:", "not trusted here", require_verified=True)
        found = self.prepare(self.key, other, require_verified=True)
        self.assertEqual("agent (qemu)", found)

    def test_a_manifest_as_a_record(self) -> None:
        """One signature does not pass for the other."""
        record = verification.path(self.path)
        signing.sign(record, self.key, signature.MANIFEST)
        self.refused(
            "trove-image-manifest", "trove-image-record",
            require_verified=True,
        )  # fmt: skip
        made = manifest.path(self.path)
        signing.sign(made, self.key, signature.RECORD)
        self.refused("trove-image-manifest", "trove-image-record")

    def test_not_signed(self) -> None:
        signature.path(manifest.path(self.path)).unlink()
        self.refused("manifest.json is not signed", "manifest.json.sig")

    def test_no_manifest(self) -> None:
        manifest.path(self.path).unlink()
        self.refused(
            "is not signed: there is no", datastore="mariadb", version="1"
        )

    def test_a_manifest_that_was_changed(self) -> None:
        file = manifest.path(self.path)
        file.write_text(file.read_text().replace("11.8", "11.9"))
        self.refused("manifest.json is not what was signed", "SHA256:")

    def test_the_manifest_of_another_image(self) -> None:
        other = manifest.sidecar(self.image("trove-mysqldb"))
        manifest.sidecar(self.path).rename(self.place / "gone")
        other.rename(manifest.sidecar(self.path))
        self.refused("is not the image that its manifest describes")

    def test_another_name(self) -> None:
        renamed = self.place / "new.qcow2"
        manifest.sidecar(self.path).rename(manifest.sidecar(renamed))
        self.path.rename(renamed)
        self.path = renamed
        self.prepare()
