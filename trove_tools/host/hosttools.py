# SPDX-License-Identifier: Apache-2.0
"""The programs that this project needs on the build host, and their packages.

Both the error for a missing program and ``trove-image-builder doctor`` use
this table.
"""

import collections.abc
import contextlib
import dataclasses
import pathlib

from trove_tools import errors
from trove_tools.host import bounds

#: The names that the kernel, RPM, QEMU and Glance use, by Debian's name.
KERNEL_NAMES = {"amd64": "x86_64", "arm64": "aarch64"}

# bytes; the largest os-release file of a distribution is below 1 KiB
_OS_RELEASE = 64 * 1024


@dataclasses.dataclass(frozen=True)
class Tool:
    """A program of the build host.

    :param name: the program's name.
    :param purpose: the program is needed for: ``build``, ``efi`` (to build
        for UEFI), ``foreign`` (for another architecture), ``verify``,
        ``packages`` (to make containers from packages), ``containers`` (to
        get containers from other sources) or ``sign``.
    :param debian: its package in Debian and Ubuntu.
    :param fedora: its package in Fedora and its family.
    """

    name: str
    purpose: str
    debian: str
    fedora: str


TOOLS = {
    tool.name: tool
    for tool in (
        Tool("debootstrap", "build", "debootstrap", "debootstrap"),
        Tool("git", "build", "git", "git-core"),
        Tool("sudo", "build", "sudo", "sudo"),
        Tool("losetup", "build", "mount", "util-linux-core"),
        Tool("partx", "build", "util-linux", "util-linux"),
        Tool("sgdisk", "build", "gdisk", "gdisk"),
        Tool("mkfs.ext4", "build", "e2fsprogs", "e2fsprogs"),
        Tool("qemu-img", "build", "qemu-utils", "qemu-img"),
        Tool("blkid", "build", "util-linux", "util-linux"),
        Tool("zstd", "build", "zstd", "zstd"),
        Tool("gpg", "build", "gnupg", "gnupg2"),
        Tool("mkfs.vfat", "efi", "dosfstools", "dosfstools"),
        Tool(
            "qemu-aarch64-static",
            "foreign",
            "qemu-user-static",
            "qemu-user-static",
        ),
        # mmdebstrap checks with it whether the kernel can run programs of
        # the other architecture
        Tool("arch-test", "foreign", "arch-test", "arch-test"),
        Tool("mmdebstrap", "packages", "mmdebstrap", "mmdebstrap"),
        Tool("skopeo", "containers", "skopeo", "skopeo"),
        Tool(
            "qemu-system-x86_64",
            "verify",
            "qemu-system-x86",
            "qemu-system-x86-core",
        ),
        Tool(
            "qemu-system-aarch64",
            "verify",
            "qemu-system-arm",
            "qemu-system-aarch64-core",
        ),
        Tool("setpriv", "verify", "util-linux", "util-linux"),
        Tool("genisoimage", "verify", "genisoimage", "genisoimage"),
        Tool(
            "systemd-nspawn",
            "verify",
            "systemd-container",
            "systemd-container",
        ),
        Tool("ip", "verify", "iproute2", "iproute"),
        Tool("nsenter", "verify", "util-linux", "util-linux-core"),
        Tool("unshare", "verify", "util-linux", "util-linux-core"),
        Tool(
            "rabbitmq-server", "verify", "rabbitmq-server", "rabbitmq-server"
        ),
        # the package also has ssh and ssh-add, but no server
        Tool("ssh-keygen", "sign", "openssh-client", "openssh"),
        Tool("epmd", "verify", "rabbitmq-server", "erlang-erts"),
    )
}


def os_release(
    root: pathlib.Path = pathlib.Path("/"),
) -> dict[str, str]:
    """Return os-release of the host, or of another root directory.

    :returns: values by name; empty if the file cannot be read.
    """
    try:
        text = bounds.read_bytes(root / "etc/os-release", _OS_RELEASE)
    except (OSError, ValueError):
        return {}
    return parse_os_release(text.decode(errors="replace"))


def parse_os_release(text: str) -> dict[str, str]:
    """Return the values of an os-release(5) file by name."""
    import shlex

    values = {}
    for line in text.splitlines():
        name, separator, value = line.partition("=")
        if separator and not line.startswith("#"):
            # a line with an unclosed quote is ignored
            with contextlib.suppress(ValueError):
                values[name.strip()] = "".join(shlex.split(value))
    return values


def in_chroot() -> bool:
    """Return whether this process runs in a chroot: "/" is no mount point.

    A mount namespace can be created in a chroot, but pivot_root(2) fails.
    """
    with open("/proc/self/mountinfo") as stream:
        return not any(line.split()[4] == "/" for line in stream)


def install_command(tools: collections.abc.Iterable[str]) -> str | None:
    """Return the command that installs the packages of some programs.

    :param tools: the names of the programs.
    :returns: None if none of them is in the table.
    """
    known = [TOOLS[name] for name in tools if name in TOOLS]
    if not known:
        return None
    release = os_release()
    family = {release.get("ID", ""), *release.get("ID_LIKE", "").split()}
    if family & {"fedora", "rhel", "centos"}:
        packages = sorted({tool.fedora for tool in known})
        return f"sudo dnf install {' '.join(packages)}"
    packages = sorted({tool.debian for tool in known})
    return f"sudo apt-get install {' '.join(packages)}"


def missing_error(
    tools: collections.abc.Sequence[str],
) -> errors.MissingToolError:
    """Return the error for programs that are missing on this host."""
    command = install_command(tools)
    return errors.MissingToolError(
        f"not found on this host: {', '.join(tools)}",
        hint=f"install with: {command}"
        if command
        else "install it, or correct PATH",
    )
