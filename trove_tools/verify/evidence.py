# SPDX-License-Identifier: Apache-2.0
"""Collects facts and tries file systems inside a guest, for verify.

The guest's Python 3, which has only the standard library, reads this file
from its standard input.  The program runs as root, and prints JSON.

Usage: evidence.py facts SECONDS
       evidence.py file-system KIND SECONDS
"""

import glob
import json
import os
import re
import shutil
import socket
import subprocess  # noqa: TID251 (runs in the guest)
import sys
import tempfile
import typing

UNIT = "trove-guestagent.service"

#: The programs that the agent calls, by the file systems that Trove allows.
VOLUME_PROGRAMS = {
    "ext3": ("mkfs.ext3", "e2fsck", "resize2fs"),
    "ext4": ("mkfs.ext4", "e2fsck", "resize2fs"),
    "xfs": ("mkfs.xfs", "xfs_admin", "xfs_growfs", "xfs_repair"),
}

#: The directories in which sudo looks for programs.
PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"

_SMALL, _LARGE = 320 << 20, 400 << 20
_LINES = 40
#: Timeout of a program in seconds; verify passes a longer one to a slow guest.
PATIENCE = 20.0
# the agent's secret options, and the directories that may contain a file with
# their values
_SECRETS = ("transport_url", "instance_rpc_encr_key")
_SECRET_PLACES = ("/etc", "/opt/trove-guestagent", "/run", "/var/lib/cloud",
                  "/var/lib/trove", "/var/log")  # fmt: skip


def output(*argv: str, said: str = "") -> list[str]:
    """Run a program with ``said`` as its input, and return its last lines."""
    try:
        done = subprocess.run(
            argv,
            input=said.encode(),
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            timeout=PATIENCE,
        )
    except (OSError, subprocess.SubprocessError):
        return []
    return done.stdout.decode(errors="replace").splitlines()[-_LINES:]


def read(path: str) -> str:
    """Return the content of a file; empty if it cannot be read."""
    try:
        with open(path, errors="replace") as stream:
            return stream.read()
    except OSError:
        return ""


def unit_properties() -> dict[str, str]:
    """Return the properties of the agent's unit, as systemd loaded it."""
    names = ("After", "StartLimitIntervalUSec", "RestartUSec")
    lines = output(
        "systemctl", "show", UNIT, f"--property={','.join(names)}"
    )
    values = dict(line.split("=", 1) for line in lines if "=" in line)
    return {name: values.get(name, "") for name in names}


def user_name(uid: str) -> str:
    """Return the name of the user with a uid; empty if there is none."""
    lines = output("getent", "passwd", uid)
    return lines[0].split(":")[0] if lines else ""


def has_apparmor() -> bool:
    """Return whether the guest's kernel has AppArmor.

    In a container the running kernel is not the guest's; then the
    configuration file of the guest's kernel decides.
    """
    if not os.path.exists("/run/systemd/container"):
        enabled = read("/sys/module/apparmor/parameters/enabled")
        return enabled.strip() == "Y"
    return any(
        "CONFIG_SECURITY_APPARMOR=y" in read(path).splitlines()
        for path in glob.glob("/boot/config-*")
    )


def configured(root: str = "") -> dict[str, dict[str, str]]:
    """Return the options in the agent's configuration files, by section.

    :param root: the directory of the guest's root; empty for ``/``.
    """
    sections: dict[str, dict[str, str]] = {}
    section = sections.setdefault("DEFAULT", {})
    for path in sorted(glob.glob(f"{root}/etc/trove/conf.d/*.conf")):
        for line in read(path).splitlines():
            name, equals, value = line.strip().partition("=")
            if name.startswith("[") and name.endswith("]"):
                section = sections.setdefault(name[1:-1], {})
            elif equals and not name.startswith(("#", ";")):
                section[name.strip()] = value.strip()
    return sections


def database_user(settings: dict[str, dict[str, str]]) -> dict[str, str]:
    """Return the user that the agent makes, its uid, and the uid's owner.

    The agent makes the user when it starts.  The rules are the same as in
    trove/cmd/guest.py of Trove 26.

    :param settings: the options that :func:`configured` returns.
    """
    common = settings.get("DEFAULT", {})
    own = settings.get(common.get("datastore_manager", ""), {})
    uid = own.get("database_service_uid") or common.get(
        "database_service_uid", "1001"
    )
    return {
        "database_user": own.get("database_service_uname", "database"),
        "database_uid": uid,
        "database_uid_owner": user_name(uid),
    }


def volume(settings: dict[str, dict[str, str]]) -> dict[str, typing.Any]:
    """Return the volume's file system, and the missing programs for it.

    :param settings: the options that :func:`configured` returns.
    """
    common = settings.get("DEFAULT", {})
    kind = common.get("volume_fstype", "ext4")
    return {
        "volume_fstype": kind,
        "volume_programs_missing": [
            program
            for program in VOLUME_PROGRAMS.get(kind, ())
            if not shutil.which(program, path=PATH)
        ],
    }


def try_file_system(kind: str) -> str | None:
    """Make, mount and grow a file system in a file, as the agent would.

    :param kind: a key of :data:`VOLUME_PROGRAMS`.
    :returns: what failed; empty if everything works; None if the image lacks
        a program for this file system.
    """
    environment = {"PATH": PATH, "LANG": "C.UTF-8"}
    # Trove's command; its default for format_options follows below
    make = ["mkfs", "--type", kind] if kind != "xfs" else ["mkfs.xfs"]

    def run(*argv: str) -> str:
        done = subprocess.run(
            argv,
            env=environment,
            check=True,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            timeout=PATIENCE * 3,
        )
        return done.stdout.decode(errors="replace").strip()

    missing = [
        program
        for program in VOLUME_PROGRAMS[kind]
        if not shutil.which(program, path=PATH)
    ]
    if missing:
        return None
    with tempfile.TemporaryDirectory(dir="/var/tmp") as directory:  # noqa: S108
        file = f"{directory}/volume"
        device = ""
        try:
            os.mkdir(f"{directory}/mounted")
            with open(file, "wb") as stream:
                # mkfs.xfs needs 300 MiB; most of this file stays unwritten
                stream.truncate(_SMALL)
            device = run("losetup", "--find", "--show", file)
            run(*make, "-m", "5", device)
            run("mount", device, f"{directory}/mounted")
            before = os.statvfs(f"{directory}/mounted").f_blocks
            os.truncate(file, _LARGE)
            run("losetup", "--set-capacity", device)
            if kind == "xfs":
                run("xfs_growfs", f"{directory}/mounted")
            else:
                run("resize2fs", device)
            if os.statvfs(f"{directory}/mounted").f_blocks <= before:
                return "it did not grow"
        except subprocess.CalledProcessError as exc:
            words = exc.output.decode(errors="replace").split()
            return f"{exc.cmd[0]}: {' '.join(words)[:300] or exc}"
        except (OSError, subprocess.SubprocessError) as exc:
            return str(exc)
        finally:
            if device:
                output("umount", f"{directory}/mounted")
                output("losetup", "--detach", device)
    return ""


def listeners(lines: typing.Iterable[str]) -> list[str]:
    """Return the sockets on which a guest listens, except on loopback.

    :param lines: what ``ss -H -ltunp`` prints.
    :returns: protocol, port and program, such as ``tcp/22 sshd``.
    """
    sockets = set()
    for line in lines:
        protocol, *words = line.split() or [""]
        if protocol not in ("tcp", "udp"):
            continue
        address, _, port = words[3].rpartition(":")
        if address.startswith(("127.", "[::1]", "[::ffff:127.")):
            continue
        program = re.search(r'\(\("([^"]*)"', line)
        name = program[1] if program else ""
        sockets.add(f"{protocol}/{port} {name}".strip())
    return sorted(sockets)


def exposed(settings: dict[str, dict[str, str]]) -> list[str]:
    """Return the files in which any user can read the agent's secrets."""
    secrets = [section[n] for section in settings.values() for n in _SECRETS
               if section.get(n)]  # fmt: skip
    if not secrets:
        return []
    return output(
        "runuser", "--user", "nobody", "--", "grep", "--recursive",
        "--no-messages", "--devices=skip", "--files-with-matches",
        "--fixed-strings", "--file=-", *_SECRET_PLACES,
        said="\n".join(secrets),
    )  # fmt: skip


def core_pattern() -> str:
    """Return the core pattern; empty if the kernel is not the guest's."""
    booted = os.path.isdir("/run/systemd/system")
    if not booted or os.path.exists("/run/systemd/container"):
        return ""
    return read("/proc/sys/kernel/core_pattern").strip()


def facts() -> dict[str, typing.Any]:
    """Return the facts about the guest that matter to the agent."""
    unit = unit_properties()
    settings = configured()
    return {
        **database_user(settings),
        **volume(settings),
        "hostname": socket.gethostname(),
        "hostname_resolves": bool(
            output("getent", "hosts", socket.gethostname())
        ),
        "apparmor": has_apparmor(),
        "apparmor_parser": bool(
            shutil.which("apparmor_parser", path="/usr/sbin:/sbin:/usr/bin")
        ),
        "docker": bool(shutil.which("dockerd", path="/usr/sbin:/usr/bin")),
        "etc_docker": os.path.isdir("/etc/docker"),
        "after": unit["After"].split(),
        "start_limit": unit["StartLimitIntervalUSec"],
        "restart_sec": unit["RestartUSec"],
        "exposed": exposed(settings),
        "core_pattern": core_pattern(),
        "listeners": listeners(output("ss", "-H", "-ltunp")),
    }


def main() -> None:
    """Print the facts, or the result for a file system, as JSON."""
    global PATIENCE
    what, *words, seconds = sys.argv[1:]
    PATIENCE = float(seconds)
    print(json.dumps(facts() if what == "facts" else try_file_system(*words)))


if __name__ == "__main__":
    main()
