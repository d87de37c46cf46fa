# SPDX-License-Identifier: Apache-2.0
"""Checks whether this host can build and boot images."""

import dataclasses
import os
import pathlib
import shutil

from trove_tools import errors
from trove_tools.host import architecture
from trove_tools.host import hosttools
from trove_tools.host import paths
from trove_tools.host import process

_GIB = 1024**3

#: Space that a build takes at its peak, GiB: the unpacked root and the raw
#: disk in the work directory (measured: 1.5 and 1.3 for Debian 13 with
#: MariaDB), the raw disk and the image in the output directory, and layers
#: and packages in the cache.
WORK_SPACE = 4
OUTPUT_SPACE = 3
CACHE_SPACE = 3

FILESYSTEMS = pathlib.Path("/proc/filesystems")
#: Where the kernel tells what runs programs of other machines.
BINFMT = pathlib.Path("/proc/sys/fs/binfmt_misc")


@dataclasses.dataclass(frozen=True)
class Finding:
    """The result of a check of the host.

    :param ok: whether it passed.
    :param remedy: what to do if it failed.
    """

    check: str
    ok: bool
    found: str
    remedy: str = ""


def require_tools(purpose: str, arch: str = "amd64") -> None:
    """Make sure that the programs for a purpose are there.

    :param purpose: as in the table of :mod:`trove_tools.host.hosttools`.
    :raises MissingToolError: naming all that are absent.
    """
    process.require(*_tools(purpose, arch))


def _tools(purpose: str, arch: str) -> list[str]:
    emulator = architecture.KERNEL_NAMES.get(arch, arch)
    return [
        tool.name
        for tool in hosttools.TOOLS.values()
        if tool.purpose == purpose
        and (
            not tool.name.startswith("qemu-system")
            or tool.name == f"qemu-system-{emulator}"
        )
    ]


def require_layout(partition_table: str, image_format: str) -> None:
    """Make sure that this host can make a disk's file systems.

    :raises MissingToolError: it cannot.
    """
    if partition_table != "efi" or image_format == "tar":
        return
    require_tools("efi")
    known = FILESYSTEMS.read_text().split()
    if "vfat" not in known and process.find("modprobe"):
        process.run(process.as_root(["modprobe", "vfat"]), check=False)
        known = FILESYSTEMS.read_text().split()
    if "vfat" not in known:
        raise errors.MissingToolError(
            "this host's kernel does not mount vfat, which a disk for UEFI"
            " has",
            hint="build on a host whose kernel does (module vfat), or give"
            " --image-format tar for the root file system alone",
        )


def require_arch(arch: str) -> None:
    """Make sure that programs of an architecture run here.

    :raises MissingToolError: they do not.
    """
    machine = architecture.KERNEL_NAMES.get(arch, arch)
    if os.uname().machine == machine:
        return
    require_tools("foreign")
    # as qemu-user-static's package registers it; see binfmt_misc in the
    # kernel's admin-guide
    handler = BINFMT / f"qemu-{machine}"
    try:
        found = handler.read_text()
    except OSError:
        found = ""
    if not found.startswith("enabled") or "\nflags: " not in found:
        raise errors.MissingToolError(
            f"programs for {arch} do not run on this host: {handler} is not"
            " there, or disabled",
            hint="mount -t binfmt_misc binfmt_misc /proc/sys/fs/binfmt_misc,"
            " and install qemu-user-static and binfmt-support again; a"
            " container has what its host has registered",
        )
    if "F" not in found.partition("\nflags: ")[2].split("\n")[0]:
        raise errors.MissingToolError(
            f"{handler} was registered without the flag F, so it ends at the"
            " root of the build",
            hint="install qemu-user-static and binfmt-support again",
        )


def require_root(purpose: str = "building") -> None:
    """Make sure that root's rights can be had without a question.

    :param purpose: what they are needed for.
    :raises MissingToolError: they cannot.
    """
    if not may_be_root():
        raise errors.MissingToolError(
            f"{purpose} needs root: this user is not root, and sudo asks for"
            " a password",
            hint="run as root, or allow this user passwordless sudo",
        )


def may_be_root() -> bool:
    """Tell whether root's rights can be had without a question."""
    if os.geteuid() == 0:
        return True
    if process.find("sudo") is None:
        return False
    return process.run(["sudo", "-n", "true"], check=False).status == 0


def check_space(
    output: pathlib.Path, work: pathlib.Path | None, cache: pathlib.Path
) -> list[Finding]:
    """Compare free disk space with what a build takes.

    Directories on one file system share what is free there.
    """
    wanted: dict[int, tuple[pathlib.Path, int]] = {}
    for directory, size in (
        (output, OUTPUT_SPACE),
        (work or output, WORK_SPACE),
        (cache, CACHE_SPACE),
    ):
        place = paths.find_existing(directory)
        device = place.stat().st_dev
        first, total = wanted.get(device, (place, 0))
        wanted[device] = (first, total + size)
    findings = []
    for place, size in wanted.values():
        free = shutil.disk_usage(place).free / _GIB
        findings.append(
            Finding(
                f"disk space in {place}",
                free >= size,
                f"{free:.1f} GiB free, {size} GiB needed",
                "make room, or give --output-dir, --work-dir and --cache-dir"
                " elsewhere",
            )
        )
    return findings


def require_space(
    output: pathlib.Path, work: pathlib.Path | None, cache: pathlib.Path
) -> None:
    """Make sure that a build will not fill the disk.

    :raises MissingToolError: there is too little space.
    """
    for finding in check_space(output, work, cache):
        if not finding.ok:
            raise errors.MissingToolError(
                f"too little {finding.check}: {finding.found}",
                hint=finding.remedy,
            )


def check_tools(arch: str = "amd64") -> list[Finding]:
    """Look for every program that building and verifying need."""
    return [
        *check_tools_for("build", "to build", arch),
        *check_tools_for("packages", "to make containers of packages", arch),
        *check_tools_for(
            "containers", "to get containers from elsewhere", arch
        ),
        *check_tools_for("verify", "to verify", arch),
    ]


def check_tools_for(
    purpose: str, words: str, arch: str = "amd64"
) -> list[Finding]:
    """Look for the programs for a purpose.

    :param purpose: as for :func:`require_tools`.
    :param words: the purpose, in words.
    """
    findings = []
    for name in _tools(purpose, arch):
        found = process.find(name)
        findings.append(
            Finding(
                f"{name} ({words})",
                found is not None,
                found or "not found",
                hosttools.install_command([name]) or "",
            )
        )
    return findings


def check_privileges() -> list[Finding]:
    """Look at what a build may do here."""
    return [
        Finding(
            "root's rights",
            may_be_root(),
            "root" if os.geteuid() == 0 else "through sudo",
            "run as root, or allow this user passwordless sudo",
        ),
        Finding(
            "loop devices",
            pathlib.Path("/dev/loop-control").exists(),
            "/dev/loop-control",
            "load the kernel module loop (modprobe loop); in a container,"
            " give it /dev/loop-control and /dev/loop*",
        ),
    ]
