# SPDX-License-Identifier: Apache-2.0
"""What a load intends, and what it does to the cloud."""

import io
import json
import pathlib
import typing

from tests import base
from tests.unit.cloud import fakes
from tests.unit.cloud import images
from trove_tools import console
from trove_tools import errors
from trove_tools import verified
from trove_tools.cloud import connection
from trove_tools.cloud import load
from trove_tools.cloud import trove


class _Case(base.TestCase):
    def setUp(self) -> None:
        super().setUp()
        self.path = self.temp_dir() / "trove-mariadb.qcow2"
        self.path.write_bytes(images.qcow2())

    def prepare(
        self, *paths: pathlib.Path, **given: typing.Any
    ) -> list[load.Source]:
        return load.prepare(paths or (self.path,), fakes.settings(**given))


class PrepareTest(_Case):
    def refused(self, **given: typing.Any) -> errors.TroveToolsError:
        error = self.assertRaises(
            errors.TroveToolsError, self.prepare, **given
        )
        self.assertTrue(error.hint)
        return error

    def test_manifest(self) -> None:
        made = images.describe(self.path)
        (source,) = self.prepare()
        self.assertEqual(made.image["sha256"], source.content.sha256)
        self.assertEqual(made.image["sha512"], source.content.sha512)
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
                "hw_rng_model": "virtio",
                "architecture": "x86_64",
                "os_distro": "debian",
                "os_version": "13",
                "trove_tools_sha256": made.image["sha256"],
                "trove_tools_build_id": "b1",
                "trove_tools_series": "2026.2",
                "trove_tools_agent_version": "26.0.0",
                "trove_tools_dev": "false",
            },
            source.description.fields,
        )

    def test_no_disk_is_smaller_than_its_datastore_needs(self) -> None:
        entry = images.datastore("mariadb", "11.8", min_disk=9)
        images.describe(self.path, datastores=(entry,))
        (source,) = self.prepare()
        self.assertEqual(9, source.description.fields["min_disk"])

    def verified(self, **values: typing.Any) -> None:
        made = images.describe(self.path)
        record = {"sha256": made.image["sha256"], "level": "agent",
                  "tier": "vm", "ok": True, **values}  # fmt: skip
        verified.path(self.path).write_text(json.dumps(record))

    def test_verified(self) -> None:
        self.verified()
        (source,) = self.prepare(require_verified=True)
        self.assertEqual("agent (vm)", str(source.proof))

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
            ({"tier": "namespace"}, "was never booted"),
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

    def test_other_bytes_than_built(self) -> None:
        images.describe(self.path)
        with open(self.path, "r+b") as stream:
            stream.seek(-1, 2)
            stream.write(b"x")
        error = self.refused()
        self.assertIsInstance(error, errors.ImageError)
        self.assertIn("its sha256 is", error.message)

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


class LoadTest(_Case):
    def setUp(self) -> None:
        super().setUp()
        images.describe(self.path)
        self.cloud = self.useFixture(fakes.Cloud(self.temp_dir()))
        self.said = io.StringIO()

    def load(self, **given: typing.Any) -> typing.Any:
        sources = self.prepare(**given)
        screen = console.Console(stream=self.said)
        self.cloud.calls.clear()
        rows = load.load(
            connection.connect(fakes.settings()),
            sources,
            screen,
            pin=given.get("pin", False),
            activate=given.get("activate", False),
        )
        self.changes = [
            call for call in self.cloud.calls if not call.startswith("GET")
        ]
        return rows[0]

    def test_new(self) -> None:
        row = self.load()
        self.assertEqual(("sent", "created"), self.what(row))
        self.assertEqual("image-1", row["image_id"])
        self.assertEqual("version-11.8", row["version_id"])
        self.assertEqual((False, False), (row["active"], row["default"]))
        self.assertFalse(row["pinned"])

    def what(self, row: typing.Any) -> tuple[str, str]:
        return row["upload"], row["registration"]

    def test_again(self) -> None:
        self.load()
        row = self.load()
        self.assertEqual(("unchanged", "unchanged"), self.what(row))
        self.assertEqual([], self.changes)
        self.assertIn("nothing to send", self.said.getvalue())

    def test_activate_what_is_loaded(self) -> None:
        self.load()
        row = self.load(activate=True)
        self.assertEqual(("unchanged", "changed"), self.what(row))
        self.assertEqual((True, True), (row["active"], row["default"]))
        self.load(activate=True)
        self.assertEqual([], self.changes)

    def test_what_is_active_stays_so(self) -> None:
        self.load(activate=True)
        row = self.load()
        self.assertEqual((True, True), (row["active"], row["default"]))

    def test_only_the_description_differs(self) -> None:
        self.load()
        self.cloud.images["image-1"]["min_ram"] = 1
        self.assertEqual("changed", self.load()["upload"])
        self.assertEqual(["PATCH /images/image-1"], self.changes)
        self.assertEqual("unchanged", self.load()["upload"])

    def test_an_older_copy_is_sent_again(self) -> None:
        self.load()
        newer = fakes.image("newer", 2)
        self.cloud.images["image-2"] = newer
        row = self.load()
        self.assertEqual(("sent", "unchanged"), self.what(row))
        self.assertEqual("image-3", row["image_id"])
        self.assertEqual("unchanged", self.load()["upload"])

    def test_pinned(self) -> None:
        row = self.load(pin=True)
        self.assertTrue(row["pinned"])
        self.assertEqual([], self.cloud.images["image-1"]["tags"])
        # another image with its tags does not matter to a pinned one
        self.cloud.images["image-2"] = fakes.image("newer", 2)
        row = self.load(pin=True)
        self.assertEqual(("unchanged", "unchanged"), self.what(row))

    def test_from_pinned_to_tags_and_back(self) -> None:
        self.load(pin=True)
        row = self.load()
        self.assertEqual(("changed", "changed"), self.what(row))
        self.assertFalse(row["pinned"])
        row = self.load(pin=True)
        self.assertEqual(("unchanged", "changed"), self.what(row))
        self.assertTrue(row["pinned"])

    def test_nothing_is_sent_without_the_right_to_register(self) -> None:
        self.cloud.faults = [("GET /mgmt.*", 401, "not admin")]
        error = self.assertRaises(errors.CloudError, self.load)
        self.assertIn("not admin", error.message)
        # twice, as the token may just have expired
        self.assertEqual(
            {"GET /mgmt/datastore-versions"}, set(self.cloud.calls)
        )

    def test_trove_fails_after_the_upload(self) -> None:
        self.cloud.faults = [("POST /mgmt.*", 500, "oops")]
        self.assertRaises(errors.CloudError, self.load)
        self.cloud.faults = []
        self.assertEqual(("unchanged", "created"), self.what(self.load()))

    def test_images_of_others_are_not_used(self) -> None:
        self.load()
        self.cloud.images["image-1"]["owner"] = "somebody"
        self.assertEqual("sent", self.load()["upload"])
