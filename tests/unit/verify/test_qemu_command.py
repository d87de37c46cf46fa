# SPDX-License-Identifier: Apache-2.0
"""What runs the guest's processor."""

import json
import pathlib
import shutil

from tests import base
from trove_tools import errors
from trove_tools.host import process
from trove_tools.verify import qemu_command

_DATA = pathlib.Path(qemu_command.__file__).parent / "data"

_QEMU = """\
if [ "$1" = --version ]; then
    echo "QEMU emulator version {version}"
    exit 0
fi
echo "$@" >>"{log}"
{body}
"""


class AccelTest(base.TestCase):
    def setUp(self) -> None:
        super().setUp()
        self.home = self.temp_dir()
        self.log = self.home / "calls"
        self.log.touch()
        self.set_env(XDG_CACHE_HOME=str(self.home))
        device = self.home / "kvm"
        device.touch()
        self.patch_object(qemu_command, "DEVICE", device)
        self.patch_object(qemu_command.platform, "machine", lambda: "x86_64")
        self.directory = self.temp_dir()

    def qemu(self, body: str, version: str = "8.2.1") -> None:
        script = _QEMU.format(body=body, log=self.log, version=version)
        self.fake_program(qemu_command.SYSTEM, script, self.directory)

    def calls(self) -> int:
        return len(self.log.read_text().splitlines())

    def test_kvm_that_runs_the_probe_is_used(self) -> None:
        self.qemu("exit 85")
        chosen = qemu_command.choose_accelerator()
        self.assertEqual("kvm", chosen.name)
        self.assertEqual(["-accel", "kvm", "-cpu", "host"], chosen.arguments())
        self.assertIn("-accel kvm -cpu host", self.log.read_text())

    def test_kvm_that_aborts_is_not_used(self) -> None:
        self.qemu(
            f"echo '{qemu_command.SYSTEM}: warning: no pni' >&2;"
            f" echo '{qemu_command.SYSTEM}: error: failed to set MSR' >&2;"
            " exit 134"
        )
        chosen = qemu_command.choose_accelerator()
        self.assertEqual("tcg", chosen.name)
        self.assertEqual(
            "KVM does not run a guest: error: failed to set MSR",
            chosen.reason,
        )

    def test_kvm_that_stalls_is_not_used(self) -> None:
        self.patch_object(qemu_command, "_PATIENCE", 0.1)
        self.qemu("exec sleep 60")
        found = qemu_command.probe_kvm()
        self.assertFalse(found.usable)
        self.assertIn("did not finish", found.reason)

    def test_a_quick_answer_is_asked_for_each_time(self) -> None:
        self.qemu("exit 85")
        qemu_command.probe_kvm()
        qemu_command.probe_kvm()
        self.assertEqual(2, self.calls())

    def test_a_slow_answer_is_remembered(self) -> None:
        self.patch_object(qemu_command, "_WORTH_REMEMBERING", -1)
        self.qemu("exit 85")
        first = qemu_command.probe_kvm()
        self.assertEqual(first, qemu_command.probe_kvm())
        self.assertEqual(1, self.calls())

    def test_an_answer_of_another_boot_is_not_believed(self) -> None:
        self.patch_object(qemu_command, "_WORTH_REMEMBERING", -1)
        self.qemu("exit 85")
        qemu_command.probe_kvm()
        cache = self.home / "trove-tools" / "kvm.json"
        known = json.loads(cache.read_text())
        known["key"]["boot"] = "another"
        cache.write_text(json.dumps(known))
        qemu_command.probe_kvm()
        self.assertEqual(2, self.calls())

    def test_a_broken_cache_does_no_harm(self) -> None:
        self.patch_object(qemu_command, "_WORTH_REMEMBERING", -1)
        cache = self.home / "trove-tools" / "kvm.json"
        cache.parent.mkdir()
        for text in ("", "[]", '{"key": 1}', "\x00"):
            cache.write_text(text)
            self.qemu("exit 85")
            self.assertTrue(qemu_command.probe_kvm().usable)

    def test_no_place_for_a_cache_does_no_harm(self) -> None:
        self.patch_object(qemu_command, "_WORTH_REMEMBERING", -1)
        (self.home / "trove-tools").write_text("in the way")
        self.qemu("exit 85")
        self.assertTrue(qemu_command.probe_kvm().usable)

    def test_no_device(self) -> None:
        self.qemu("exit 85")
        self.patch_object(qemu_command, "DEVICE", self.home / "absent")
        self.assertEqual("tcg", qemu_command.choose_accelerator().name)
        self.assertEqual(0, self.calls())
        error = self.assertRaises(
            errors.MissingToolError, qemu_command.choose_accelerator, "kvm"
        )
        self.assertIn("KVM was asked for, but there is no", error.message)
        self.assertIn("--accelerator tcg", error.hint)

    def test_another_processor(self) -> None:
        self.qemu("exit 85")
        self.patch_object(qemu_command.platform, "machine", lambda: "aarch64")
        self.assertIn(
            "aarch64, not x86_64", qemu_command.choose_accelerator().reason
        )

    def test_what_is_asked_for_is_not_probed(self) -> None:
        self.qemu("exit 1")
        self.assertEqual("kvm", qemu_command.choose_accelerator("kvm").name)
        self.assertEqual("tcg", qemu_command.choose_accelerator("tcg").name)
        self.assertEqual(0, self.calls())

    def test_what_old_qemu_gets_wrong_is_off(self) -> None:
        for version, accel, cpu in (
            ("7.2.22 (Debian 1:7.2+dfsg-7)", "single", "max,cx16=off"),
            ("8.0.0", "single", "max"),
            ("8.1.0", "multi", "max"),
            ("10.0.2", "multi", "max"),
        ):
            self.qemu("exit 1", version)
            self.assertEqual(
                ["-accel", f"tcg,thread={accel}", "-cpu", cpu],
                qemu_command.choose_accelerator("tcg").arguments(),
            )


class ProbeTest(base.TestCase):
    def test_the_boot_sector_is_made_from_its_source(self) -> None:
        for tool in ("as", "ld"):
            if shutil.which(tool) is None:
                self.skipTest(f"{tool} (binutils) is not installed")
        place = self.temp_dir()
        source = _DATA / "kvm-probe.S"
        process.run(["as", "--64", "-o", place / "probe.o", source])
        process.run(
            [
                "ld", "-m", "elf_x86_64", "-Ttext", "0x7c00",
                "--oformat", "binary", "-o", place / "probe.bin",
                place / "probe.o",
            ]
        )  # fmt: skip
        made = (place / "probe.bin").read_bytes()
        self.assertEqual(made, (_DATA / "kvm-probe.bin").read_bytes())
        self.assertEqual(512, len(made))
