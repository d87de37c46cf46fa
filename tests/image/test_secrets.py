# SPDX-License-Identifier: Apache-2.0
"""Secrets that a build is given are in nothing that it leaves or shows.

A variable holds a token that a hook prints, and the constraints' address has
one in its query.  The image is tiny; the builder, diskimage-builder, pip and
curl are real.
"""

import contextlib
import http.server
import pathlib
import shutil
import subprocess
import threading
import time

from tests import commands
from tests.image import test_build_failures
from tests.image import tiny
from trove_tools.host import process
from trove_tools.plan import elements

_VALUE = "v4ri4ble-s3cret"
_TOKEN = "t0ken-of-an-addr3ss"  # noqa: S105

_PRINT = """\
echo "the token is $DIB_TINY_TOKEN"
bash -c 'env; declare -p' | grep DIB_TINY_TOKEN
"""


class Index(http.server.BaseHTTPRequestHandler):
    """Serves constraints to those who know the token, and slowly."""

    def do_GET(self) -> None:
        # so that all see who asks
        time.sleep(0.5)
        if _TOKEN not in self.path:
            self.send_error(403)
            return
        self.send_response(200)
        self.end_headers()
        self.wfile.write(b"oslo.log===7\n")

    def log_message(self, *words: object) -> None:
        pass


class SecretsTest(test_build_failures.BuildCase):
    timeout = 300

    def setUp(self) -> None:
        super().setUp()
        server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Index)
        self.addCleanup(server.server_close)
        threading.Thread(target=server.serve_forever, daemon=True).start()
        self.addCleanup(server.shutdown)
        self.cache = self.temp_dir()
        self.address = f"http://127.0.0.1:{server.server_port}/upper.txt"
        self.set_env(
            TROVE_TOOLS_CACHE_DIR=str(self.cache),
            DIB_TINY_TOKEN=_VALUE,
            DIB_OFFLINE="1",
            DIB_TROVE_AGENT_CONSTRAINTS=f"{self.address}?token={_TOKEN}",
        )
        self.elements = self.temp_dir()
        tiny.write(self.elements)
        tiny.hook(self.elements / "debian-minimal", "root", "60-p", _PRINT)
        tiny.hook(
            self.elements / "trove-guest-agent", "install", "60-p", _PRINT
        )
        # the hooks that fetch, and that clean, as they are
        for name, part in (
            ("trove-pip", "extra-data.d"), ("trove-pip", "environment.d"),
            ("trove-pip", "trove-pip"), ("trove-guest-clean", "cleanup.d"),
        ):  # fmt: skip
            shutil.copytree(
                elements.DIRECTORY / name / part, self.elements / name / part
            )
        deps = self.elements / "trove-guest-agent-venv" / "element-deps"
        deps.write_text("trove-pip\n")
        self.shown: set[str] = set()

    def run_build(self) -> commands.Outcome:
        ended = threading.Event()
        watcher = threading.Thread(target=self.watch, args=(ended,))
        watcher.start()
        try:
            return self.build(
                "--elements-path", str(self.elements),
                "--image-format", "tar",
            )  # fmt: skip
        finally:
            ended.set()
            watcher.join()

    def watch(self, ended: threading.Event) -> None:
        """Note each command line on this host that holds a secret."""
        while not ended.wait(0.05):
            for file in pathlib.Path("/proc").glob("[0-9]*/cmdline"):
                with contextlib.suppress(OSError):
                    line = file.read_text(errors="replace")
                    if _VALUE in line or _TOKEN in line:
                        self.shown.add(line.replace("\0", " "))

    def assert_no_secret(self, text: bytes | str, where: object) -> None:
        found = text if isinstance(text, bytes) else text.encode()
        for secret in (_VALUE, _TOKEN):
            self.assertNotIn(secret.encode(), found, str(where))

    def assert_no_secret_below(self, directory: pathlib.Path) -> None:
        files = [each for each in directory.rglob("*") if each.is_file()]
        self.assertNotEqual([], files)
        for file in files:
            content = file.read_bytes()
            if file.suffix == ".zst":
                content = subprocess.run(
                    ["zstd", "--decompress", "--stdout", "--quiet", file],
                    check=True,
                    capture_output=True,
                ).stdout
            self.assert_no_secret(content, file)

    def test_a_build(self) -> None:
        done = self.run_build()
        self.assertEqual(0, done.status, done.stderr)
        log = self.output / f"{self.image}.d" / "build.log"
        self.assertIn("the token is (DIB_TINY_TOKEN)", log.read_text())
        manifest = log.with_name("manifest.json").read_text()
        self.assertIn("DIB_TINY_TOKEN", manifest)
        self.assertIn(self.address, manifest)
        self.assertEqual(set(), self.shown)
        self.assert_no_secret(done.stdout + done.stderr, "printed")
        # apt's files are root's
        process.run(process.as_root(["chmod", "-R", "a+r", self.cache]))
        for directory in (self.output, self.cache):
            self.assert_no_secret_below(directory)
        planned = self.plan("--format", "json")
        self.assertIn("keyed-sha256:", planned)
        self.assert_no_secret(planned + self.plan("--long"), "plan")
        # the same secrets, the same image
        again = self.run_build()
        self.assertIn("is up to date", again.stderr)

    def plan(self, *options: str) -> str:
        done = commands.run(
            "trove-image-builder", "plan", self.datastore,
            "--runtime", "native", "--elements-path", self.elements, *options,
        )  # fmt: skip
        self.assertEqual(0, done.status, done.stderr)
        return done.stdout + done.stderr

    def test_a_build_that_fails(self) -> None:
        tiny.hook(
            self.elements / "debian-minimal", "root", "61-fails",
            f"{_PRINT}false\n",
        )
        done = self.run_build()
        self.assertEqual(1, done.status, done.stderr)
        self.assertIn("the token is (DIB_TINY_TOKEN)", done.stderr)
        self.assertEqual(set(), self.shown)
        self.assert_no_secret(done.stdout + done.stderr, "printed")
        self.assert_no_secret_below(self.output)
