# SPDX-License-Identifier: Apache-2.0
"""Where a container can be had, which machine is used, and partitions."""

import os
import pathlib
import platform
import shutil
import socket
import struct

from tests import base
from trove_tools import errors
from trove_tools.host import hosttools
from trove_tools.host import loopdevice
from trove_tools.host import process
from trove_tools.verify import container
from trove_tools.verify import machine
from trove_tools.verify import machines
from trove_tools.verify import processes
from trove_tools.verify import qemu
from trove_tools.verify import qemu_command


class RootTest(base.TestCase):
    def test_the_largest_partition(self) -> None:
        if shutil.which("partx") is None:
            self.skipTest("partx is not installed")
        file = self.temp_dir() / "disk.raw"
        entries = b"".join(
            struct.pack("<IIII", 0, kind, first, size)
            for kind, first, size in ((0xEF, 2048, 100), (0x83, 4096, 900))
        )
        head = bytes(446) + entries + bytes(32) + b"\x55\xaa"
        file.write_bytes(head.ljust(6000 * 512, b"\0"))
        self.assertEqual(
            (4096 * 512, 900 * 512), loopdevice.find_largest_partition(file)
        )

    def test_no_partition(self) -> None:
        self.fake_program("partx", "exit 1")
        error = self.assertRaises(
            errors.ImageError,
            loopdevice.find_largest_partition,
            self.temp_dir() / "x",
            pathlib.Path("some/image.qcow2"),
        )
        self.assertIn(
            "some/image.qcow2 has no partition table", error.message
        )


class RequireTest(base.TestCase):
    """Why a host has no such machine."""

    def refused(self, arch: str = "amd64") -> str:
        error = self.assertRaises(
            errors.MissingToolError, container.require, arch
        )
        return f"{error.message}: {error.hint}"

    def test_it_needs_root(self) -> None:
        self.patch_object(os, "geteuid", lambda: 1000)
        self.assertIn("sudo", self.refused())

    def test_not_in_a_chroot(self) -> None:
        self.patch_object(os, "geteuid", lambda: 0)
        self.patch_object(hosttools, "in_chroot", lambda: True)
        self.assertIn("chroot", self.refused())

    def test_what_else_is_missing(self) -> None:
        self.patch_object(os, "geteuid", lambda: 0)
        self.patch_object(hosttools, "in_chroot", lambda: False)
        self.patch_object(platform, "machine", lambda: "x86_64")
        self.assertIn("programs for arm64", self.refused("arm64"))
        self.patch_object(process, "find", lambda tool: None)
        self.assertIn("systemd-nspawn", self.refused())


class MachinesTest(base.TestCase):
    """Which machines look at an image."""

    def choose(
        self, wanted: str = "auto", level: str = "agent", **lacks: str
    ) -> machines.Machines:
        kvm = lacks.pop("kvm", "")
        self.patch_object(
            qemu_command,
            "choose_accelerator",
            lambda _: qemu_command.Accelerator(
                "kvm" if kvm else "tcg", "a test", "", ""
            ),
        )
        for module, kind in ((qemu, "qemu"), (container, "container")):
            why = lacks.get(kind, "")

            def require(arch: str, why: str = why) -> None:
                if why:
                    raise errors.MissingToolError(why, hint=f"mend {why}")

            self.patch_object(module, "require", require)
        return machines.choose_machines(wanted, machine.Settings(), level)

    def test_with_kvm(self) -> None:
        self.assertEqual(("qemu",), self.choose(kvm="yes").kinds)

    def test_without_kvm(self) -> None:
        found = self.choose()
        self.assertEqual(("qemu", "container"), found.kinds)
        self.assertEqual("tcg", found.accelerator)
        self.assertIn("QEMU emulates a boot", found.notes[0])
        self.assertEqual(("qemu",), self.choose(level="boot").kinds)

    def test_life_needs_a_container(self) -> None:
        found = self.choose(kvm="yes", level="life")
        self.assertEqual(("qemu", "container"), found.kinds)

    def test_one_is_missing(self) -> None:
        found = self.choose(container="it needs root")
        self.assertEqual(("qemu",), found.kinds)
        self.assertIn("it needs root", found.notes[0])
        found = self.choose(qemu="not installed")
        self.assertEqual(("container",), found.kinds)
        self.assertEqual("no QEMU: not installed", found.absent)
        self.assertEqual("", found.accelerator)

    def test_both_are_missing(self) -> None:
        error = self.assertRaises(
            errors.MissingToolError, self.choose, qemu="a", container="b"
        )
        self.assertIn("qemu: a; container: b", error.message)
        self.assertIn("mend a; or mend b", error.hint)

    def test_one_is_asked_for(self) -> None:
        self.assertEqual(("qemu",), self.choose("qemu").kinds)
        found = self.choose("container", kvm="yes")
        self.assertEqual(("container",), found.kinds)
        error = self.assertRaises(
            errors.MissingToolError, self.choose, "container", container="b"
        )
        self.assertEqual("b", error.message)


class ChildrenTest(base.TestCase):
    def test_a_child_ends_with_its_context(self) -> None:
        log = self.temp_dir() / "log"
        with processes.run_child(["sleep", "60"], log) as child:
            self.assertIsNone(child.poll())
        self.assertIsNotNone(child.poll())

    def test_a_free_port(self) -> None:
        port = processes.find_free_port()
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", port))

    def test_the_tail_of_a_log(self) -> None:
        log = self.temp_dir() / "log"
        self.assertEqual([], processes.read_tail(log))
        log.write_text("a\n\nb\nc\n")
        self.assertEqual(["b", "c"], processes.read_tail(log, 2))
