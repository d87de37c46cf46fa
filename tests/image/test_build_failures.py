# SPDX-License-Identifier: Apache-2.0
"""What a build that does not succeed leaves behind: a log, or nothing.

diskimage-builder runs for real, with a first hook that fails or waits, or is
served by a mirror that has nothing.
"""

import contextlib
import functools
import http.server
import os
import pathlib
import signal
import subprocess
import threading
import time

from tests import base
from tests import commands
from tests.image import tiny
from tests.standins import keys
from tests.standins import vendors
from trove_tools.catalog import loader
from trove_tools.cli import builder
from trove_tools.cli import exit_status
from trove_tools.host import loopdevice
from trove_tools.host import mounts
from trove_tools.host import process
from trove_tools.host import requirements

NAME = "trove-mariadb-11.8-debian-13-amd64"
PARTIAL = f".{NAME}.partial"


class Nothing(http.server.BaseHTTPRequestHandler):
    """Answers 404 to everything."""

    def do_GET(self) -> None:
        self.send_error(404)

    def log_message(self, *words: object) -> None:
        pass


class BuildCase(base.TestCase):
    timeout = 120
    datastore = "mariadb"
    image = NAME

    def setUp(self) -> None:
        super().setUp()
        if not requirements.may_be_root():
            self.skipTest("building needs root, or sudo without a password")
        self.output = self.temp_dir() / "out"
        self.output.mkdir()
        # nothing of an earlier build is reused
        self.set_env(TROVE_TOOLS_CACHE_DIR=str(self.temp_dir()))
        self.addCleanup(self.assert_nothing_left)

    def assert_nothing_left(self) -> None:
        self.assertEqual([], mounts.list_below(self.output))
        self.assertEqual([], loopdevice.find_below(self.output))
        self.assertFalse((self.output / f".{self.image}.partial").exists())
        self.assertFalse((self.output / f"{self.image}.qcow2").exists())

    def element(self, script: str) -> list[str]:
        """Return the options for a base whose first hook is a script."""
        elements = self.temp_dir()
        tiny.write(elements)
        hook = elements / "debian-minimal" / "root.d" / "00-trouble"
        hook.write_text(f"#!/bin/bash\nset -eu\n{script}\n")
        hook.chmod(0o755)
        return ["--elements-path", str(elements)]

    def build(self, *options: str) -> commands.Outcome:
        return commands.run(
            "trove-image-builder", "build", self.datastore,
            "--runtime", "native", "--output-dir", self.output, *options,
        )  # fmt: skip


class FailureTest(BuildCase):
    def test_hook_that_fails(self) -> None:
        done = self.build(*self.element("seq 1000\necho no such luck\nfalse"))
        self.assertEqual(1, done.status, done.stderr)
        self.assertEqual("", done.stdout)
        self.assertIn("in hook root.d/00-trouble", done.stderr)
        self.assertIn("  | no such luck", done.stderr)
        self.assertLess(len(done.stderr.splitlines()), 40)
        log = self.output / f"{NAME}.d" / "build-failed.log"
        self.assertIn(str(log), done.stderr)
        self.assertIn("no such luck", log.read_text())

    def test_mirror_without_the_release(self) -> None:
        server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Nothing)
        self.addCleanup(server.server_close)
        threading.Thread(target=server.serve_forever, daemon=True).start()
        self.addCleanup(server.shutdown)
        url = f"http://127.0.0.1:{server.server_port}/debian"
        done = self.build("--mirror", url, "--security-mirror", url)
        self.assertEqual(1, done.status, done.stderr)
        self.assertIn("--mirror", done.stderr.partition("hint: ")[2])

    def test_mirror_that_cannot_be_reached(self) -> None:
        with http.server.HTTPServer(("127.0.0.1", 0), Nothing) as server:
            url = f"http://127.0.0.1:{server.server_port}/debian"
        done = self.build("--mirror", url, "--security-mirror", url)
        self.assertEqual(1, done.status, done.stderr)
        self.assertIn("--mirror", done.stderr.partition("hint: ")[2])


class RepositoryTest(BuildCase):
    """A vendor's repository that is not to be trusted builds nothing."""

    datastore = "mysql"
    image = "trove-mysql-8.4-debian-13-amd64"

    def setUp(self) -> None:
        super().setUp()
        self.place = self.temp_dir()
        self.vendors = vendors.Vendors(
            self.place, loader.load(), [self.datastore]
        )
        self.addCleanup(self.vendors.close)
        (self.repository,) = self.place.glob("www/*/apt/debian")

    def key(self, *, expired: bool = False) -> keys.Key:
        made = keys.Key(self.temp_dir(), expired=expired)
        self.addCleanup(made.close)
        return made

    def refused(self, *options: str | os.PathLike[str]) -> str:
        done = self.build(*self.vendors.options(), *map(str, options))
        self.assertEqual(1, done.status, done.stderr)
        self.assertEqual("", done.stdout)
        self.assertNotIn("Traceback", done.stderr)
        self.assertIn("\nhint: ", done.stderr)
        # diskimage-builder was never begun
        self.assertNotIn("base system", done.stderr)
        return done.stderr

    def sign(self, key: keys.Key) -> None:
        for release in self.repository.glob("dists/*/Release"):
            release.with_name("InRelease").write_bytes(
                key.clearsign(release.read_text())
            )

    def test_wrong_key(self) -> None:
        said = self.refused("--repository-key", f"mysql={self.key().file}")
        self.assertIn("is not mysql's key", said)
        self.assertIn(self.vendors.key.fingerprint, said)

    def test_expired_key(self) -> None:
        old = self.key(expired=True)
        self.sign(old)
        said = self.refused(
            "--repository-key", f"mysql={old.file}",
            "--repository-fingerprint", f"mysql={old.fingerprint}",
        )  # fmt: skip
        self.assertIn("expired on 2020-01-02", said)

    def test_not_signed(self) -> None:
        for signed in self.repository.glob("dists/*/InRelease"):
            signed.unlink()
        self.assertIn("Release is not signed", self.refused())

    def test_tampered_with(self) -> None:
        for package in self.repository.glob("pool/**/*server*.deb"):
            package.write_bytes(package.read_bytes()[:-1] + b"x")
        self.assertIn("is not what was meant", self.refused())


class FullDiskTest(BuildCase):
    def test_cache_on_a_full_disk(self) -> None:
        layers = self.temp_dir() / "layers"
        layers.mkdir()
        process.run(
            process.as_root(
                ["mount", "-t", "tmpfs",
                 "-o", f"size=1m,mode=755,uid={os.getuid()}", "tmpfs", layers]
            )
        )  # fmt: skip
        self.addCleanup(
            process.run, process.as_root(["umount", os.fspath(layers)])
        )
        # or the build would not begin
        self.patch_object(requirements, "require_space", lambda *_: None)
        self.patch_object(exit_status, "_unwind_on_signals", lambda: None)
        _, err = self.capture()
        status = builder.main(
            ["build", "mariadb", "--runtime", "native",
             "--output-dir", str(self.output),
             "--cache-dir", str(layers.parent), *self.element("true")]
        )  # fmt: skip
        err.seek(0)
        said = err.read()
        self.assertEqual(1, status, said)
        self.assertIn("the disk is full", said)
        self.assertEqual([], list(layers.iterdir()))


class InterruptionTest(BuildCase):
    """Signals while hooks wait, with a tmpfs and a process in the way."""

    def setUp(self) -> None:
        super().setUp()
        self.waits = self.element(
            "cd $TMP_BUILD_DIR\necho here >>waiting\nsleep 300 & sleep 300"
        )

    def start(self) -> subprocess.Popen[str]:
        child = subprocess.Popen(
            commands.command_line(
                "trove-image-builder", "build", "mariadb",
                "--runtime", "native",
                "--output-dir", self.output, *self.waits,
            ),
            env={**os.environ, "PYTHONPATH": str(base.ROOT)},
            stdin=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
        )  # fmt: skip
        self.addCleanup(functools.partial(self.end, child))
        pattern = f"{PARTIAL}/work/dib_build.*/waiting"
        while not list(self.output.glob(pattern)):
            self.assertIsNone(child.poll())
            time.sleep(0.1)
        return child

    def end(self, child: subprocess.Popen[str]) -> None:
        if child.returncode is None:
            child.kill()
            child.communicate()

    def sleepers(self) -> list[int]:
        found = []
        for entry in pathlib.Path("/proc").iterdir():
            with contextlib.suppress(OSError):
                if os.readlink(entry / "cwd").startswith(str(self.output)):
                    found.append(int(entry.name))
        return found

    def test_signals(self) -> None:
        for number in (signal.SIGINT, signal.SIGTERM):
            child = self.start()
            self.assertNotEqual([], mounts.list_below(self.output))
            self.assertNotEqual([], self.sleepers())
            child.send_signal(number)
            _, said = child.communicate(timeout=60)
            self.assertEqual(130, child.returncode, said)
            self.assertIn("interrupted", said)
            self.assertEqual([], self.sleepers())
            self.assert_nothing_left()
            self.assertEqual([], list(self.output.iterdir()))

    def test_killed_builder_is_cleaned_up_by_the_next(self) -> None:
        child = self.start()
        child.kill()
        child.communicate()
        self.assertNotEqual([], mounts.list_below(self.output))
        # the same build, which fails at once this time
        done = self.build(*self.element("exit 5"))
        self.assertEqual(1, done.status, done.stderr)
        self.assertIn("status 5", done.stderr)
        self.assertEqual([], self.sleepers())

    def test_two_of_the_same_at_a_time(self) -> None:
        child = self.start()
        done = self.build(*self.waits)
        self.assertEqual(1, done.status)
        self.assertIn("another build", done.stderr)
        child.terminate()
        child.communicate(timeout=60)
