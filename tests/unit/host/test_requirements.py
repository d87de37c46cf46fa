# SPDX-License-Identifier: Apache-2.0
"""What a host needs for machines that are not like itself."""

import os

from tests import base
from tests.unit.plan import samples
from trove_tools import errors
from trove_tools.catalog import loader
from trove_tools.host import process
from trove_tools.host import requirements
from trove_tools.plan import plan
from trove_tools.plan import request

_HANDLER = (
    "enabled\ninterpreter /usr/libexec/qemu-binfmt/aarch64-binfmt-P\n"
    "flags: {flags}\noffset 0\n"
)


class ForeignTest(base.TestCase):
    def setUp(self) -> None:
        super().setUp()
        self.place = self.temp_dir()
        self.patch_object(requirements, "BINFMT", self.place)
        self.fake_program("qemu-aarch64-static", "exit 0")
        self.fake_program("arch-test", "exit 0")
        machine = os.uname_result(("Linux", "h", "6", "1", "x86_64"))
        self.patch_object(os, "uname", lambda: machine)

    def refused(self) -> str:
        error = self.assertRaises(
            errors.MissingToolError, requirements.require_arch, "arm64"
        )
        self.assertIn("binfmt-support", error.hint or "")
        return error.message

    def handler(self, text: str) -> None:
        (self.place / "qemu-aarch64").write_text(text)

    def test_its_own(self) -> None:
        requirements.require_arch("amd64")

    def test_registered(self) -> None:
        self.handler(_HANDLER.format(flags="POCF"))
        requirements.require_arch("arm64")

    def test_not_registered(self) -> None:
        self.assertIn("is missing or disabled", self.refused())

    def test_disabled(self) -> None:
        text = _HANDLER.format(flags="F").replace("enabled", "disabled")
        self.handler(text)
        self.assertIn("is missing or disabled", self.refused())

    def test_interpreter_outside_the_root(self) -> None:
        self.handler(_HANDLER.format(flags="OC"))
        self.assertIn("without the flag F", self.refused())

    def test_no_emulator(self) -> None:
        self.set_env(PATH=str(self.temp_dir()))
        self.patch_object(process, "_SYSTEM_PLACES", ())
        error = self.assertRaises(
            errors.MissingToolError, requirements.require_arch, "arm64"
        )
        for package in ("qemu-user-static", "arch-test"):
            self.assertIn(package, error.hint or "")


class LayoutTest(base.TestCase):
    def setUp(self) -> None:
        super().setUp()
        self.file = self.temp_dir() / "filesystems"
        self.patch_object(requirements, "FILESYSTEMS", self.file)
        self.fake_program("mkfs.vfat", "exit 0")
        self.fake_program("modprobe", "exit 1")

    def test_vfat(self) -> None:
        self.file.write_text("nodev\tproc\n\text4\n\tvfat\n")
        requirements.require_layout("efi", "qcow2")

    def test_no_vfat(self) -> None:
        self.file.write_text("nodev\tproc\n\text4\n")
        error = self.assertRaises(
            errors.MissingToolError,
            requirements.require_layout,
            "efi",
            "qcow2",
        )
        self.assertIn("vfat", error.message)
        requirements.require_layout("efi", "tar")
        requirements.require_layout("gpt", "qcow2")


class RequestTest(base.TestCase):
    def plan(self, arch: str, **changes: object) -> plan.Plan:
        settings = samples.settings(arch=arch, runtime="native", **changes)
        return plan.make(request.make(["mariadb"], settings, loader.load()))

    def test_arm64_starts_with_uefi(self) -> None:
        made = self.plan("arm64")
        self.assertIn("block-device-trove-efi", made.layers[-1].elements)
        self.assertEqual("arm64", made.guest["arch"])

    def test_not_from_an_mbr(self) -> None:
        error = self.assertRaises(
            errors.UsageError, self.plan, "arm64", partition_table="mbr"
        )
        self.assertIn("UEFI", error.message)

    def test_amd64_as_it_is_told(self) -> None:
        made = self.plan("amd64")
        self.assertIn("block-device-trove-mbr", made.layers[-1].elements)
        made = self.plan("amd64", partition_table="efi")
        self.assertIn("block-device-trove-efi", made.layers[-1].elements)

    def test_containers_are_of_this_architecture(self) -> None:
        settings = samples.settings(arch="arm64")
        error = self.assertRaises(
            errors.UsageError,
            request.make, ["mariadb"], settings, loader.load(),
        )  # fmt: skip
        self.assertIn("mariadb (container) is not made for", error.message)
