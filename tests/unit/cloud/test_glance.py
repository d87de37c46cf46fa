# SPDX-License-Identifier: Apache-2.0
"""Images in Glance: what is found and changed."""

import json
import re
import typing

from tests import base
from tests.unit.cloud import fakes
from trove_tools import errors
from trove_tools.cloud import connection
from trove_tools.cloud import glance
from trove_tools.cloud import image as _image
from trove_tools.cloud import retry

DESCRIPTION = _image.Description(
    tags=("trove", "mariadb", "11.8"),
    fields={"name": "new", "min_disk": 3, _image.SHA256: "2"},
    serves=("mariadb:11.8",),
)


class ImagesTest(base.TestCase):
    def setUp(self) -> None:
        super().setUp()
        self.cloud = self.useFixture(fakes.Cloud(self.temp_dir()))
        self.patch_object(retry, "PAUSE", 0)
        self.images = glance.Images(connection.connect(fakes.settings()))

    def add(self, number: int, **changes: typing.Any) -> None:
        changes.setdefault(_image.KIND, _image.GUEST)
        record = fakes.image("x", number, **changes)
        self.cloud.images[record["id"]] = record

    def test_the_newest_is_served(self) -> None:
        self.assertIsNone(self.images.find_served(DESCRIPTION.tags))
        for number, tags in ((1, DESCRIPTION.tags), (2, DESCRIPTION.tags),
                             (3, ("trove", "mariadb"))):  # fmt: skip
            self.add(number, tags=list(tags))
        served = self.images.find_served(DESCRIPTION.tags)
        self.assertEqual("image-2", served and served.id)

    def test_ours(self) -> None:
        self.add(1, status="queued")
        self.add(2, owner="somebody")
        self.add(3, **{_image.KIND: None})
        self.add(4)
        found = [image.id for image in self.images.list_ours()]
        self.assertEqual(["image-4", "image-1"], found)

    def test_pages(self) -> None:
        self.add(1)
        served = self.cloud._serve

        def page(request: typing.Any, context: typing.Any) -> bytes:
            if "marker=image-1" in request.url:
                return b'{"images": [{"id": "image-0"}]}'
            answer = json.loads(served(request, context))
            following = {"next": "/v2/images?limit=1&marker=image-1"}
            return json.dumps({**answer, **following}).encode()

        self.cloud.wire.register_uri(
            "GET", f"{fakes.GLANCE}/v2/images", content=page
        )
        found = [image.id for image in self.images.list_ours()]
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
            self.add(number, **{_image.UPLOADING: "me"})
            tries = self.fail_once("PATCH", after)
            record = self.cloud.images[f"image-{number}"]
            self.assertTrue(self.images.update(
                    _image.Image.from_answer(dict(record)), DESCRIPTION
                ))
            self.assertEqual(1 if after else 2, len(tries))
            self.assertEqual("new", record["name"])
            self.assertNotIn(_image.UPLOADING, record)

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
            _image.Image.from_answer(fakes.image("x", 9)),
            DESCRIPTION,
        )
        self.assertIn("404", error.message)
