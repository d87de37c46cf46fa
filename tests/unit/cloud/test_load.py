# SPDX-License-Identifier: Apache-2.0
"""What a load does to the cloud."""

import hashlib
import io
import pathlib
import typing

from tests import base
from tests.unit.cloud import fakes
from tests.unit.cloud import images
from trove_tools import console
from trove_tools import errors
from trove_tools.catalog import loader
from trove_tools.cloud import connection
from trove_tools.cloud import glance
from trove_tools.cloud import history
from trove_tools.cloud import image as _image
from trove_tools.cloud import load
from trove_tools.cloud import retry
from trove_tools.cloud import sources
from trove_tools.cloud import transfer
from trove_tools.cloud import upload

NAME = "mariadb:11.8"


class LoadCase(base.TestCase):
    """A test with an image file and a cloud to load it into."""

    def setUp(self) -> None:
        super().setUp()
        self.directory = self.temp_dir()
        self.set_env(HOME=str(self.directory))
        self.path = self.build("trove-mariadb")
        self.cloud = self.useFixture(fakes.Cloud(self.temp_dir()))
        self.patch_object(retry, "PAUSE", 0)
        self.patch_object(upload, "_PAUSE", 0)
        self.said = io.StringIO()

    def build(self, name: str, **changes: typing.Any) -> pathlib.Path:
        """Return a new image, unlike every other one."""
        path = self.directory / f"{name}.qcow2"
        data = hashlib.sha256(name.encode()).digest() * 2048
        path.write_bytes(images.qcow2(data=data))
        images.describe(path, **changes)
        return path

    def load(
        self,
        path: pathlib.Path | None = None,
        planned: list[connection.Change] | None = None,
        **given: typing.Any,
    ) -> typing.Any:
        given.setdefault("parameters", "none")
        options = fakes.settings(**given)
        found = sources.prepare([path or self.path], options)
        screen = console.Console(stream=self.said)
        self.cloud.calls.clear()
        request = load.Request(
            pin=options.pin,
            activate=options.activate,
            keep=options.keep,
            keep_in_use=options.keep_in_use,
            route=transfer.Route(options.import_method, tuple(options.store)),
            rules=options.parameters,
            strict=options.strict,
            members=tuple(options.member),
        )
        cloud = connection.connect(options, planned=planned)
        series = loader.load().series
        loader_ = load.Loader(cloud, request, series, screen)
        (row,) = loader_.load_images(found)
        self.changes = [
            call for call in self.cloud.calls if not call.startswith("GET")
        ]
        return row

    def image(self) -> typing.Any:
        (image,) = self.cloud.images.values()
        return image


class LoadTest(LoadCase):
    def test_new(self) -> None:
        row = self.load()
        image = self.image()
        self.assertEqual(("sent", "created"), self.what(row))
        self.assertEqual(image["id"], row["image_id"])
        self.assertEqual("version-11.8", row["version_id"])
        self.assertEqual((False, False), (row["active"], row["default"]))
        self.assertFalse(row["pinned"])
        self.assertEqual("p-service", image["owner"])
        self.assertEqual(NAME, image[_image.SERVES])
        self.assertNotIn(_image.UPLOADING, image)

    def what(self, row: typing.Any) -> tuple[str, str]:
        return row["upload"], row["registration"]

    def test_again(self) -> None:
        self.load()
        row = self.load()
        self.assertEqual(("unchanged", "unchanged"), self.what(row))
        self.assertEqual([], self.changes)
        self.assertIn("nothing to send", self.said.getvalue())

    def test_activation_comes_last(self) -> None:
        row = self.load(activate=True)
        self.assertEqual((True, True), (row["active"], row["default"]))
        self.assertEqual(
            ["POST /mgmt/datastore-versions",
             "PATCH /mgmt/datastore-versions/version-11.8"],
            self.changes[-2:],
        )  # fmt: skip

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
        image = self.image()
        image["min_ram"] = 1
        self.assertEqual("changed", self.load()["upload"])
        self.assertEqual([f"PATCH /images/{image['id']}"], self.changes)
        self.assertEqual("unchanged", self.load()["upload"])

    def test_an_older_build_is_served_again_without_sending_it(self) -> None:
        first = self.load()
        for name in ("second", "third"):
            self.load(self.build(name), keep=9)
        row = self.load(keep=9)
        self.assertEqual(("changed", "unchanged"), self.what(row))
        self.assertEqual(first["image_id"], row["image_id"])
        self.assertEqual(first["image_id"], self.served())
        # the one that was served gave way last
        patched = [call.rpartition("/")[2] for call in self.changes]
        newest = max(
            self.cloud.images.values(), key=lambda each: each["created_at"]
        )
        self.assertEqual(2, len(patched))
        self.assertEqual(newest["id"], patched[-1])
        self.assertEqual(NAME, newest[_image.WITHDRAWN])
        # and the newer one again
        self.load(self.build("third"), keep=9)
        self.assertEqual(newest["id"], self.served())
        self.assertNotIn(_image.WITHDRAWN, newest)

    def served(self) -> str:
        tags = {"trove", "mariadb", "11.8"}
        found = max(
            (each["created_at"], each["id"])
            for each in self.cloud.images.values()
            if tags <= set(each["tags"])
        )
        return str(found[1])

    def test_behind_a_newer_image_of_others_it_is_sent_again(self) -> None:
        self.load()
        newer = fakes.image("newer", 2)
        self.cloud.images["image-2"] = newer
        row = self.load()
        self.assertEqual(("sent", "unchanged"), self.what(row))
        self.assertEqual(row["image_id"], self.served())
        self.assertEqual("unchanged", self.load()["upload"])
        self.assertIn("image-2", self.cloud.images)

    def test_pinned(self) -> None:
        row = self.load(pin=True)
        self.assertTrue(row["pinned"])
        self.assertEqual([], self.image()["tags"])
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

    def test_images_of_others_are_not_used(self) -> None:
        self.load()
        self.image()["owner"] = "somebody"
        self.assertEqual("sent", self.load()["upload"])

    def test_older_images_are_removed(self) -> None:
        for name in ("one", "two", "three"):
            self.load(self.build(name))
        names = {each["name"] for each in self.cloud.images.values()}
        self.assertEqual({"two", "three"}, names, self.said.getvalue())
        self.assertIn("removed the older image one", self.said.getvalue())

    def test_an_older_image_that_another_version_is_pinned_to(self) -> None:
        self.load(self.build("one"))
        pinned = fakes.version("10.11", image=self.image()["id"])
        self.cloud.versions[pinned["id"]] = pinned
        for name in ("two", "three"):
            self.load(self.build(name))
        self.assertEqual(3, len(self.cloud.images))
        self.assertIn("10.11 is registered with it", self.said.getvalue())

    def test_what_was_given_up_is_finished(self) -> None:
        self.load()
        image = self.image()
        tags, image["tags"] = image["tags"], []
        image[_image.UPLOADING] = "of a process that has ended"
        image["updated_at"] = "2026-01-01T00:00:00Z"
        row = self.load()
        self.assertEqual("changed", row["upload"])
        self.assertEqual(image["id"], row["image_id"])
        self.assertEqual(tags, image["tags"])
        self.assertNotIn(_image.UPLOADING, image)

    def test_what_was_given_up_halfway_is_removed(self) -> None:
        self.load()
        old = self.image()
        old[_image.UPLOADING] = "of a process that has ended"
        old["status"] = "queued"
        row = self.load()
        self.assertEqual("sent", row["upload"])
        self.assertEqual([row["image_id"]], list(self.cloud.images))

    def test_what_another_build_left_is_removed(self) -> None:
        self.load()
        self.image()[_image.UPLOADING] = "of a process that has ended"
        row = self.load(self.build("another"))
        self.assertEqual([row["image_id"]], list(self.cloud.images))
        self.assertIn("an unfinished load", self.said.getvalue())

    def test_tags_that_would_serve_another_version(self) -> None:
        other = fakes.version("5.5", image_tags=["trove", "mariadb"])
        self.cloud.versions[other["id"]] = other
        error = self.assertRaises(errors.CloudError, self.load)
        self.assertIn("mariadb:5.5 would use this image", error.message)
        self.assertEqual({}, self.cloud.images)
        self.assertTrue(self.load(pin=True)["pinned"])

    def test_series(self) -> None:
        path = self.build("old", series={"name": "2025.1", "trove": "24"})
        self.load(path)
        self.assertIn("built for Trove 2025.1", self.said.getvalue())
        error = self.assertRaises(
            errors.ImageError, self.load, path, strict=True
        )
        self.assertIn("does not fit", error.message)

    def test_a_dry_run_changes_nothing(self) -> None:
        self.load(self.build("one"))
        self.load(self.build("two"))
        planned: list[connection.Change] = []
        self.load(planned=planned)
        self.assertEqual([], self.changes)
        self.assertEqual(
            ["POST", "PUT", "PATCH", "DELETE"],
            [change.method for change in planned],
        )
        self.assertEqual(2, len(self.cloud.images))
        planned.clear()
        self.load(self.build("two"), planned=planned)
        self.assertEqual([], planned)

    def test_a_dry_run_in_an_empty_cloud(self) -> None:
        planned: list[connection.Change] = []
        row = self.load(planned=planned, activate=True)
        self.assertEqual(("sent", "created"), self.what(row))
        self.assertEqual({}, self.cloud.images)
        self.assertEqual({}, self.cloud.versions)
        self.assertEqual(
            ["POST", "PUT", "PATCH", "POST", "PATCH"],
            [change.method for change in planned],
        )

    def test_two_versions_that_share_their_tags(self) -> None:
        entries = [
            images.datastore(*name.split(":"), manager="mariadb")
            for name in ("mariadb:11.8", "mysql:11.8", "mariadb:11")
        ]
        path = self.build("both", datastores=tuple(entries))
        self.assertRaises(ValueError, self.load, path)
        (image,) = self.cloud.images.values()
        error = self.assertRaises(
            errors.CloudError,
            history.withdraw_image,
            glance.Images(connection.connect(fakes.settings())),
            _image.Image.from_answer(image),
            NAME,
            ("trove", "mariadb", "11.8"),
        )
        self.assertIn("it also serves", error.message)

    def test_a_refused_registration_leaves_nothing(self) -> None:
        for status, protected in ((400, None), (500, None), (404, True)):
            self.cloud.faults = [("POST /mgmt/datastore-.*", status, "no")]
            self.assertRaises(
                errors.CloudError, self.load, protected=protected
            )
            self.assertEqual({}, self.cloud.images)
            self.assertIn("removed image trove-mariadb", self.said.getvalue())
            self.said.truncate(0)

    def test_what_may_pass_keeps_the_image(self) -> None:
        self.cloud.faults = [("POST /mgmt/datastore-.*", 503, "busy")]
        self.assertRaises(errors.CloudError, self.load)
        image = self.image()
        self.assertIn(f"({image['id']}) stays in Glance", self.said.getvalue())
        self.cloud.faults = []
        self.assertEqual(("unchanged", "created"), self.what(self.load()))
