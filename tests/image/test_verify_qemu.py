# SPDX-License-Identifier: Apache-2.0
"""verify in QEMU: what only the image's own kernel shows."""

import concurrent.futures

from tests import commands
from tests.image import agent
from trove_tools.verify import checks
from trove_tools.verify import machine
from trove_tools.verify import qemu_command

#: Of a guest that may be emulated.  Trove's code gives Docker no more than a
#: minute for anything, so there must be no second processor to wait for.
_SLOW = ("--timeout", "1800", "--cpus", "1", "--memory", "1536")


class QemuTest(agent.AgentCase):
    def test_in_qemu(self) -> None:
        """What only the image's own kernel shows, and disks on SCSI.

        Two guests at a time: each waits for much of its life.  One processor
        each: they have no more together.
        """
        with self.planted() as root:
            for parser in root.glob("usr/sbin/apparmor_parser"):
                parser.unlink()
            (root / "etc/sysctl.d/zz-planted.conf").write_text(
                "kernel.core_pattern = core\n"
            )
        with concurrent.futures.ThreadPoolExecutor(2) as pool:
            good = pool.submit(
                self.verify, self.good, *_SLOW, "--disk-bus", "scsi",
                kind=machine.QEMU, level="boot",
            )  # fmt: skip
            bad = pool.submit(
                self.fails, *_SLOW, kind=machine.QEMU, level="boot"
            )
        outcome = good.result()
        if checks.SCSI_ORDER in outcome.stderr:
            outcome = self.verify(
                self.good, *_SLOW, "--disk-bus", "scsi", kind=machine.QEMU,
                level="boot",
            )  # fmt: skip
        self.passes(outcome, [], [])
        # the systemd of an image without AppArmor's program fails, too
        wrong = bad.result()
        self.assertIn(wrong["name"], ("systemd", "kernel settings"))
        kept = self.state / "trove-tools" / "verify" / "broken" / "qemu-1"
        text = (kept / machine.JOURNAL).read_text(errors="replace")
        self.assertIn("systemd[1]", text)

    def test_the_agent_in_qemu(self) -> None:
        if not qemu_command.probe_kvm().usable:
            self.need_time("some minutes without KVM")
        outcome = self.verify(
            self.good, *_SLOW, "--disk-bus", "scsi",
            "--guest-config", agent.DEPLOYMENTS / "volume.conf",
            kind=machine.QEMU,
        )  # fmt: skip
        self.passes(outcome, ["control plane"], agent.list_checks("mariadb"))

    def passes(
        self, outcome: commands.Outcome, first: list[str], last: list[str]
    ) -> None:
        """Compare the checks of a good image in QEMU, whose disks are SCSI.

        :param first: the checks before the guest is booted.
        :param last: the checks before the guest is powered off.
        """
        self.assertEqual(0, outcome.status, outcome.stderr)
        found = outcome.json()
        self.assertEqual(
            ["image", *first, "boot", "systemd", "network", "kernel settings",
             "volume", "file systems", *last, "power off"],
            [check["name"] for check in found["checks"]],
        )  # fmt: skip
        self.assertEqual({}, found["missing"])
        details = {check["name"]: check["detail"] for check in found["checks"]}
        self.assertEqual(
            "ext3, ext4, xfs: created, mounted and grown",
            details["file systems"],
        )
        self.assertEqual("/dev/sdb, 2 GiB", details["volume"])
