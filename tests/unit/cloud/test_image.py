# SPDX-License-Identifier: Apache-2.0
"""The patches that make an image what it shall be."""

from tests import base
from trove_tools.cloud import image as _image

DESCRIPTION = _image.Description(
    tags=("trove", "mariadb", "11.8"),
    fields={"name": "new", "min_disk": 3, _image.SHA256: "2"},
    serves=("mariadb:11.8",),
)


class ChangesTest(base.TestCase):
    def test_nothing(self) -> None:
        record = {"tags": ["11.8", "x", "mariadb", "trove"],
                  "more": 1, **DESCRIPTION.fields,
                  _image.SERVES: "a:1,mariadb:11.8"}  # fmt: skip
        self.assertEqual(
            [], _image.describe(_image.Image.from_answer(record), DESCRIPTION)
        )

    def test_all(self) -> None:
        record = {"tags": ["x"], "name": "old", _image.UPLOADING: "2",
                  _image.SERVES: "a:1",
                  _image.WITHDRAWN: "mariadb:11.8,a:1"}  # fmt: skip
        self.assertEqual(
            [
                {"op": "replace", "path": "/tags",
                 "value": ["x", "trove", "mariadb", "11.8"]},
                {"op": "replace", "path": "/name", "value": "new"},
                {"op": "add", "path": "/min_disk", "value": 3},
                {"op": "add", "path": f"/{_image.SHA256}", "value": "2"},
                {"op": "remove", "path": f"/{_image.UPLOADING}"},
                {"op": "replace", "path": f"/{_image.WITHDRAWN}",
                 "value": "a:1"},
                {"op": "replace", "path": f"/{_image.SERVES}",
                 "value": "a:1,mariadb:11.8"},
            ],
            _image.describe(
            _image.Image.from_answer(record), DESCRIPTION),
        )  # fmt: skip

    def test_withdrawal(self) -> None:
        record = {"tags": ["trove", "a", "1", "mine"], _image.SERVES: "a:1"}
        patch = _image.withdraw(
            _image.Image.from_answer(record), "a:1", ("trove", "a", "1")
        )
        self.assertEqual(
            [
                {"op": "replace", "path": "/tags", "value": ["mine"]},
                {"op": "add", "path": f"/{_image.WITHDRAWN}", "value": "a:1"},
            ],
            patch,
        )
        # made already, as when the answer was lost
        done = {"tags": ["mine"], _image.WITHDRAWN: "a:1"}
        self.assertEqual(
            [], _image.withdraw(_image.Image.from_answer(done), "a:1", ("a",))
        )
