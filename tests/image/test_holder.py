# SPDX-License-Identifier: Apache-2.0
"""A process of another mount namespace that holds what a build mounted."""

import signal
import subprocess

from tests import base
from tests import commands
from tests.image import tiny
from trove_tools.host import loopdevice
from trove_tools.host import mounts
from trove_tools.host import process
from trove_tools.host import requirements

# as an unrelated `unshare -m`, or a container engine that starts meanwhile;
# of a session of its own, so that it does not end with the hook
_HOLD = """\
cd /
sudo setsid unshare --mount --propagation private \
    sh -c 'echo $$ > {file}; exec sleep 600' < /dev/null > /dev/null 2>&1 &
until [ -s {file} ]; do sleep 0.1; done
"""


class HolderTest(base.TestCase):
    timeout = 300

    def setUp(self) -> None:
        super().setUp()
        if not requirements.may_be_root():
            self.skipTest("building needs root, or sudo without a password")
        self.need_mount_namespaces()
        self.place = self.temp_dir()
        self.pid = self.place / "pid"
        self.elements = self.place / "elements"
        tiny.write(self.elements)
        self.hook = self.elements / "trove-guest-agent"
        self.addCleanup(self.end_holder)

    def end_holder(self) -> None:
        if self.pid.exists():
            pid = self.pid.read_text().strip()
            process.run(process.as_root(["kill", pid]), check=False)
            self.pid.unlink()

    def words(self, output: str) -> list[str]:
        """Return the command line of a build, without the program."""
        return [
            "build", "mariadb", "--runtime", "native", "--format", "json",
            "--elements-path", str(self.elements),
            "--output-dir", str(self.place / output),
            "--cache-dir", str(self.place / "cache"),
        ]  # fmt: skip

    def build(self, output: str) -> commands.Outcome:
        return commands.run("trove-image-builder", *self.words(output))

    def hold(self, phase: str) -> None:
        """Let a process start that keeps what is mounted in a phase."""
        tiny.hook(
            self.hook, phase, "60-tiny-hold", _HOLD.format(file=self.pid)
        )

    def holds(self) -> list[mounts.Mount]:
        """Return what of ours the process still has mounted."""
        pid = int(self.pid.read_text())
        return [
            mount
            for mount in mounts.read_mounts(pid)
            if mount.point.is_relative_to(self.place)
        ]

    def test_finished_image_is_published(self) -> None:
        self.hold("pre-finalise")
        built = self.build("one")
        self.assertEqual(0, built.status, built.stderr)
        self.assertEqual([], self.holds())
        self.assertEqual([], mounts.list_below(self.place))
        self.assertEqual([], loopdevice.find_below(self.place))
        self.assertEqual([], list((self.place / "one").glob(".*")))
        # no journal is to be replayed: the image is complete
        raw = self.place / "raw"
        image = built.json()["image"]
        process.run(["qemu-img", "convert", "-O", "raw", image, raw])
        offset, _ = loopdevice.find_largest_partition(raw)
        features = process.run(["dumpe2fs", "-h", f"{raw}?offset={offset}"])
        self.assertIn("has_journal", features.stdout)
        self.assertNotIn("needs_recovery", features.stdout)

    def test_leftovers_of_a_killed_build(self) -> None:
        self.hold("pre-finalise")
        tiny.hook(
            self.hook, "pre-finalise", "70-tiny-kill",
            f"kill -9 $(cat {self.place / 'builder'})\n",
        )  # fmt: skip
        line = commands.command_line("trove-image-builder", *self.words("one"))
        child = subprocess.Popen(
            ["sh", "-c", f'echo $$ > {self.place}/builder; exec "$@"', "sh",
             *line],
            cwd=base.ROOT, stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        )  # fmt: skip
        self.assertEqual(-signal.SIGKILL, child.wait())
        self.assertNotEqual([], self.holds())
        done = commands.run(
            "trove-image-builder", "doctor", "--clean",
            "--cache-dir", self.place / "cache",
        )  # fmt: skip
        self.assertIn("removed: ", done.stderr)
        self.assertNotIn("warning: ", done.stderr)
        self.assertEqual([], self.holds())
        self.assertEqual([], mounts.list_below(self.place))
        self.assertEqual([], loopdevice.find_below(self.place))
        self.assertEqual([], list((self.place / "one").glob(".*")))
