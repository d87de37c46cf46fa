# SPDX-License-Identifier: Apache-2.0
"""Chooses the accelerator of the guest: KVM if it works, otherwise TCG.

It is not enough that ``/dev/kvm`` can be opened.  In many containers and
micro-VMs, software that only emulates instructions provides the device: a
guest shows its boot loader and then stalls.  So verify boots a guest of one
sector (``data/kvm-probe.S``), which does what a kernel does first; an
emulated processor cannot finish it in time.

The probe takes a tenth of a second if KVM works.  A result that took more
than a second is cached until the host boots again or QEMU changes.
"""

import contextlib
import dataclasses
import json
import os
import pathlib
import platform
import re
import shutil
import tempfile
import time
import typing

from trove_tools import errors
from trove_tools.host import bounds
from trove_tools.host import files
from trove_tools.host import paths
from trove_tools.host import process
from trove_tools.host import trust

DEVICE = pathlib.Path("/dev/kvm")
SYSTEM = "qemu-system-x86_64"

_PROBE = pathlib.Path(__file__).parent / "data" / "kvm-probe.bin"
_BOOT_ID = pathlib.Path("/proc/sys/kernel/random/boot_id")
# QEMU's exit status is 2n + 1 if the probe writes the byte n to the device
# isa-debug-exit
_WORKS = 2 * 0x2A + 1
_FLAGS_RIGHT = 8
_PATIENCE = 8.0
_WORTH_REMEMBERING = 1.0


@dataclasses.dataclass(frozen=True)
class Accelerator:
    """The accelerator with which QEMU runs a guest.

    :param name: ``kvm`` or ``tcg``.
    :param reason: why this accelerator was chosen; messages show it after a
        colon.
    """

    name: str
    reason: str
    cpu: str

    def arguments(self) -> list[str]:
        """Return QEMU's options for this accelerator."""
        how = "kvm" if self.name == "kvm" else "tcg,thread=multi"
        return ["-accel", how, "-cpu", self.cpu]


@dataclasses.dataclass(frozen=True)
class Kvm:
    """The result of the probe: whether KVM boots a guest on this host.

    :param reason: why KVM does not work, or what showed that it works.
    """

    usable: bool
    reason: str


def choose(wanted: str = "auto") -> Accelerator:
    """Choose the accelerator for the guest.

    :param wanted: ``kvm`` and ``tcg`` select that accelerator; ``auto``
        selects KVM if a guest boots with it.
    :raises MissingToolError: ``kvm`` is wanted, but this host lacks KVM or
        QEMU.
    """
    if wanted == "tcg":
        return _tcg("asked for")
    if wanted == "kvm":
        absent = _absent()
        if absent:
            raise errors.MissingToolError(
                f"KVM was asked for, but {absent}",
                hint="use --accelerator tcg, or auto",
            )
        return _kvm("asked for")
    kvm = probe()
    return _kvm(kvm.reason) if kvm.usable else _tcg(kvm.reason)


def _kvm(reason: str) -> Accelerator:
    return Accelerator("kvm", reason, cpu="host")


def _tcg(reason: str) -> Accelerator:
    """Return TCG with all processor features that it emulates correctly.

    Before version 8, QEMU's cmpxchg16b leaves wrong values in the flags.  If
    an interrupt follows, the guest's kernel hangs or stops with a double
    fault; in a busy guest this happens within minutes.  Debian and Ubuntu
    guests do not need the instruction.
    """
    old = _major_version() < _FLAGS_RIGHT
    return Accelerator("tcg", reason, cpu="max,cx16=off" if old else "max")


def _major_version() -> int:
    said = process.run([SYSTEM, "--version"]).stdout
    found = re.search(r"version (\d+)", said)
    return int(found.group(1)) if found else _FLAGS_RIGHT


def probe(refresh: bool = False) -> Kvm:
    """Return whether KVM boots a guest on this host.

    :param refresh: boot the probe even if a result is cached.
    """
    absent = _absent()
    if absent:
        return Kvm(False, absent)
    cache = _cache()
    key = _key()
    if not refresh:
        known = _recall(cache, key)
        if known is not None:
            return known
    begin = time.monotonic()
    found = _ask()
    if time.monotonic() - begin > _WORTH_REMEMBERING:
        _remember(cache, key, found)
    return found


def _absent() -> str | None:
    if platform.machine() not in ("x86_64", "AMD64"):
        return f"this host is {platform.machine()}, not x86_64"
    if not DEVICE.exists():
        return f"there is no {DEVICE}"
    if not os.access(DEVICE, os.R_OK | os.W_OK):
        return f"{DEVICE} may not be opened by this user (group kvm)"
    if process.find(SYSTEM) is None:
        return f"{SYSTEM} is not installed"
    return None


def _ask() -> Kvm:
    """Boot the one-sector guest with KVM, and return the result."""
    argv: list[process.Argument] = [
        SYSTEM,
        *_kvm("").arguments(),
        "-m", "32",
        "-nodefaults",
        "-no-reboot",
        "-display", "none",
        # a relative path, because a comma in a path would end QEMU's option
        "-drive", f"file={_PROBE.name},format=raw,if=floppy,read-only=on",
        "-device", "isa-debug-exit,iobase=0xf4,iosize=1",
    ]  # fmt: skip
    with tempfile.TemporaryDirectory(prefix="trove-verify-") as directory:
        # a QEMU that aborts may leave a core file in its working directory
        shutil.copy(_PROBE, directory)
        patience = process.scale_timeout(_PATIENCE)
        try:
            done = process.run(
                argv, cwd=directory, timeout=patience, check=False
            )
        except errors.CommandError:
            return Kvm(
                False,
                f"KVM did not finish a one-sector guest in {patience:.0f} s",
            )
    if done.status == _WORKS:
        return Kvm(True, "KVM ran a one-sector guest")
    said = [line for line in done.stderr.splitlines() if "warning" not in line]
    why = said[0] if said else f"QEMU ended with status {done.status}"
    return Kvm(
        False, "KVM does not run a guest: " + why.removeprefix(f"{SYSTEM}: ")
    )


def _cache() -> pathlib.Path:
    return paths.user_cache() / "kvm.json"


def _key() -> dict[str, typing.Any]:
    """Return the key of the cached result: this boot and this QEMU."""
    qemu = process.find(SYSTEM) or SYSTEM
    return {
        "boot": _BOOT_ID.read_text().strip(),
        "qemu": qemu,
        "changed": os.stat(qemu).st_mtime_ns,
    }


def _recall(cache: pathlib.Path, key: dict[str, typing.Any]) -> Kvm | None:
    # if the cache cannot be used, the probe is repeated
    with contextlib.suppress(OSError, ValueError, TypeError, KeyError):
        known = bounds.read_json(cache) if trust.is_own(cache) else {}
        if known["key"] == key:
            return Kvm(bool(known["usable"]), str(known["reason"]))
    return None


def _remember(
    cache: pathlib.Path, key: dict[str, typing.Any], found: Kvm
) -> None:
    text = json.dumps({"key": key, **dataclasses.asdict(found)})
    # without a cache the next run repeats the probe, which does no harm
    with contextlib.suppress(OSError):
        cache.parent.mkdir(parents=True, exist_ok=True)
        files.write_file(cache, text)
