# SPDX-License-Identifier: Apache-2.0
"""The commands that the partx plugin gives, and their order."""

import pathlib
import pickle
import sys
import typing

from diskimage_builder.block_device import exception
from diskimage_builder.block_device import utils
from diskimage_builder.block_device.level1 import partitioning

from tests import base
from trove_tools.block_device import partx
from trove_tools.host import loopdevice
from trove_tools.host import mounts

MIB = 1024 * 1024
MBR = [
    {
        "name": "root",
        "base": "image0",
        "size": "100%",
        "flags": ["boot", "primary"],
    }
]
GPT = [
    {"name": "BSP", "base": "image0", "size": "8MiB", "type": "EF02"},
    {"name": "root", "base": "image0", "size": "100%"},
]
DELETE = ["partx", "--delete", "/dev/loop7"]


class PartxCase(base.TestCase):
    """A loop device that is a file, and no command that is run."""

    def setUp(self) -> None:
        super().setUp()
        self.image = self.temp_dir() / "image0.raw"
        self.image.write_bytes(b"")
        with self.image.open("r+b") as raw:
            raw.truncate(64 * MIB)
        self.commands: list[list[str]] = []
        self.failures: dict[str, int] = {}
        self.patch_object(utils, "exec_sudo", self.exec_sudo)
        self.patch_object(partitioning, "exec_sudo", self.exec_sudo)

        # what the kernel shows: two partitions, with nodes of their numbers
        self.sysfs = self.temp_dir()
        for number in (1, 2):
            entry = self.sysfs / f"loop7p{number}"
            entry.mkdir()
            (entry / "dev").write_text(f"259:{number}\n")
            (self.sysfs / "loop7" / entry.name).mkdir(parents=True)
        self.patch_object(loopdevice, "SYS_BLOCK", self.sysfs)
        self.nodes: dict[str, str] = {
            "/dev/loop7p1": "259:1",
            "/dev/loop7p2": "259:2",
        }
        self.patch_object(partx, "_number_of_node", self.nodes.get)
        self.mounts = self.temp_dir() / "mounts"
        self.set_mounts("devtmpfs /dev devtmpfs rw 0 0")
        self.patch_object(partx, "MOUNTS", self.mounts)
        self.patch_object(partx, "POLL_INTERVAL", 0.001)

    def set_mounts(self, *lines: str) -> None:
        self.mounts.write_text("".join(f"{line}\n" for line in lines))

    def exec_sudo(self, command: list[str]) -> str:
        """Note a command; fail it as often as ``failures`` says."""
        self.commands.append(command)
        key = " ".join(command[:2])
        if self.failures.get(key, 0) > 0:
            self.failures[key] -= 1
            raise exception.BlockDeviceSetupException(f"{key} failed")
        return ""

    def plugin(
        self, label: str, partitions: list[dict[str, typing.Any]]
    ) -> partx.PartxPartitioning:
        state = {
            "blockdev": {
                "image0": {"image": str(self.image), "device": "/dev/loop7"}
            }
        }
        config = {"base": "image0", "label": label, "partitions": partitions}
        return partx.PartxPartitioning(config, {}, state)

    def devices(self, plugin: partx.PartxPartitioning) -> dict[str, str]:
        return {
            name: entry["device"]
            for name, entry in plugin.state["blockdev"].items()
        }


class CreateTest(PartxCase):
    def test_mbr(self) -> None:
        plugin = self.plugin("mbr", MBR)
        for node in plugin.get_nodes():
            node.create()
        self.assertEqual(
            [["sync"], ["partx", "--update", "/dev/loop7"]], self.commands
        )
        self.assertEqual("/dev/loop7p1", self.devices(plugin)["root"])
        self.assertEqual(b"\x55\xaa", self.image.read_bytes()[510:512])

    def test_gpt(self) -> None:
        plugin = self.plugin("gpt", GPT)
        for node in plugin.get_nodes():
            node.create()
        self.assertEqual(
            [
                [
                    "sgdisk", "/dev/loop7",
                    "-n", "1:0:+8M", "-t", "1:EF02", "-c", "1:BSP",
                    "-n", "2:0:+54M", "-t", "2:8300", "-c", "2:root",
                ],
                ["sync"],
                ["partx", "--update", "/dev/loop7"],
            ],
            self.commands,
        )  # fmt: skip
        self.assertEqual("/dev/loop7p1", self.devices(plugin)["BSP"])
        self.assertEqual("/dev/loop7p2", self.devices(plugin)["root"])

    def test_logical_partitions_keep_their_numbers(self) -> None:
        layout = [
            {"name": "boot", "base": "image0", "size": "8MiB",
             "flags": ["boot", "primary"]},
            {"name": "root", "base": "image0", "size": "100%"},
        ]  # fmt: skip
        (self.sysfs / "loop7p5").mkdir()
        (self.sysfs / "loop7p5" / "dev").write_text("259:5\n")
        self.nodes["/dev/loop7p5"] = "259:5"
        plugin = self.plugin("mbr", layout)
        plugin.create()
        self.assertEqual("/dev/loop7p5", self.devices(plugin)["root"])

    def test_no_device_mapper(self) -> None:
        plugin = self.plugin("gpt", GPT)
        for node in plugin.get_nodes():
            node.create()
        for node in plugin.get_nodes():
            node.umount()
        for node in plugin.get_nodes():
            node.rollback()
        words = {word for command in self.commands for word in command}
        self.assertFalse({"kpartx", "dmsetup"} & words)

    def test_the_plugin_survives_pickling(self) -> None:
        plugin = self.plugin("gpt", GPT)
        for node in plugin.get_nodes():
            node.create()
        nodes = pickle.loads(pickle.dumps(plugin.get_nodes()))
        self.commands.clear()
        for node in nodes:
            node.umount()
        self.assertEqual([DELETE], self.commands)


class NodesTest(PartxCase):
    def test_a_node_that_comes_late(self) -> None:
        answers = iter([None, None, "259:1"])
        self.patch_object(
            partx, "_number_of_node", lambda device: next(answers)
        )
        self.plugin("mbr", MBR).create()
        self.assertEqual("--update", self.commands[-1][1])

    def test_a_partition_that_never_comes(self) -> None:
        self.patch_object(partx, "NODE_TIMEOUT", 0.01)
        (self.sysfs / "loop7p1" / "dev").unlink()
        failure = self.assertRaises(
            exception.BlockDeviceSetupException,
            self.plugin("mbr", MBR).create,
        )
        self.assertIn("/dev/loop7p1", str(failure))

    def test_devtmpfs_makes_its_nodes_itself(self) -> None:
        self.patch_object(partx, "NODE_TIMEOUT", 0.01)
        del self.nodes["/dev/loop7p1"]
        self.assertRaises(
            exception.BlockDeviceSetupException,
            self.plugin("mbr", MBR).create,
        )
        self.assertNotIn("mknod", [command[0] for command in self.commands])

    def test_a_plain_dev_gets_the_node_and_loses_it(self) -> None:
        self.set_mounts("tmpfs /dev tmpfs rw 0 0")
        del self.nodes["/dev/loop7p1"]
        plugin = self.plugin("mbr", MBR)
        plugin.create()
        self.assertEqual(
            [
                ["rm", "--force", "/dev/loop7p1"],
                ["mknod", "/dev/loop7p1", "b", "259", "1"],
            ],
            self.commands[2:],
        )
        self.commands.clear()
        plugin.umount()
        self.assertEqual(
            [DELETE, ["rm", "--force", "/dev/loop7p1"]], self.commands
        )

    def test_a_stale_node_is_replaced(self) -> None:
        self.set_mounts("tmpfs /dev tmpfs rw 0 0")
        self.nodes["/dev/loop7p1"] = "259:99"
        self.plugin("mbr", MBR).create()
        self.assertEqual(
            ["mknod", "/dev/loop7p1", "b", "259", "1"], self.commands[-1]
        )


class UmountTest(PartxCase):
    def created(self) -> partx.PartxPartitioning:
        plugin = self.plugin("gpt", GPT)
        for node in plugin.get_nodes():
            node.create()
        self.commands.clear()
        return plugin

    def test_only_the_last_partition_takes_them_away(self) -> None:
        nodes = self.created().get_nodes()
        nodes[1].umount()
        self.assertEqual([], self.commands)
        nodes[0].umount()
        self.assertEqual([DELETE], self.commands)

    def test_a_busy_partition_is_tried_again(self) -> None:
        plugin = self.created()
        self.failures["partx --delete"] = 3
        for node in plugin.get_nodes():
            node.umount()
        self.assertEqual([DELETE] * 4, self.commands)

    def test_a_partition_that_stays_busy_is_left_to_the_kernel(self) -> None:
        self.patch_object(partx, "DELETE_TIMEOUT", 0.01)
        self.patch_object(
            mounts,
            "find_holders",
            lambda devices: [mounts.Holder(4711, "sleep")],
        )
        self.set_mounts("tmpfs /dev tmpfs rw 0 0")
        del self.nodes["/dev/loop7p1"]
        plugin = self.created()
        self.failures["partx --delete"] = 1000000
        for node in plugin.get_nodes():
            node.umount()
        detach, remove = self.commands[-2:]
        self.assertEqual(
            ["-m", "trove_tools.host.loopdevice", "/dev/loop7"], detach[1:]
        )
        self.assertEqual(["rm", "--force", "/dev/loop7p1"], remove)

    def test_copies_in_other_namespaces_go_with_the_mount_point(self) -> None:
        self.patch_object(partx, "COPIES_TIMEOUT", 0.0)
        plugin = self.created()
        plugin.state["mount"] = {"/": {"path": "/build/mnt"}}
        self.failures["partx --delete"] = 1
        for node in plugin.get_nodes():
            node.umount()
        self.assertEqual(
            [DELETE, ["rmdir", "/build/mnt"], ["mkdir", "/build/mnt"], DELETE],
            self.commands,
        )

    def test_a_file_system_that_is_not_clean_is_no_image(self) -> None:
        self.patch_object(partx, "DELETE_TIMEOUT", 0.01)
        plugin = self.created()
        self.failures["partx --delete"] = 1000000
        self.failures[f"{sys.executable} -m"] = 1
        plugin.umount()
        self.assertRaises(
            exception.BlockDeviceSetupException, plugin.umount
        )


class RollbackTest(PartxCase):
    def test_what_is_mounted_goes_first(self) -> None:
        plugin = self.plugin("mbr", MBR)
        plugin.create()
        self.commands.clear()
        self.set_mounts("/dev/loop7p1 /tmp/mnt ext4 rw 0 0")
        for node in plugin.get_nodes():
            node.rollback()
        self.assertEqual(
            [["umount", "--all-targets", "/dev/loop7p1"], DELETE],
            self.commands,
        )

    def test_it_never_raises(self) -> None:
        plugin = self.plugin("gpt", GPT)
        plugin.create()
        self.patch_object(partx, "DELETE_TIMEOUT", 0.01)
        self.failures["partx --delete"] = 1000000
        for node in plugin.get_nodes():
            node.rollback()

    def test_after_a_failure_of_the_partition_table(self) -> None:
        plugin = self.plugin("gpt", GPT)
        self.failures["sgdisk /dev/loop7"] = 1
        self.assertRaises(exception.BlockDeviceSetupException, plugin.create)
        for entry in (self.sysfs / "loop7").iterdir():
            entry.rmdir()
        self.commands.clear()
        for node in plugin.get_nodes():
            node.rollback()
        # nothing was made, nothing is to be taken away
        self.assertEqual([], self.commands)


class EntryPointTest(base.TestCase):
    def test_the_elements_use_the_plugin(self) -> None:
        elements = pathlib.Path(base.ROOT, "trove_tools", "elements")
        layouts = sorted(elements.glob("*/block-device-default.yaml"))
        self.assertEqual(3, len(layouts))
        for layout in layouts:
            self.assertIn("- partx_partitioning:", layout.read_text())
