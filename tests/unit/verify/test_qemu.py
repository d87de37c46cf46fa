# SPDX-License-Identifier: Apache-2.0
"""QEMU's command line, and a QEMU that does not start."""

import dataclasses
import os
import typing

from tests import base
from trove_tools import errors
from trove_tools.verify import accel
from trove_tools.verify import qemu

_USERNET = """\
Hub -1 (net):
  Protocol[State]    FD  Source Address  Port   Dest. Address  Port RecvQ SendQ
  TCP[HOST_FORWARD]  15       127.0.0.1 40123       10.0.2.15  3306     0     0
  TCP[HOST_FORWARD]  16       127.0.0.1 40124       10.0.2.15  5432     0     0
  TCP[ESTABLISHED]   17       127.0.0.1 40123       10.0.2.15  3306     0     0
"""


def hardware(*ports: int, arch: str = "amd64") -> qemu.Hardware:
    return qemu.Hardware(
        arch=arch,
        accelerator=accel.Accelerator("tcg", "a test", cpu="max"),
        memory=512,
        cpus=1,
        ports=ports,
    )


class CommandTest(base.TestCase):
    def words(self, *ports: int) -> list[str]:
        return [str(word) for word in qemu.command(hardware(*ports), 7)]

    def test_the_guest_reaches_nothing(self) -> None:
        (network,) = [w for w in self.words(3306, 80) if "restrict" in w]
        self.assertEqual(
            "user,id=net,restrict=on,ipv6=off"
            ",hostfwd=tcp:127.0.0.1:0-:3306,hostfwd=tcp:127.0.0.1:0-:80",
            network,
        )

    def test_disks_on_scsi(self) -> None:
        kind = dataclasses.replace(hardware(), disk_bus=qemu.SCSI)
        words = [str(word) for word in qemu.command(kind, 7)]
        self.assertEqual([], [word for word in words if "if=virtio" in word])
        disks = [word for word in words if word.startswith("scsi-hd")]
        # /dev/sda, from which it boots, and /dev/sdb
        self.assertEqual(
            ["scsi-hd,bus=scsi.0,scsi-id=0,drive=disk0,bootindex=0",
             "scsi-hd,bus=scsi.0,scsi-id=1,drive=disk1"],
            disks,
        )  # fmt: skip
        files = [word for word in words if "if=none" in word]
        self.assertIn(qemu.OVERLAY, files[0])
        self.assertIn(qemu.VOLUME, files[1])

    def test_the_guest_reaches_one_port_and_has_a_channel(self) -> None:
        kind = dataclasses.replace(
            hardware(3306),
            outlet="tcp:10.0.2.100:5672-cmd:relay 'a,b'",
            channel=9,
            channel_port="/dev/virtio-ports/org.example",
        )
        words = [str(word) for word in qemu.command(kind, 7)]
        (network,) = [word for word in words if "restrict" in word]
        self.assertTrue(
            network.endswith(
                ",hostfwd=tcp:127.0.0.1:0-:3306"
                ",guestfwd=tcp:10.0.2.100:5672-cmd:relay 'a,,b'"
            )
        )
        self.assertIn("socket,id=channel,fd=9", words)
        self.assertIn(
            "virtserialport,chardev=channel,name=org.example", words
        )

    def test_the_volume_is_the_second_virtio_disk(self) -> None:
        disks = [word for word in self.words() if "if=virtio" in word]
        self.assertEqual(
            [qemu.OVERLAY, qemu.VOLUME],
            [disk.split(",")[0].removeprefix("file=") for disk in disks],
        )

    def test_it_holds_no_path(self) -> None:
        self.assertEqual([], [w for w in self.words() if "/" in w])

    def test_an_architecture_for_later(self) -> None:
        error = self.assertRaises(errors.UsageError, qemu.tools, "arm64")
        self.assertIn("arm64", error.message)
        self.assertIn("amd64", error.hint)


class QemuTest(base.TestCase):
    def test_forwards(self) -> None:
        machine = qemu.Qemu(hardware(3306, 5432), self.temp_dir())

        class Monitor:
            def execute(self, *args: str, **kwargs: str) -> str:
                return _USERNET

        self.patch_object(machine, "_monitor", Monitor())
        self.assertEqual({3306: 40123, 5432: 40124}, machine.forwards())

    def test_a_qemu_that_does_not_start(self) -> None:
        self.fake_program(accel.SYSTEM, "echo 'no such machine' >&2; exit 1")
        error = self.assertRaises(errors.VerifyError, self.enter, hardware())
        self.assertEqual(
            "QEMU did not start\n  no such machine", error.message
        )

    def test_a_qemu_that_says_nothing_is_ended(self) -> None:
        self.patch_object(qemu.qmp, "_ANSWER", 0.3)
        mark = self.temp_dir() / "pid"
        self.fake_program(accel.SYSTEM, f"echo $$ >{mark}; exec sleep 60")
        self.assertRaises(errors.VerifyError, self.enter, hardware())
        self.assertRaises(
            ProcessLookupError, os.kill, int(mark.read_text()), 0
        )

    def enter(self, kind: qemu.Hardware) -> typing.Any:
        with qemu.Qemu(kind, self.temp_dir()):
            self.fail("it started")
