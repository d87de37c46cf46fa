# SPDX-License-Identifier: Apache-2.0
"""The base of the tests of verify with Trove's own guest agent."""

import collections.abc
import contextlib
import os
import pathlib
import tempfile
import time
import typing

from tests import base as tests_base
from tests import commands
from tests.image import base
from trove_tools.host import loopdevice
from trove_tools.host import process
from trove_tools.verify import disks
from trove_tools.verify import machine

DEPLOYMENTS = tests_base.ROOT / "tests/deployments"

# on a host that has other things to do
_TIMEOUT = 1800.0


def list_checks(datastore: str) -> list[str]:
    """Return the checks of an instance, in their order."""
    return [
        f"{datastore}: {name}"
        for name in (
            "agent answers", "no known defect", "prepare", "SQL", "restart",
        )
    ]  # fmt: skip


class AgentCase(base.TestCase):
    def setUp(self) -> None:
        super().setUp()
        if os.geteuid() != 0:
            self.skipTest("containers and mounts need root")
        self.need_container_machine()
        self.good = self.container_image()
        self.place = self.temp_dir()
        self.scratch = self.temp_dir()
        self.state = self.temp_dir()
        self.set_env(TMPDIR=str(self.scratch), XDG_STATE_HOME=str(self.state))
        self.patch_object(tempfile, "tempdir", str(self.scratch))
        self.addCleanup(self.nothing_is_left)

    def running(self) -> list[str]:
        """Return the command lines of what works in this test's place."""
        found = []
        for entry in pathlib.Path("/proc").glob("[0-9]*"):
            with contextlib.suppress(OSError):
                line = (entry / "cmdline").read_text()
                here = os.readlink(entry / "cwd").startswith(str(self.scratch))
                if here or str(self.scratch) in line:
                    found.append(line)
        return found

    def wait_for_end(self) -> None:
        """Wait for processes that end by themselves.

        Erlang's program that starts others ends after the broker has ended.
        """
        deadline = time.monotonic() + 30
        while self.running() and time.monotonic() < deadline:
            time.sleep(0.2)

    def nothing_is_left(self) -> None:
        """See that no process, mount, loop device or file has stayed."""
        place = str(self.scratch)
        self.wait_for_end()
        self.assertEqual([], self.running())
        self.assertNotIn(place, pathlib.Path("/proc/mounts").read_text())
        self.assertNotIn(place, process.run(["losetup", "--all"]).stdout)
        self.assertEqual([], os.listdir(self.scratch))
        # another verify may end just now: so look twice
        self.assertEqual(set(), self.abandoned() & self.abandoned())

    def abandoned(self) -> set[str]:
        """Return the loop devices on memory that no process has open."""
        devices = {
            line.partition(":")[0]
            for line in process.run(["losetup", "--all"]).stdout.splitlines()
            if "/dev/shm/" in line
        }
        return devices - self.opened()

    def opened(self) -> set[str]:
        """Return what all processes have open."""
        found = set()
        for entry in pathlib.Path("/proc").glob("[0-9]*/fd/*"):
            with contextlib.suppress(OSError):
                found.add(os.readlink(entry))
        return found

    def verify(
        self,
        image: pathlib.Path,
        *words: str | os.PathLike[str],
        datastore: str = "mariadb",
        kind: str = machine.CONTAINER,
        level: str = "agent",
    ) -> commands.Outcome:
        return base.builder(
            "verify", image, "--level", level, "--machine", kind,
            "--datastore", datastore, "--format", "json", "--force",
            *words,
            timeout=_TIMEOUT,
        )  # fmt: skip

    @contextlib.contextmanager
    def planted(
        self, defect: str = "broken"
    ) -> collections.abc.Iterator[pathlib.Path]:
        """Return the root of a copy of the image, for a defect."""
        raw = self.place / f"{defect}.raw"
        process.run([disks.TOOL, "convert", "-O", "raw", self.good, raw])
        offset, size = loopdevice.find_largest_partition(raw)
        root = self.place / defect
        root.mkdir()
        options = f"loop,offset={offset},sizelimit={size}"
        process.run(["mount", "-o", options, raw, root])
        try:
            yield root
        finally:
            process.run(["umount", root])
        # smaller by all that was never written
        process.run(
            [disks.TOOL, "convert", "-O", "qcow2", raw, f"{root}.qcow2"]
        )
        raw.unlink()

    def fails(
        self, *words: str, defect: str = "broken", **how: str
    ) -> dict[str, typing.Any]:
        """Return the first failed check of the image that has a defect."""
        broken = self.place / f"{defect}.qcow2"
        outcome = self.verify(broken, *words, **how)
        self.assertEqual(1, outcome.status, outcome.stderr)
        self.assertNotIn("Traceback (most", outcome.stderr.split("error:")[0])
        failed: list[dict[str, typing.Any]] = [
            check for check in outcome.json()["checks"] if not check["ok"]
        ]
        return failed[0]
