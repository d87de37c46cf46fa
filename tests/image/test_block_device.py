# SPDX-License-Identifier: Apache-2.0
"""Real layouts on a real loop device, and nothing left of them.

diskimage-builder's own front end reads our elements' layouts, finds the
plugin by its entry point, and makes, mounts and unmounts them.  Create and
umount are processes of their own, as in a build.

All that runs in a mount namespace of the test's own: a container that some
other test starts meanwhile would get a copy of the mounts, and hold them.
"""

import importlib.metadata
import json
import os
import pathlib
import shutil
import subprocess
import sys
import time
import typing

import yaml

from tests import base

ELEMENTS = base.ROOT / "trove_tools" / "elements"
PLUGINS = "diskimage_builder.block_device.plugin"
SUDO = ["sudo", "--non-interactive"]


class BlockDeviceTest(base.TestCase):
    timeout = 240

    def setUp(self) -> None:
        super().setUp()
        self.need_mount_namespaces()
        for program in ("losetup", "partx", "sgdisk", "mkfs.ext4", "sudo"):
            if not shutil.which(program, path="/usr/sbin:/sbin:/usr/bin:/bin"):
                self.skipTest(f"{program} is not installed")
        names = importlib.metadata.entry_points(group=PLUGINS).names
        if "partx_partitioning" not in names:
            self.skipTest("trove-tools is not installed, so has no plugin")
        if subprocess.run([*SUDO, "losetup", "--find"],
                          capture_output=True).returncode:  # fmt: skip
            self.skipTest("this user gets no loop device")
        self.directory = self.temp_dir()
        self.pid = self.start_namespace("unshare")
        self.addCleanup(self.tear_down_leftovers)

    def start_namespace(self, *command: str) -> str:
        """Start a process with its own mounts; returns its id."""
        keeper = subprocess.Popen(
            [*SUDO, *command, "--mount", "--propagation", "private",
             "sh", "-c", "echo $$; exec sleep 600"],
            stdout=subprocess.PIPE, text=True,
        )  # fmt: skip
        assert keeper.stdout is not None
        with keeper.stdout:
            pid = keeper.stdout.readline().strip()
        self.addCleanup(keeper.wait)
        self.addCleanup(
            subprocess.run, [*SUDO, "kill", pid], stderr=subprocess.DEVNULL
        )
        self.assertTrue(pid.isdigit(), "no mount namespace")
        return pid

    def inside(self, *argv: str) -> list[str]:
        """Return the command line that runs a program among our mounts."""
        mounts = f"--mount=/proc/{self.pid}/ns/mnt"
        return [*SUDO, "--preserve-env", "nsenter", mounts, *argv]

    def block_device(self, step: str, params: pathlib.Path) -> typing.Any:
        """Run diskimage-builder's block device front end."""
        variable = f"DIB_BLOCK_DEVICE_PARAMS_YAML={params}"
        return subprocess.run(
            self.inside(
                "env", variable, sys.executable, "-c",
                "import sys; from diskimage_builder.block_device import cmd; "
                "sys.exit(cmd.main())", step,
            ),
            capture_output=True, text=True, timeout=180,
        )  # fmt: skip

    def mounts(self) -> str:
        return self.ask(*self.inside("cat", "/proc/self/mounts"))

    def tear_down_leftovers(self) -> None:
        """Give back what a failed test left, and what is root's."""
        for device in self.loop_devices():
            for number in (1, 2):
                subprocess.run(
                    self.inside(
                        "umount", "--all-targets", f"{device}p{number}"
                    )
                )
            subprocess.run([*SUDO, "partx", "--delete", device])
            subprocess.run([*SUDO, "losetup", "--detach", device])
        subprocess.run([*SUDO, "rm", "-rf", str(self.directory / "states")])

    def loop_devices(self) -> list[str]:
        """Return the loop devices of this test's image."""
        listed = subprocess.run(
            [*SUDO, "losetup", "--list", "--json", "--output",
             "NAME,BACK-FILE"],
            capture_output=True, text=True, check=True,
        ).stdout  # fmt: skip
        devices = json.loads(listed or '{"loopdevices": []}')["loopdevices"]
        return [
            device["name"]
            for device in devices
            if (device["back-file"] or "").startswith(str(self.directory))
        ]

    def ask(self, *argv: str) -> str:
        """Return what a program says, found where root finds it."""
        return subprocess.run(
            argv if argv[0] == SUDO[0] else [*SUDO, *argv],
            capture_output=True,
            text=True,
            check=True,
        ).stdout.strip()

    def params(self, layout: list[typing.Any]) -> pathlib.Path:
        config = self.directory / "config.yaml"
        config.write_text(yaml.safe_dump(layout))
        params = self.directory / "params.yaml"
        params.write_text(
            yaml.safe_dump(
                {
                    "config": str(config),
                    "image-dir": str(self.directory),
                    "image-size": "65536KiB",
                    "root-fs-type": "ext4",
                    "root-label": None,
                    "mount-base": str(self.directory / "mnt"),
                    "build-dir": str(self.directory),
                }
            )
        )
        return params

    def layout(self, table: str) -> list[typing.Any]:
        element = ELEMENTS / f"block-device-trove-{table}"
        text = (element / "block-device-default.yaml").read_text()
        return typing.cast(list[typing.Any], yaml.safe_load(text))

    def run_step(self, step: str, params: pathlib.Path) -> None:
        done = self.block_device(step, params)
        self.assertEqual(0, done.returncode, done.stdout + done.stderr)

    def assert_nothing_left(self, device: str) -> None:
        self.assertEqual([], self.loop_devices())
        name = os.path.basename(device)
        self.assertEqual([], list(pathlib.Path("/dev").glob(f"{name}p*")))
        self.assertNotIn(str(self.directory), self.mounts())

    def check_layout(self, table: str, root: int) -> None:
        params = self.params(self.layout(table))
        self.run_step("init", params)
        self.run_step("create", params)
        (device,) = self.loop_devices()

        mounts = self.mounts()
        self.assertIn(f"{device}p{root} {self.directory}/mnt ext4 ", mounts)
        subprocess.run(
            self.inside("tee", str(self.directory / "mnt" / "proof")),
            input=b"written", stdout=subprocess.DEVNULL, check=True,
        )  # fmt: skip
        self.run_step("umount", params)
        self.assert_nothing_left(device)

        # the partition holds what was written, seen without our plugin
        image = str(self.directory / "image0.raw")
        self.assertEqual(
            {"mbr": "dos", "gpt": "gpt"}[table],
            self.ask("blkid", "-p", "-o", "value", "-s", "PTTYPE", image),
        )
        starts = self.ask("partx", "--show", "--noheadings",
                          "--output", "START", image).split()  # fmt: skip
        start = int(starts[root - 1]) * 512
        self.assertEqual(0, start % (1024 * 1024))
        self.assertEqual(
            "written",
            self.ask("debugfs", "-R", "cat /proof", f"{image}?offset={start}"),
        )

    def test_mbr(self) -> None:
        self.check_layout("mbr", root=1)

    def test_gpt(self) -> None:
        self.check_layout("gpt", root=2)

    def start_holder(self, *command: str) -> str:
        """Start a process with a copy of the mounts; returns its id."""
        held = f"nsenter --mount=/proc/{self.pid}/ns/mnt unshare"
        return self.start_namespace(*held.split(), *command)

    def test_a_copy_of_the_mount_elsewhere_is_unmounted(self) -> None:
        params = self.params(self.layout("mbr"))
        self.run_step("init", params)
        self.run_step("create", params)
        (device,) = self.loop_devices()
        # as any container or service that starts during a build
        pid = self.start_holder()
        self.run_step("umount", params)
        self.assert_nothing_left(device)
        self.assertTrue(os.path.exists(f"/proc/{pid}"))

    def test_who_works_in_a_copy_does_not_spoil_the_image(self) -> None:
        params = self.params(self.layout("mbr"))
        self.run_step("init", params)
        self.run_step("create", params)
        (device,) = self.loop_devices()
        pid = self.start_holder(f"--wd={self.directory}/mnt")
        done = self.block_device("umount", params)
        self.assertEqual(0, done.returncode, done.stdout + done.stderr)
        self.assertIn(f"{device} is still in use", done.stdout + done.stderr)
        # what is in the image is complete and clean
        image = str(self.directory / "image0.raw")
        offset = int(self.ask("partx", "--show", "--noheadings",
                              "--output", "START", image)) * 512  # fmt: skip
        features = self.ask("dumpe2fs", "-h", f"{image}?offset={offset}")
        self.assertIn("has_journal", features)
        self.assertNotIn("needs_recovery", features)
        self.ask("kill", pid)
        end = time.monotonic() + 20
        while self.loop_devices():
            self.assertLess(time.monotonic(), end)
            time.sleep(0.1)
        self.assert_nothing_left(device)

    def check_rollback(self, table: str) -> None:
        layout = self.layout(table)
        partitions = layout[1]["partx_partitioning"]["partitions"]
        # no such option: mkfs fails after the partitions were made
        partitions[-1]["mkfs"]["opts"] = "--no-such-option"
        params = self.params(layout)
        self.run_step("init", params)
        done = self.block_device("create", params)
        self.assertNotEqual(0, done.returncode)
        output = done.stdout + done.stderr
        self.assertIn("no-such-option", output)
        self.assertIn("Rollback complete", output)
        # the attempt got as far as the partitions
        self.assertIn("partx --update /dev/loop", output)
        device = output.partition("partx --update ")[2].split("]")[0]
        self.assert_nothing_left(device)

    def test_a_failing_mkfs_rolls_back_an_mbr(self) -> None:
        self.check_rollback("mbr")

    def test_a_failing_mkfs_rolls_back_a_gpt(self) -> None:
        self.check_rollback("gpt")

    def test_a_failing_mount_rolls_back(self) -> None:
        layout = self.layout("mbr")
        partitions = layout[1]["partx_partitioning"]["partitions"]
        partitions[0]["size"] = "50%"
        # no file system takes a name as long as this one's mount point; by
        # then the root file system is mounted
        partitions.append(
            {
                "name": "data",
                "flags": ["primary"],
                "size": "100%",
                "mkfs": {
                    "type": "ext4",
                    "mount": {"mount_point": "/" + "x" * 300},
                },
            }
        )
        params = self.params(layout)
        self.run_step("init", params)
        done = self.block_device("create", params)
        self.assertNotEqual(0, done.returncode)
        output = done.stdout + done.stderr
        self.assertIn("Calling [sudo mount /dev/loop", output)
        self.assertIn("Rollback complete", output)
        device = output.partition("partx --update ")[2].split("]")[0]
        self.assert_nothing_left(device)
