# SPDX-License-Identifier: Apache-2.0
"""Bodies of requests."""

import requests

from tests import base
from trove_tools import errors
from trove_tools.host import blocks


class BodyTest(base.TestCase):
    def setUp(self) -> None:
        super().setUp()
        self.data = bytes(range(256)) * 10000
        self.path = self.temp_dir() / "x"
        self.path.write_bytes(self.data)
        self.done = 0

    def body(self, size: int | None = None) -> blocks.Body:
        size = len(self.data) if size is None else size
        return blocks.Body(self.path, size, self.advance)

    def advance(self, amount: int) -> None:
        self.done += amount

    def test_all_of_it_in_blocks(self) -> None:
        parts = list(self.body())
        self.assertEqual(self.data, b"".join(parts))
        self.assertGreater(len(parts), 1)
        self.assertEqual(len(self.data), self.done)

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
        self.assertEqual(len(self.data), self.done)

    def test_no_more_than_announced(self) -> None:
        self.assertEqual(self.data[:5], b"".join(self.body(5)))

    def test_file_becomes_shorter(self) -> None:
        body = self.body(len(self.data) + 1)
        self.assertRaises(errors.ImageError, list, body)

    def test_file_that_is_not_on_this_host(self) -> None:
        for parts, complete in (([b"12", b"3"], True), ([b"12"], False)):
            body = blocks.Body(self.path, 3, read=lambda p=parts: iter(p))
            if complete:
                self.assertEqual(parts, list(body))
            else:
                self.assertRaises(errors.ImageError, list, body)
