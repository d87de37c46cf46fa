# SPDX-License-Identifier: Apache-2.0
"""Snapshots of mirrors."""

import http.server
import threading

from tests import base
from trove_tools import errors
from trove_tools.plan import mirrors

DAY = mirrors.parse_date("2026-01-31")


class DateTest(base.TestCase):
    def test_forms(self) -> None:
        for text in ("2026-01-31", "20260131", "20260131T000000Z"):
            date = mirrors.parse_date(text)
            self.assertEqual("20260131T000000Z", mirrors.format_date(date))
            self.assertEqual(1769817600, date.timestamp())

    def test_none(self) -> None:
        for text in ("yesterday", "2026-13-01", ""):
            self.assertRaises(errors.UsageError, mirrors.parse_date, text)


class OfTest(base.TestCase):
    def setUp(self) -> None:
        super().setUp()
        self.files: dict[str, str] = {}
        files = self.files

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_GET(self) -> None:  # noqa: N802
                text = files.get(self.path)
                self.send_response(404 if text is None else 200)
                self.end_headers()
                self.wfile.write((text or "").encode())

            def log_message(self, *words: object) -> None:
                pass

        server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.addCleanup(server.server_close)
        self.addCleanup(server.shutdown)
        threading.Thread(target=server.serve_forever, daemon=True).start()
        self.mirror = f"http://127.0.0.1:{server.server_port}"
        self.set_env(http_proxy=None, no_proxy="*")

    def release(self, path: str, *fields: str) -> None:
        self.files[f"{path}/dists/trixie/InRelease"] = "\n".join(
            ("-----BEGIN PGP SIGNED MESSAGE-----", "", *fields, "SHA256:")
        )

    def refused(self, mirror: str) -> str:
        error = self.assertRaises(
            errors.UsageError, mirrors.find_snapshot, mirror, "trixie", DAY
        )
        self.assertTrue(error.hint)
        return error.message

    def test_mirror_that_tells(self) -> None:
        self.release("/debian", "Suite: stable",
                     f"Snapshots: {self.mirror}/s/@SNAPSHOTID@/")  # fmt: skip
        self.release("/s/20260131T000000Z",
                     "Date: Fri, 30 Jan 2026 20:00:00 UTC")  # fmt: skip
        self.assertEqual(
            f"{self.mirror}/s/20260131T000000Z",
            mirrors.find_snapshot(f"{self.mirror}/debian/", "trixie", DAY),
        )

    def test_address_that_tells(self) -> None:
        self.release("/20260131T000000Z/debian")
        self.assertEqual(
            f"{self.mirror}/20260131T000000Z/debian",
            mirrors.find_snapshot(
                f"{self.mirror}/@SNAPSHOTID@/debian", "trixie", DAY
            ),
        )

    def test_mirror_without_snapshots(self) -> None:
        self.release("/debian", "Suite: stable")
        said = self.refused(f"{self.mirror}/debian")
        self.assertIn("offers no snapshots", said)
        self.release("/debian", "Snapshots: no")
        self.assertIn(
            "offers no snapshots", self.refused(f"{self.mirror}/debian")
        )

    def test_no_snapshot_of_that_date(self) -> None:
        said = self.refused(f"{self.mirror}/@SNAPSHOTID@")
        self.assertIn("404", said)
        self.assertIn("20260131T000000Z", said)

    def test_one_of_a_later_date(self) -> None:
        self.release("/x", "Date: Sun, 01 Feb 2026 20:00:00 UTC")
        self.files["/20260131T000000Z/dists/trixie/InRelease"] = (
            self.files["/x/dists/trixie/InRelease"]
        )
        said = self.refused(f"{self.mirror}/@SNAPSHOTID@")
        self.assertIn("later than", said)

    def test_mirror_that_does_not_answer(self) -> None:
        self.assertIn("cannot be found", self.refused("http://127.0.0.1:9/x"))
        self.assertIn("cannot be found", self.refused("file:///etc"))

    def test_archives_that_apt_knows(self) -> None:
        asked = []

        def release(address: str, suite: str) -> str:
            asked.append(address)
            return ""

        self.patch_object(mirrors, "_release", release)
        self.assertEqual(
            "https://snapshot.debian.org/archive/debian-security"
            "/20260131T000000Z",
            mirrors.find_snapshot(
                "http://deb.debian.org/debian-security", "x", DAY
            ),
        )
