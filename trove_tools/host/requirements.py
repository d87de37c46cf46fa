# SPDX-License-Identifier: Apache-2.0
"""Checks whether this host can build and boot images."""

import dataclasses
import os
import pathlib
import shutil

from trove_tools import errors
from trove_tools.host import hosttools
from trove_tools.host import paths
from trove_tools.host import process

_GIB = 1024**3

#: Peak disk space of a build, in GiB: the unpacked root and the raw disk in
#: the work directory (measured: 1.5 and 1.3 for Debian 13 with MariaDB), the
#: raw disk and the image in the output directory, and layers and packages in
#: the cache.
WORK_SPACE = 4
OUTPUT_SPACE = 3
CACHE_SPACE = 3

FILESYSTEMS = pathlib.Path("/proc/filesystems")
#: Where the kernel lists the emulators for other architectures' programs.
BINFMT = pathlib.Path("/proc/sys/fs/binfmt_misc")


@dataclasses.dataclass(frozen=True)
class Finding:
    """The result of a check of the host.

    :param check: the name of the check.
    :param ok: whether the check passed.
    :param found: what the check saw.
    :param remedy: what to do if the check failed.
    """

    check: str
    ok: bool
    found: str
    remedy: str = ""


def require_tools(purpose: str, arch: str = "amd64") -> None:
    """Raise an error unless all programs for a purpose are installed.

    :param purpose: as in the table of :mod:`trove_tools.host.hosttools`.
    :raises MissingToolError: a program is missing; the error lists all.
    """
    process.require(*_tools(purpose, arch))


def _tools(purpose: str, arch: str) -> list[str]:
    emulator = hosttools.KERNEL_NAMES.get(arch, arch)
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
    """Raise an error unless this host can create a disk's file systems.

    :param partition_table: mbr, gpt or efi.
    :raises MissingToolError: a program or a kernel module is missing.
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
            "this host's kernel cannot mount vfat, which a disk for UEFI"
            " needs",
            hint="build on a host whose kernel has the module vfat, or give"
            " --image-format tar, which makes no disk",
        )


def require_arch(arch: str) -> None:
    """Raise an error unless this host can run an architecture's programs.

    :param arch: Debian's name of the architecture.
    :raises MissingToolError: it cannot run them.
    """
    machine = hosttools.KERNEL_NAMES.get(arch, arch)
    if os.uname().machine == machine:
        return
    require_tools("foreign")
    # the package qemu-user-static registers this name; see binfmt_misc in
    # the kernel's admin-guide
    handler = BINFMT / f"qemu-{machine}"
    try:
        registration = handler.read_text()
    except OSError:
        registration = ""
    if (
        not registration.startswith("enabled")
        or "\nflags: " not in registration
    ):
        raise errors.MissingToolError(
            f"programs for {arch} do not run on this host: {handler} is"
            " missing or disabled",
            hint="mount -t binfmt_misc binfmt_misc /proc/sys/fs/binfmt_misc,"
            " and install qemu-user-static and binfmt-support again; for"
            " a container, do this on its host",
        )
    if "F" not in registration.partition("\nflags: ")[2].split("\n")[0]:
        raise errors.MissingToolError(
            f"{handler} was registered without the flag F, so it does not"
            " work inside the root of the build",
            hint="install qemu-user-static and binfmt-support again",
        )


def require_root(purpose: str = "building") -> None:
    """Raise an error unless commands can run as root without a password.

    :param purpose: what root is needed for, for the message.
    :raises MissingToolError: this user is not root, and sudo needs a
        password or is missing.
    """
    if not may_be_root():
        raise errors.MissingToolError(
            f"{purpose} needs root: this user is not root, and sudo asks for"
            " a password",
            hint="run as root, or allow this user passwordless sudo",
        )


def may_be_root() -> bool:
    """Return whether commands can run as root without a password."""
    if os.geteuid() == 0:
        return True
    if process.find("sudo") is None:
        return False
    return process.run(["sudo", "-n", "true"], check=False).status == 0


def check_space(
    output: pathlib.Path, work: pathlib.Path | None, cache: pathlib.Path
) -> list[Finding]:
    """Compare free disk space with the space that a build needs.

    The needs of directories on the same file system are added up.

    :param output: the output directory.
    :param work: the work directory; in the output directory if None.
    :param cache: the cache directory.
    """
    wanted: dict[int, tuple[pathlib.Path, int]] = {}
    for directory, size in (
        (output, OUTPUT_SPACE),
        (work or output, WORK_SPACE),
        (cache, CACHE_SPACE),
    ):
        existing = paths.find_existing(directory)
        device = existing.stat().st_dev
        first, total = wanted.get(device, (existing, 0))
        wanted[device] = (first, total + size)
    findings = []
    for existing, size in wanted.values():
        free = shutil.disk_usage(existing).free / _GIB
        findings.append(
            Finding(
                f"disk space in {existing}",
                free >= size,
                f"{free:.1f} GiB free, {size} GiB needed",
                "free some space, or set --output-dir, --work-dir and"
                " --cache-dir to another file system",
            )
        )
    return findings


def require_space(
    output: pathlib.Path, work: pathlib.Path | None, cache: pathlib.Path
) -> None:
    """Raise an error unless the disk has enough space for a build.

    :raises MissingToolError: there is too little space.
    """
    for finding in check_space(output, work, cache):
        if not finding.ok:
            raise errors.MissingToolError(
                f"too little {finding.check}: {finding.found}",
                hint=finding.remedy,
            )


def check_tools() -> list[Finding]:
    """Check for all programs that building and verifying need."""
    return [
        *check_tools_for("build", "to build"),
        *check_tools_for("packages", "to make containers of packages"),
        *check_tools_for("containers", "to get containers from elsewhere"),
        *check_tools_for("verify", "to verify"),
    ]


def check_tools_for(purpose: str, words: str) -> list[Finding]:
    """Check for the programs for a purpose.

    :param purpose: as for :func:`require_tools`.
    :param words: the purpose as a phrase for the user.
    """
    findings = []
    for name in _tools(purpose, "amd64"):
        program = process.find(name)
        findings.append(
            Finding(
                f"{name} ({words})",
                program is not None,
                program or "not found",
                hosttools.install_command([name]) or "",
            )
        )
    return findings


def check_privileges() -> list[Finding]:
    """Check for the privileges that a build needs: root, loop devices."""
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
