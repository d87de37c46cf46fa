# SPDX-License-Identifier: Apache-2.0
"""The body of an upload."""

import requests

from tests import base
from trove_tools import console
from trove_tools import errors
from trove_tools.cloud import transfer


class Count(console.Progress):
    def __init__(self) -> None:
        self.done = 0

    def advance(self, amount: int = 1) -> None:
        self.done += amount


class BodyTest(base.TestCase):
    def setUp(self) -> None:
        super().setUp()
        self.data = bytes(range(256)) * 10000
        self.path = self.temp_dir() / "x"
        self.path.write_bytes(self.data)
        self.progress = Count()

    def body(self, size: int | None = None) -> transfer.Body:
        size = len(self.data) if size is None else size
        return transfer.Body(self.path, size, self.progress)

    def test_all_of_it_in_blocks(self) -> None:
        blocks = list(self.body())
        self.assertEqual(self.data, b"".join(blocks))
        self.assertGreater(len(blocks), 1)
        self.assertEqual(len(self.data), self.progress.done)

    def test_the_length_is_announced(self) -> None:
        request = requests.Request("PUT", "http://x", data=self.body())
        headers = request.prepare().headers
        self.assertEqual(str(len(self.data)), headers["Content-Length"])
        self.assertNotIn("Transfer-Encoding", headers)

    def test_sent_again_from_the_first_byte(self) -> None:
        body = self.body()
        next(iter(body))
        self.assertEqual(self.data, b"".join(body))
        self.assertEqual(self.data, b"".join(body))
        self.assertEqual(len(self.data), self.progress.done)

    def test_no_more_than_announced(self) -> None:
        self.assertEqual(self.data[:5], b"".join(self.body(5)))

    def test_file_becomes_shorter(self) -> None:
        body = self.body(len(self.data) + 1)
        self.assertRaises(errors.ImageError, list, body)
