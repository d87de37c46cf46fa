# SPDX-License-Identifier: Apache-2.0
"""kill -9, at any moment: nothing wrong is left, and nothing of ours stays.

The image is tiny, the rest is real: each try is a few seconds.  A build is
killed in each phase of each layer, and at random moments; then the next one
of another image in another directory must find and take down what there is.
"""

import contextlib
import os
import pathlib
import random
import subprocess
import time

from tests import base
from tests import commands
from tests.image import tiny
from trove_tools.artifact import manifest
from trove_tools.build import dib
from trove_tools.host import digests
from trove_tools.host import liveness
from trove_tools.host import loopdevice
from trove_tools.host import mounts
from trove_tools.host import process
from trove_tools.host import requirements
from trove_tools.plan import layers

_PHASES = [
    (layer, phase)
    for layer in layers.NAMES
    for phase in (*tiny.OUTSIDE, *tiny.INSIDE)
]


class KillTest(base.TestCase):
    timeout = None

    def setUp(self) -> None:
        super().setUp()
        if not requirements.may_be_root():
            self.skipTest("building needs root, or sudo without a password")
        self.place = self.temp_dir()
        self.elements = self.place / "elements"
        tiny.write(self.elements)
        self.cache = self.place / "cache"
        self.output = self.place / "out"
        self.random = random.Random(5)
        self.addCleanup(self.take_down)

    def take_down(self) -> None:
        self.doctor()
        self.assert_nothing_left()

    def command(
        self, *words: str, datastores: tuple[str, ...] = ("mariadb",)
    ) -> list[str]:
        return commands.command_line(
            "trove-image-builder", "build", *datastores, "--runtime", "native",
            "--elements-path", self.elements, "--cache-dir", self.cache,
            "--output-dir", self.output, *words,
        )  # fmt: skip

    def doctor(self) -> None:
        done = commands.run(
            "trove-image-builder", "doctor", "--clean",
            "--cache-dir", self.cache,
        )  # fmt: skip
        self.assertNotIn("warning", done.stderr)

    def start(
        self, *words: str, datastores: tuple[str, ...] = ("mariadb",)
    ) -> subprocess.Popen[bytes]:
        return subprocess.Popen(
            self.command(*words, datastores=datastores),
            env={**os.environ, "PYTHONPATH": str(base.ROOT)},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )

    def log(self) -> str:
        texts = []
        for file in self.output.glob(".*.partial/*.d/build.log"):
            with contextlib.suppress(FileNotFoundError):
                texts.append(file.read_text(errors="replace"))
        return "".join(texts)

    def kill_in(self, layer: str, phase: str, *words: str) -> None:
        """Build, and kill the builder in a phase."""
        child = self.start(*words)
        while f"| {layer} {phase}\n" not in self.log():
            self.assertIsNone(child.poll(), (layer, phase))
            time.sleep(0.02)
        child.kill()
        child.wait()

    def kill_after(self, seconds: float) -> None:
        child = self.start("--fresh")
        try:
            child.wait(seconds)
        except subprocess.TimeoutExpired:
            child.kill()
            child.wait()

    def assert_no_wrong_image(self) -> None:
        """Whatever has the final name is a whole image."""
        for image in self.output.glob("*.qcow2"):
            made = manifest.read(image)
            assert made is not None
            self.assertEqual(
                made.image.sha256,
                digests.compute(image, ["sha256"])["sha256"],
            )

    def assert_nothing_left(self) -> None:
        self.assertEqual([], mounts.list_below(self.place))
        self.assertEqual([], loopdevice.find_below(self.place))
        self.assertEqual([], list(self.output.glob(".*")))
        for name in ("workspaces", "layers"):
            names = [each.name for each in (self.cache / name).glob("*")]
            self.assertEqual([], [n for n in names if n.startswith(".")])
        self.assertEqual([], list((self.cache / "workspaces").glob("*")))
        self.assertEqual([], self.processes())

    def processes(self) -> list[str]:
        """Return the programs that work below our directory."""
        found = []
        for entry in pathlib.Path("/proc").iterdir():
            try:
                if os.readlink(entry / "cwd").startswith(str(self.place)):
                    found.append((entry / "cmdline").read_text())
            except OSError:
                continue
        return found

    def build(self, output: pathlib.Path) -> None:
        """Build to the end, into a directory of its own."""
        done = commands.run(
            "trove-image-builder", *self.command()[3:],
            "--output-dir", output,
        )  # fmt: skip
        self.assertEqual(0, done.status, done.stderr)

    def test_some(self) -> None:
        # where most is mounted and attached: a chroot, then a disk in use
        for layer, phase in (("runtime", "install"), ("agent", "finalise")):
            self.kill_in(layer, phase)
            self.assertNotEqual([], mounts.list_below(self.place))
            self.assert_no_wrong_image()
        self.assertNotEqual([], loopdevice.find_below(self.place))
        # the next build finds it, though it is of another directory
        self.build(self.place / "other")
        self.assert_nothing_left()

    def jobs(self, parent: int) -> list[liveness.Process]:
        """Return the processes that build for a parent."""
        found = []
        for entry in pathlib.Path("/proc").glob("[0-9]*"):
            with contextlib.suppress(OSError):
                status = (entry / "status").read_text()
                line = (entry / "cmdline").read_text()
                process = liveness.identify(int(entry.name))
                if (
                    f"\nPPid:\t{parent}\n" in status
                    and "trove_tools.cli.build" in line
                    and process
                ):
                    found.append(process)
        return found

    def test_several_at_a_time(self) -> None:
        """What a killed build has started ends, and undoes what it began."""
        child = self.start(
            "--jobs", "2", "--guest", "debian-12",
            datastores=("mariadb", "postgresql"),
        )  # fmt: skip
        while "| base install\n" not in self.log():
            self.assertIsNone(child.poll())
            time.sleep(0.02)
        names = [place.name for place in self.output.glob(".*.partial")]
        known = self.jobs(child.pid)
        child.kill()
        child.wait()
        self.assertEqual(2, len(known), known)
        # the children build what the parent has planned
        self.assertEqual(2, len(names), names)
        for name in names:
            self.assertIn("debian-12", name)
        end = time.monotonic() + 60
        while any(map(liveness.alive, known)):
            self.assertLess(time.monotonic(), end, known)
            time.sleep(0.1)
        self.assert_nothing_left()

    def test_everything(self) -> None:
        self.need_time("half an hour")
        moments = [self.random.uniform(0.1, 25) for _ in range(20)]
        for kill in [*_PHASES, *moments]:
            if isinstance(kill, float):
                self.kill_after(kill)
            else:
                self.kill_in(*kill, "--fresh")
            self.assert_no_wrong_image()
            self.doctor()
            self.assert_nothing_left()
        # what the cache has is sound, and enough to go on with
        self.build(self.output)
        self.assert_no_wrong_image()
        self.assert_nothing_left()


assert set(tiny.OUTSIDE) | set(tiny.INSIDE) <= set(dib.PHASES)


class RemoveTest(base.TestCase):
    """What a test removes that left a mount in its directory."""

    def test_what_is_mounted_stays(self) -> None:
        if os.geteuid() != 0:
            self.skipTest("mounting needs root")
        mounted, directory = self.temp_dir(), self.temp_dir()
        (mounted / "device").touch()
        inside = directory / "dev"
        inside.mkdir()
        process.run(["mount", "--bind", mounted, inside])
        base.remove(directory)
        self.assertFalse(directory.exists())
        self.assertTrue((mounted / "device").exists())
