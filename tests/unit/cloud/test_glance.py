# SPDX-License-Identifier: Apache-2.0
"""Images in Glance: what is sent, in which order, and what is left."""

import hashlib
import io
import typing

from tests import base
from tests.unit.cloud import fakes
from tests.unit.cloud import images as files
from trove_tools import console
from trove_tools import errors
from trove_tools.cloud import connection
from trove_tools.cloud import glance
from trove_tools.cloud import imagefile

DESCRIPTION = glance.Description(
    tags=("trove", "mariadb", "11.8"),
    fields={"name": "new", "min_disk": 3, glance.SHA256: "2"},
)


class ChangesTest(base.TestCase):
    def test_nothing(self) -> None:
        record = {"tags": ["11.8", "x", "mariadb", "trove"],
                  "more": 1, **DESCRIPTION.fields}  # fmt: skip
        self.assertEqual([], glance.changes(record, DESCRIPTION))

    def test_all(self) -> None:
        record = {"tags": ["x"], "name": "old", glance.UPLOADING: "2"}
        self.assertEqual(
            [
                {"op": "replace", "path": "/tags",
                 "value": ["x", "trove", "mariadb", "11.8"]},
                {"op": "replace", "path": "/name", "value": "new"},
                {"op": "add", "path": "/min_disk", "value": 3},
                {"op": "add", "path": f"/{glance.SHA256}", "value": "2"},
                {"op": "remove", "path": f"/{glance.UPLOADING}"},
            ],
            glance.changes(record, DESCRIPTION),
        )  # fmt: skip


class ImagesTest(base.TestCase):
    def setUp(self) -> None:
        super().setUp()
        self.cloud = self.useFixture(fakes.Cloud(self.temp_dir()))
        path = self.temp_dir() / "new.qcow2"
        path.write_bytes(files.qcow2())
        self.data = path.read_bytes()
        self.content = glance.Content(
            imagefile.inspect(path),
            hashlib.sha256(self.data).hexdigest(),
            hashlib.sha512(self.data).hexdigest(),
        )
        self.patch_object(glance, "_PAUSE", 0)
        self.said = io.StringIO()
        screen = console.Console(stream=self.said)
        self.images = glance.Images(
            connection.connect(fakes.settings()), screen
        )

    def upload(self) -> str:
        return self.images.upload(self.content, DESCRIPTION)

    def refused(self) -> errors.CloudError:
        return self.assertRaises(errors.CloudError, self.upload)

    def test_upload(self) -> None:
        image_id = self.upload()
        self.assertEqual(
            [
                "POST /images",
                f"PUT /images/{image_id}/file",
                f"GET /images/{image_id}",
                f"PATCH /images/{image_id}",
            ],
            self.cloud.calls,
        )
        self.assertEqual(self.data, self.cloud.sent)
        record = self.cloud.images[image_id]
        self.assertEqual(DESCRIPTION.fields["name"], record["name"])
        self.assertEqual("qcow2", record["disk_format"])
        self.assertEqual(list(DESCRIPTION.tags), record["tags"])
        self.assertNotIn(glance.UPLOADING, record)
        self.assertIn("sending new.qcow2", self.said.getvalue())

    def test_nothing_of_it_can_be_found_before_it_is_complete(self) -> None:
        self.upload()
        created = self.cloud.bodies[0]
        self.assertEqual("private", created["visibility"])
        self.assertEqual(self.content.sha256, created[glance.UPLOADING])
        for name in ("tags", glance.SHA256):
            self.assertNotIn(name, created)

    def test_other_bytes_arrive(self) -> None:
        def serve(request: typing.Any, context: typing.Any) -> bytes:
            if request.method == "GET":
                record = self.cloud.images["image-1"]
                record["os_hash_value"] = "bad"
            return original(request, context)

        original = self.cloud._serve
        self.cloud.wire.register_uri(
            "GET", f"{fakes.GLANCE}/v2/images/image-1", content=serve
        )
        self.assertIn("sha512 bad", self.refused().message)
        self.assertEqual({}, self.cloud.images)

    def test_each_failing_step_leaves_nothing(self) -> None:
        for call, status in (
            ("POST .*", 403),
            ("PUT .*", 413),
            ("PUT .*", 500),
            ("GET .*", 500),
            ("PATCH .*", 409),
        ):
            self.cloud.faults = [(call, status, "no!")]
            error = self.refused()
            self.assertIn(f"Glance answered {status}: no!", error.message)
            self.assertEqual({}, self.cloud.images, call)

    def test_too_large(self) -> None:
        self.cloud.faults = [("PUT .*", 413, "too large")]
        self.assertIn("image_size_cap", self.refused().hint or "")

    def test_interrupted(self) -> None:
        def interrupt(progress: console.Progress, amount: int) -> None:
            raise KeyboardInterrupt

        self.patch_object(console.Progress, "advance", interrupt)
        self.images._screen.quiet = True
        self.assertRaises(KeyboardInterrupt, self.upload)
        self.assertEqual({}, self.cloud.images)

    def test_removal_is_tried_again(self) -> None:
        def fail_once(request: typing.Any, context: typing.Any) -> bytes:
            tries.append(request)
            if len(tries) == 1:
                context.status_code = 500
                return b""
            return original(request, context)

        tries: list[typing.Any] = []
        original = self.cloud._serve
        self.cloud.wire.register_uri(
            "DELETE", f"{fakes.GLANCE}/v2/images/image-1", content=fail_once
        )
        self.cloud.faults = [("PUT .*", 413, "too large")]
        self.refused()
        self.assertEqual(2, len(tries))
        self.assertEqual({}, self.cloud.images)
        self.assertNotIn("still in Glance", self.said.getvalue())

    def test_removed_by_somebody_else(self) -> None:
        self.cloud.faults = [("PUT .*", 410, ""), ("DELETE .*", 404, "")]
        self.refused()
        self.assertNotIn("still in Glance", self.said.getvalue())

    def test_what_cannot_be_removed_is_named(self) -> None:
        self.cloud.faults = [("PUT .*|DELETE .*", 500, "broken")]
        self.refused()
        self.assertIn("openstack image delete image-1", self.said.getvalue())

    def test_image_is_gone_after_sending(self) -> None:
        self.cloud.faults = [("GET .*", 404, "gone")]
        self.assertIn("gone", self.refused().message)

    def test_copies(self) -> None:
        stored = {
            glance.SHA256: self.content.sha256,
            "size": len(self.data),
            "os_hash_algo": "sha512",
            "os_hash_value": self.content.sha512,
        }
        for number, changes in enumerate(
            (
                {},
                {"owner": "somebody"},
                {"os_hash_value": "other"},
                {"status": "queued"},
                {glance.SHA256: "other"},
                {},
            )
        ):
            record = fakes.image("new", number, **{**stored, **changes})
            self.cloud.images[record["id"]] = record
        found = [each["id"] for each in self.images.copies(self.content)]
        self.assertEqual(["image-5", "image-0"], found)

    def test_the_newest_is_served(self) -> None:
        self.assertIsNone(self.images.served(DESCRIPTION.tags))
        for number, tags in ((1, DESCRIPTION.tags), (2, DESCRIPTION.tags),
                             (3, ("trove", "mariadb"))):  # fmt: skip
            record = fakes.image("x", number, tags=list(tags))
            self.cloud.images[record["id"]] = record
        served = self.images.served(DESCRIPTION.tags)
        self.assertEqual("image-2", served and served["id"])


class ContentTest(base.TestCase):
    def setUp(self) -> None:
        super().setUp()
        path = self.temp_dir() / "x.qcow2"
        path.write_bytes(files.qcow2())
        data = path.read_bytes()
        self.md5 = hashlib.md5(data).hexdigest()
        self.content = glance.Content(
            imagefile.inspect(path), "", hashlib.sha512(data).hexdigest()
        )
        self.record = {"size": len(data)}

    def test_sha512(self) -> None:
        record = {
            **self.record,
            "os_hash_algo": "sha512",
            "os_hash_value": self.content.sha512,
        }
        self.assertIsNone(self.content.wrong(record))
        self.assertIsNotNone(self.content.wrong({**record, "size": 1}))
        record["os_hash_value"] = "x"
        self.assertIsNotNone(self.content.wrong(record))

    def test_another_digest(self) -> None:
        record = {**self.record, "os_hash_algo": "sha1",
                  "os_hash_value": "x"}  # fmt: skip
        self.assertIn("sha1 x", self.content.wrong(record) or "")

    def test_only_md5(self) -> None:
        record = {**self.record, "checksum": self.md5}
        self.assertIsNone(self.content.wrong(record))

    def test_none(self) -> None:
        self.assertIsNotNone(self.content.wrong(self.record))
