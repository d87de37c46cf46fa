# SPDX-License-Identifier: Apache-2.0
"""What is sent, in which order, and what is left of it on failure."""

import datetime
import hashlib
import io
import re
import typing

import requests_mock

from tests import base
from tests.unit.cloud import fakes
from tests.unit.cloud import images as files
from trove_tools import console
from trove_tools import errors
from trove_tools.artifact import imagefile
from trove_tools.cloud import connection
from trove_tools.cloud import glance
from trove_tools.cloud import image as _image
from trove_tools.cloud import retry
from trove_tools.cloud import transfer
from trove_tools.cloud import upload
from trove_tools.host import blocks
from trove_tools.host import liveness

DESCRIPTION = _image.Description(
    tags=("trove", "mariadb", "11.8"),
    fields={"name": "new", "min_disk": 3},
    serves=("mariadb:11.8",),
)
ELSEWHERE = "another boot/1/2/3"


class UploadsTest(base.TestCase):
    def setUp(self) -> None:
        super().setUp()
        self.cloud = self.useFixture(fakes.Cloud(self.temp_dir()))
        path = self.temp_dir() / "new.qcow2"
        path.write_bytes(files.qcow2())
        self.data = path.read_bytes()
        self.content = upload.Content(
            imagefile.inspect(path),
            hashlib.sha256(self.data).hexdigest(),
            hashlib.sha512(self.data).hexdigest(),
            url="http://web/new.qcow2",
        )
        self.patch_object(retry, "PAUSE", 0)
        self.patch_object(upload, "_PAUSE", 0)
        self.patch_object(transfer, "_PAUSE", 0)
        self.said = io.StringIO()

    def provide(
        self, *route: typing.Any, reuse: bool = True
    ) -> tuple[str, bool]:
        images = glance.Images(connection.connect(fakes.settings()))
        self.cloud.calls.clear()
        image, sent = upload.upload_image(
            images,
            self.content,
            DESCRIPTION,
            transfer.Route(*route),
            console.Console(stream=self.said),
            reuse=reuse,
        )
        return image.id, sent

    def refused(self) -> errors.TroveToolsError:
        return self.assertRaises(errors.TroveToolsError, self.provide)

    def test_send(self) -> None:
        image_id, sent = self.provide()
        self.assertTrue(sent)
        self.assertEqual(
            [
                "GET /images",
                "POST /images",
                f"PUT /images/{image_id}/file",
                f"GET /images/{image_id}",
                f"PATCH /images/{image_id}",
                f"GET /images/{image_id}",
            ],
            self.cloud.calls,
        )
        self.assertEqual(self.data, self.cloud.sent)
        record = self.cloud.images[image_id]
        self.assertEqual("new", record["name"])
        self.assertEqual("qcow2", record["disk_format"])
        self.assertEqual(list(DESCRIPTION.tags), record["tags"])
        self.assertNotIn(_image.UPLOADING, record)
        self.assertIn("sending new.qcow2", self.said.getvalue())
        self.assertEqual((image_id, False), self.provide())

    def test_trove_cannot_find_it_before_it_is_complete(self) -> None:
        self.provide()
        created = self.cloud.bodies[1]
        self.assertEqual("private", created["visibility"])
        self.assertEqual(liveness.name(), created[_image.UPLOADING])
        self.assertEqual("p-service", created["owner"])
        self.assertNotIn("tags", created)
        # the rest is there already: an update of it all takes Glance long
        self.assertLessEqual(DESCRIPTION.fields.items(), created.items())
        changed = {each["path"] for each in self.cloud.bodies[-2]}
        self.assertEqual({"/tags", f"/{_image.UPLOADING}"}, changed)

    def test_other_bytes_arrive(self) -> None:
        get = glance.Images.get

        def wrong(images: glance.Images, image_id: str) -> typing.Any:
            image = get(images, image_id)
            return image and _image.Image.from_answer(
                {**image.fields, "os_hash_value": "bad"}
            )

        self.patch_object(glance.Images, "get", wrong)
        self.assertIn("sha512 bad", self.refused().message)
        self.assertEqual({}, self.cloud.images)

    def test_the_file_changes_while_it_is_sent(self) -> None:
        self.content = upload.Content(self.content.file, "1", "2")
        error = self.refused()
        self.assertIsInstance(error, errors.ImageError)
        self.assertIn("changed while it was being sent", error.message)
        self.assertEqual({}, self.cloud.images)

    def test_each_failing_step_leaves_nothing(self) -> None:
        for call, status in (
            ("POST .*", 403),
            ("PUT .*", 413),
            ("PUT .*", 500),
            ("GET /images/.*", 500),
            ("PATCH .*", 409),
        ):
            self.cloud.faults = [(call, status, "no!")]
            error = self.refused()
            self.assertIn(f"Glance answered {status}: no!", error.message)
            self.assertEqual({}, self.cloud.images)

    def test_what_may_pass_is_tried_again(self) -> None:
        for call, status, tries in (
            ("PUT .*", 503, retry.ATTEMPTS),
            ("PUT .*", 413, 1),
            ("POST .*", 500, retry.ATTEMPTS),
            ("POST .*", 403, 1),
        ):
            self.cloud.faults = [(call, status, "no!")]
            self.refused()
            word = call.partition(" ")[0]
            made = [c for c in self.cloud.calls if c.startswith(word)]
            self.assertEqual(tries, len(made), made)

    def test_interrupted(self) -> None:
        def interrupt(self: typing.Any) -> None:
            raise KeyboardInterrupt

        self.patch_object(blocks.Body, "__iter__", interrupt)
        self.assertRaises(KeyboardInterrupt, self.provide)
        self.assertEqual({}, self.cloud.images)

    def test_what_cannot_be_removed_is_named(self) -> None:
        self.cloud.faults = [("PUT .*", 413, ""), ("DELETE .*", 500, "")]
        self.refused()
        (image_id,) = self.cloud.images
        self.assertIn(f"openstack image delete {image_id}",
                      self.said.getvalue())  # fmt: skip
        # and the next one removes it
        self.cloud.faults = []
        (new, _) = self.provide()
        self.assertEqual([new], list(self.cloud.images))

    def test_image_is_gone_after_sending(self) -> None:
        self.cloud.faults = [("GET /images/.*", 404, "gone")]
        self.assertIn("gone", self.refused().message)

    def test_ids_of_removed_images_are_left_out(self) -> None:
        first, _ = self.provide()
        self.cloud.removed.add(first)
        del self.cloud.images[first]
        second, _ = self.provide()
        self.assertNotEqual(first, second)

    def pending(self, **changes: typing.Any) -> dict[str, typing.Any]:
        """Put an image there that is not complete."""
        image_id, _ = self.provide()
        record = self.cloud.images[image_id]
        record.update({_image.UPLOADING: ELSEWHERE, **changes})
        return record

    def test_another_load_is_waited_for(self) -> None:
        now = datetime.datetime.now(datetime.UTC).isoformat()
        record = self.pending(updated_at=now)
        listed = glance.Images.list_ours
        looks = []

        def complete(images: glance.Images) -> list[_image.Image]:
            found = listed(images)
            looks.append(found)
            if len(looks) == 3:
                record.pop(_image.UPLOADING)
            return found

        self.patch_object(glance.Images, "list_ours", complete)
        self.assertEqual((record["id"], False), self.provide())
        self.assertEqual(4, len(looks))
        self.assertEqual(1, self.said.getvalue().count("another load"))

    def test_another_load_was_quicker(self) -> None:
        record = self.pending()
        record.pop(_image.UPLOADING)
        listed = glance.Images.list_ours
        looks = []

        def late(images: glance.Images) -> list[_image.Image]:
            looks.append(images)
            return listed(images) if len(looks) > 1 else []

        self.patch_object(glance.Images, "list_ours", late)
        self.assertEqual((record["id"], False), self.provide())
        self.assertEqual(1, len(self.cloud.images))

    def test_abandoned(self) -> None:
        now = datetime.datetime.now(datetime.UTC)
        for sender, status, hours, expected in (
            (liveness.name(), "queued", 0, True),
            (ELSEWHERE, "queued", 0, False),
            (ELSEWHERE, "queued", 1, True),
            (ELSEWHERE, "saving", 1, False),
            (ELSEWHERE, "saving", 25, True),
            ("nonsense", "active", 1, True),
        ):
            then = now - datetime.timedelta(hours=hours)
            record = {_image.UPLOADING: sender, "status": status,
                      "updated_at": then.isoformat()}  # fmt: skip
            image = _image.Image.from_answer(record)
            self.assertEqual(expected, upload.is_abandoned(image), record)

    def serve_imports(self, outcome: str) -> None:
        def info(request: typing.Any, context: typing.Any) -> typing.Any:
            return {"import-methods": {"value": ["glance-direct",
                                                 "web-download"]}}  # fmt: skip

        def take(request: typing.Any, context: typing.Any) -> str:
            self.taken = request.json()
            (record,) = self.cloud.images.values()
            sums = {"os_hash_algo": "sha512", "size": len(self.data),
                    "os_hash_value": self.content.sha512}  # fmt: skip
            if outcome == "success":
                record.update({"status": "active", **sums})
            return ""

        def tasks(request: typing.Any, context: typing.Any) -> typing.Any:
            return {"tasks": [{"status": outcome, "message": "why not"}]}

        wire, images = self.cloud.wire, f"{fakes.GLANCE}/v2"
        wire.get(f"{images}/info/import", json=info)
        for path, how in (("stage", {}), ("import", {"text": take}),
                          ("tasks", {"json": tasks})):  # fmt: skip
            matcher = re.compile(f"{images}/images/.*/{path}")
            wire.register_uri(requests_mock.ANY, matcher, **how)

    def test_several_stores(self) -> None:
        self.serve_imports("success")
        self.provide("auto", ("one", "two"))
        self.assertEqual(
            {"method": {"name": "glance-direct"}, "stores": ["one", "two"]},
            self.taken,
        )
        error = self.assertRaises(
            errors.UsageError,
            self.provide,
            "upload",
            ("one", "two"),
            reuse=False,
        )
        self.assertIn("one store", error.message)

    def test_glance_fetches_it(self) -> None:
        self.serve_imports("success")
        self.provide("web-download", ("all",))
        self.assertEqual(
            {
                "method": {
                    "name": "web-download",
                    "uri": "http://web/new.qcow2",
                },
                "all_stores": True,
            },
            self.taken,
        )

    def test_an_import_that_fails(self) -> None:
        self.serve_imports("failure")
        error = self.assertRaises(
            errors.CloudError, self.provide, "glance-direct"
        )
        self.assertIn("why not", error.message)
        self.assertEqual({}, self.cloud.images)

    def test_a_cloud_without_direct_upload(self) -> None:
        self.serve_imports("success")
        self.cloud.faults = [("PUT .*/file", 403, "no")]
        self.provide()
        self.assertEqual("glance-direct", self.taken["method"]["name"])
        self.assertIn("does not support direct uploads", self.said.getvalue())

    def test_a_cloud_without_imports(self) -> None:
        error = self.assertRaises(
            errors.CloudError, self.provide, "glance-direct"
        )
        self.assertIn("no import method", error.message)


class ContentTest(base.TestCase):
    def setUp(self) -> None:
        super().setUp()
        path = self.temp_dir() / "x.qcow2"
        path.write_bytes(files.qcow2())
        data = path.read_bytes()
        self.md5 = hashlib.md5(data).hexdigest()
        self.content = upload.Content(
            imagefile.inspect(path), "", hashlib.sha512(data).hexdigest()
        )
        self.record = {"size": len(data)}

    def difference(self, record: dict[str, typing.Any]) -> str | None:
        image = _image.Image.from_answer(record)
        return self.content.find_difference(image)

    def test_sha512(self) -> None:
        record = {
            **self.record,
            "os_hash_algo": "sha512",
            "os_hash_value": self.content.sha512,
        }
        self.assertIsNone(self.difference(record))
        self.assertIsNotNone(self.difference({**record, "size": 1}))
        record["os_hash_value"] = "x"
        self.assertIsNotNone(self.difference(record))

    def test_another_digest(self) -> None:
        record = {**self.record, "os_hash_algo": "sha1",
                  "os_hash_value": "x"}  # fmt: skip
        self.assertIn("sha1 x", self.difference(record) or "")

    def test_only_md5(self) -> None:
        record = {**self.record, "checksum": self.md5}
        self.assertIsNone(self.difference(record))

    def test_none(self) -> None:
        self.assertIsNotNone(self.difference(self.record))
