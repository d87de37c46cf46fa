# SPDX-License-Identifier: Apache-2.0
"""Downloads of images."""

import hashlib
import io
import pathlib

import requests
from requests_mock.contrib import fixture

from tests import base
from trove_tools import console
from trove_tools import errors
from trove_tools.cloud import retry
from trove_tools.cloud import transfer

URL = "https://images.test/some/x.qcow2"
DATA = b"image" * 1000
SHA256 = hashlib.sha256(DATA).hexdigest()


class FetchTest(base.TestCase):
    def setUp(self) -> None:
        super().setUp()
        self.home = self.temp_dir()
        self.set_env(XDG_CACHE_HOME=str(self.home))
        self.patch_object(retry, "PAUSE", 0)
        self.wire = self.useFixture(fixture.Fixture())

    def fetch(self, sha256: str | None = SHA256) -> pathlib.Path:
        screen = console.Console(stream=io.StringIO())
        return transfer.download_image(URL, sha256, screen)

    def refused(self, sha256: str | None = SHA256) -> errors.TroveToolsError:
        error = self.assertRaises(errors.TroveToolsError, self.fetch, sha256)
        left = [p.name for p in self.home.rglob("*") if p.is_file()]
        self.assertIn(left, ([], [".lock"]))
        return error

    def test_fetch_and_again(self) -> None:
        self.wire.get(URL, content=DATA)
        path = self.fetch()
        self.assertEqual(("x.qcow2", DATA), (path.name, path.read_bytes()))
        self.assertEqual(path, self.fetch(SHA256.upper()))
        self.assertEqual(1, self.wire.call_count)

    def test_what_is_in_the_cache_is_digested_again(self) -> None:
        self.wire.get(URL, content=DATA)
        path = self.fetch()
        path.write_bytes(DATA[1:])
        self.assertEqual(DATA, self.fetch().read_bytes())
        # nor is it taken from where others may have written it
        path.chmod(0o666)
        self.fetch()
        self.assertEqual(3, self.wire.call_count)

    def test_which_digest(self) -> None:
        self.assertIn("--sha256 DIGEST", self.refused(None).hint or "")
        self.assertIn("is not a sha256", self.refused("abc").message)

    def test_another_digest(self) -> None:
        self.wire.get(URL, content=DATA + b"x")
        error = self.refused()
        self.assertEqual(1, error.exit_status)
        self.assertIn("is not what was meant", error.message)

    def test_what_passes_is_tried_again(self) -> None:
        self.wire.get(URL, [{"status_code": 503}, {"content": DATA}])
        self.assertTrue(self.fetch().exists())

    def test_not_there(self) -> None:
        self.wire.get(URL, status_code=404)
        error = self.refused()
        self.assertEqual(4, error.exit_status)
        self.assertIn("404", error.message)

    def test_nobody_there(self) -> None:
        self.wire.get(URL, exc=requests.ConnectionError("nobody"))
        self.assertIn("cannot be reached", self.refused().message)
