# SPDX-License-Identifier: Apache-2.0
"""The guest's disks and seeds, and who may make them."""

import json
import os
import shutil
import socket
import struct

from tests import base
from trove_tools import errors
from trove_tools import partitions
from trove_tools.verify import children
from trove_tools.verify import configdrive
from trove_tools.verify import disks
from trove_tools.verify import namespace
from trove_tools.verify import qemu
from trove_tools.verify import root
from trove_tools.verify import seed


class RootTest(base.TestCase):
    def test_the_largest_partition(self) -> None:
        for tool in root.TOOLS:
            if shutil.which(tool) is None:
                self.skipTest(f"{tool} is not installed")
        file = self.temp_dir() / "disk.raw"
        entries = b"".join(
            struct.pack("<IIII", 0, kind, first, size)
            for kind, first, size in ((0xEF, 2048, 100), (0x83, 4096, 900))
        )
        head = bytes(446) + entries + bytes(32) + b"\x55\xaa"
        file.write_bytes(head.ljust(6000 * 512, b"\0"))
        self.assertEqual((4096 * 512, 900 * 512), partitions.largest(file))
        copied = root.copy(
            disks.Disk(file, "raw", 6000 * 512), file.with_name("copy")
        )
        self.assertEqual(4096 * 512, copied.offset)
        self.assertEqual(file.read_bytes(), copied.file.read_bytes())

    def test_no_partition(self) -> None:
        self.fake_program("partx", "exit 1")
        error = self.assertRaises(
            errors.ImageError, partitions.largest, self.temp_dir() / "x"
        )
        self.assertIn("no partition table", error.message)


class ConfigDriveTest(base.TestCase):
    def test_it_is_as_nova_makes_it(self) -> None:
        if shutil.which(seed.TOOL) is None:
            self.skipTest(f"{seed.TOOL} is not installed")
        place = self.temp_dir()
        sent = "#cloud-config\nwrite_files: []\n"
        known = seed.Secrets("n0", "u", "p")
        image = configdrive.make(known, {"id": "i1", "user_data": sent}, place)
        self.assertEqual(qemu.SEED, image.name)
        data = image.read_bytes()
        self.assertEqual(b"config-2", data[32808:32840].strip().lower())
        latest = place / "seed/openstack/latest"
        # what Trove sends, and nothing else
        self.assertEqual(sent, (latest / "user_data").read_text())
        meta = json.loads((latest / "meta_data.json").read_text())
        self.assertEqual("i1", meta["uuid"])
        vendor = json.loads((latest / "vendor_data.json").read_text())
        hook = vendor["cloud-init"]
        self.assertTrue(hook.startswith("#cloud-boothook\n"))
        for name in ("guest_report", "evidence"):
            self.assertIn(f"trove-verify-{name}", hook)
        network = json.loads((latest / "network_data.json").read_text())
        self.assertEqual(qemu.MAC, network["links"][0]["ethernet_mac_address"])


class NamespaceTest(base.TestCase):
    def test_it_needs_root(self) -> None:
        self.patch_object(namespace.process, "require", lambda *tools: None)
        self.patch_object(os, "geteuid", lambda: 1000)
        error = self.assertRaises(errors.UsageError, namespace.require)
        self.assertIn("root", error.message)
        self.assertIn("--tier vm", error.hint)


class ChildrenTest(base.TestCase):
    def test_a_child_ends_with_its_context(self) -> None:
        log = self.temp_dir() / "log"
        with children.child(["sleep", "60"], log) as child:
            self.assertIsNone(child.poll())
        self.assertIsNotNone(child.poll())

    def test_a_free_port(self) -> None:
        port = children.free_port()
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", port))

    def test_the_tail_of_a_log(self) -> None:
        log = self.temp_dir() / "log"
        self.assertEqual([], children.tail(log))
        log.write_text("a\n\nb\nc\n")
        self.assertEqual(["b", "c"], children.tail(log, 2))
