# SPDX-License-Identifier: Apache-2.0
"""Images in Glance: what is compared, found and changed."""

import hashlib
import json
import re
import typing

from tests import base
from tests.unit.cloud import fakes
from tests.unit.cloud import images as files
from trove_tools import errors
from trove_tools.artifact import imagefile
from trove_tools.cloud import connection
from trove_tools.cloud import glance
from trove_tools.cloud import retry
from trove_tools.cloud import transfer

DESCRIPTION = glance.Description(
    tags=("trove", "mariadb", "11.8"),
    fields={"name": "new", "min_disk": 3, glance.SHA256: "2"},
    serves=("mariadb:11.8",),
)


class ChangesTest(base.TestCase):
    def test_nothing(self) -> None:
        record = {"tags": ["11.8", "x", "mariadb", "trove"],
                  "more": 1, **DESCRIPTION.fields,
                  glance.SERVES: "a:1,mariadb:11.8"}  # fmt: skip
        self.assertEqual([], glance.changes(record, DESCRIPTION))

    def test_all(self) -> None:
        record = {"tags": ["x"], "name": "old", glance.UPLOADING: "2",
                  glance.SERVES: "a:1",
                  glance.WITHDRAWN: "mariadb:11.8,a:1"}  # fmt: skip
        self.assertEqual(
            [
                {"op": "replace", "path": "/tags",
                 "value": ["x", "trove", "mariadb", "11.8"]},
                {"op": "replace", "path": "/name", "value": "new"},
                {"op": "add", "path": "/min_disk", "value": 3},
                {"op": "add", "path": f"/{glance.SHA256}", "value": "2"},
                {"op": "remove", "path": f"/{glance.UPLOADING}"},
                {"op": "replace", "path": f"/{glance.WITHDRAWN}",
                 "value": "a:1"},
                {"op": "replace", "path": f"/{glance.SERVES}",
                 "value": "a:1,mariadb:11.8"},
            ],
            glance.changes(record, DESCRIPTION),
        )  # fmt: skip

    def test_withdrawal(self) -> None:
        record = {"tags": ["trove", "a", "1", "mine"], glance.SERVES: "a:1"}
        patch = glance.withdrawal(record, "a:1", ("trove", "a", "1"))
        self.assertEqual(
            [
                {"op": "replace", "path": "/tags", "value": ["mine"]},
                {"op": "add", "path": f"/{glance.WITHDRAWN}", "value": "a:1"},
            ],
            patch,
        )
        # made already, as when the answer was lost
        done = {"tags": ["mine"], glance.WITHDRAWN: "a:1"}
        self.assertEqual([], glance.withdrawal(done, "a:1", ("a",)))


class ImagesTest(base.TestCase):
    def setUp(self) -> None:
        super().setUp()
        self.cloud = self.useFixture(fakes.Cloud(self.temp_dir()))
        self.patch_object(retry, "PAUSE", 0)
        self.images = glance.Images(connection.connect(fakes.settings()))

    def add(self, number: int, **changes: typing.Any) -> None:
        changes.setdefault(glance.KIND, glance.GUEST)
        record = fakes.image("x", number, **changes)
        self.cloud.images[record["id"]] = record

    def test_the_newest_is_served(self) -> None:
        self.assertIsNone(self.images.served(DESCRIPTION.tags))
        for number, tags in ((1, DESCRIPTION.tags), (2, DESCRIPTION.tags),
                             (3, ("trove", "mariadb"))):  # fmt: skip
            self.add(number, tags=list(tags))
        served = self.images.served(DESCRIPTION.tags)
        self.assertEqual("image-2", served and served["id"])

    def test_ours(self) -> None:
        self.add(1, status="queued")
        self.add(2, owner="somebody")
        self.add(3, **{glance.KIND: None})
        self.add(4)
        found = [record["id"] for record in self.images.ours()]
        self.assertEqual(["image-4", "image-1"], found)

    def test_pages(self) -> None:
        self.add(1)
        served = self.cloud._serve

        def page(request: typing.Any, context: typing.Any) -> bytes:
            if "marker=image-1" in request.url:
                return b'{"images": [{"id": "image-0"}]}'
            answer = json.loads(served(request, context))
            return json.dumps({**answer, "next": "/v2/images?x"}).encode()

        self.cloud.wire.register_uri(
            "GET", f"{fakes.GLANCE}/v2/images", content=page
        )
        found = [record["id"] for record in self.images.ours()]
        self.assertEqual(["image-1", "image-0"], found)

    def fail_once(self, method: str, after: bool) -> list[str]:
        """Make a call fail the first time, before or after it worked."""

        def fail(request: typing.Any, context: typing.Any) -> bytes:
            tries.append(method)
            answer = b"" if len(tries) == 1 and not after else None
            if answer is None:
                answer = served(request, context)
            if len(tries) == 1:
                context.status_code = 503
            return answer

        tries: list[str] = []
        served = self.cloud._serve
        self.cloud.wire.register_uri(
            method, re.compile(f"{fakes.GLANCE}/v2/images/"), content=fail
        )
        return tries

    def test_an_update_whose_answer_was_lost(self) -> None:
        for number, after in enumerate((False, True)):
            self.add(number, **{glance.UPLOADING: "me"})
            tries = self.fail_once("PATCH", after)
            record = self.cloud.images[f"image-{number}"]
            self.assertTrue(self.images.update(dict(record), DESCRIPTION))
            self.assertEqual(1 if after else 2, len(tries))
            self.assertEqual("new", record["name"])
            self.assertNotIn(glance.UPLOADING, record)

    def test_a_removal_whose_answer_was_lost(self) -> None:
        for after in (False, True):
            self.add(1)
            tries = self.fail_once("DELETE", after)
            self.images.delete("image-1")
            self.assertEqual(2, len(tries))
            self.assertEqual({}, self.cloud.images)

    def test_an_image_that_is_gone(self) -> None:
        self.assertIsNone(self.images.get("image-9"))
        self.images.delete("image-9")
        error = self.assertRaises(
            errors.CloudError,
            self.images.update,
            fakes.image("x", 9),
            DESCRIPTION,
        )
        self.assertIn("404", error.message)


class ContentTest(base.TestCase):
    def setUp(self) -> None:
        super().setUp()
        path = self.temp_dir() / "x.qcow2"
        path.write_bytes(files.qcow2())
        data = path.read_bytes()
        self.md5 = hashlib.md5(data).hexdigest()
        self.content = transfer.Content(
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
