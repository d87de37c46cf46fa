# SPDX-License-Identifier: Apache-2.0
"""The programs that this project needs on the build host, and their packages.

One table serves both the error for a program that is not there and
``trove-image-builder doctor``.
"""

import collections.abc
import contextlib
import dataclasses
import pathlib

from trove_tools import errors
from trove_tools.host import bounds

# bytes; the largest that a distribution has is below 1 KiB
_OS_RELEASE = 64 * 1024


@dataclasses.dataclass(frozen=True)
class Tool:
    """A program of the host.

    :param name: the program.
    :param purpose: what it is needed for: ``build``, ``efi`` (to build for
        UEFI), ``foreign`` (for another architecture), ``verify``,
        ``packages`` (to make containers of packages), ``containers`` (to
        get them from elsewhere) or ``sign``.
    :param debian: Debian's and Ubuntu's package.
    :param fedora: the package of Fedora and its family.
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
        # mmdebstrap asks it whether the kernel runs the other's programs
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
        # ssh and ssh-add come along, not a server
        Tool("ssh-keygen", "sign", "openssh-client", "openssh"),
        Tool("epmd", "verify", "rabbitmq-server", "erlang-erts"),
    )
}


def os_release(
    root: pathlib.Path = pathlib.Path("/"),
) -> dict[str, str]:
    """Return the host's (or a root directory's) os-release as a mapping.

    :returns: its names and values; empty where the file is absent.
    """
    try:
        text = bounds.read_bytes(root / "etc/os-release", _OS_RELEASE)
    except (OSError, ValueError):
        return {}
    return parse_os_release(text.decode(errors="replace"))


def parse_os_release(text: str) -> dict[str, str]:
    """Return the names and values of an os-release file: os-release(5)."""
    import shlex

    values = {}
    for line in text.splitlines():
        name, separator, value = line.partition("=")
        if separator and not line.startswith("#"):
            # a quote without its end makes a line void, as in a shell
            with contextlib.suppress(ValueError):
                values[name.strip()] = "".join(shlex.split(value))
    return values


def in_chroot() -> bool:
    """Tell whether our root is a chroot's: no mount point.

    Mount namespaces can be made there, but pivot_root(2) refuses.
    """
    with open("/proc/self/mountinfo") as stream:
        return not any(line.split()[4] == "/" for line in stream)


def install_command(tools: collections.abc.Iterable[str]) -> str | None:
    """Return the command that installs what brings ``tools`` on this host.

    :returns: nothing for a tool that is not in the table.
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
    """Return the error for programs that this host does not have."""
    command = install_command(tools)
    return errors.MissingToolError(
        f"not found on this host: {', '.join(tools)}",
        hint=f"install with: {command}"
        if command
        else "install it, or correct PATH",
    )
