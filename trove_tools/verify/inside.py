# SPDX-License-Identifier: Apache-2.0
"""The first process of a guest in namespaces: its root, its boot.

A program of its own: it starts in the host's root with the host's Python,
in new namespaces, makes the image's root its own and then starts what
matters to the agent as the guest's systemd would: the Docker engine and
the agent.  Everything it needs is imported before it changes the root.
What it makes (mounts, loop devices) goes away with its namespaces.

Usage: python -m trove_tools.verify.inside SETTINGS.JSON
"""

import fcntl
import json
import os
import shlex
import shutil
import signal
import socket
import struct
import subprocess  # noqa: TID251 (a program of its own)
import sys
import time
import typing

from trove_tools.verify import evidence

SOCKET = "/run/docker.sock"
SCRIPT = "/run/trove-verify/evidence.py"

_LOOP_CONTROL = "/dev/loop-control"
_LOOP_GET_FREE = 0x4C82
_LOOP_CONFIGURE = 0x4C0A
_LOOP_AUTOCLEAR = 4
_UP = 1
_GET_FLAGS, _SET_FLAGS = 0x8913, 0x8914
_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
_NODES = {
    "null": (1, 3), "zero": (1, 5), "full": (1, 7), "random": (1, 8),
    "urandom": (1, 9), "tty": (5, 0), "fuse": (10, 229),
}  # fmt: skip

Say = typing.Callable[..., None]


class BrokenError(Exception):
    """The guest lacks something that it would need to come up."""


def attach(path: str, offset: int = 0, size: int = 0) -> tuple[int, str]:
    """Make a loop device that goes away when nobody uses it any more.

    :returns: its descriptor, which keeps it, and its path.
    """
    backing = os.open(path, os.O_RDWR | os.O_CLOEXEC)
    with open(_LOOP_CONTROL, "rb") as control:
        while True:
            number = fcntl.ioctl(control, _LOOP_GET_FREE)
            device = f"/dev/loop{number}"
            if not os.path.exists(device):
                os.mknod(device, 0o60660, os.makedev(7, number))
            opened = os.open(device, os.O_RDWR | os.O_CLOEXEC)
            config = struct.pack(
                # descriptor, block size, struct loop_info64, reserved
                "=II QQQQQIIII64s64s32sQQ 64s",
                backing, 0, 0, 0, 0, offset, size, 0, 0, 0,
                _LOOP_AUTOCLEAR, b"", b"", b"", 0, 0, b"",
            )  # fmt: skip
            try:
                fcntl.ioctl(opened, _LOOP_CONFIGURE, config)
                os.close(backing)
                return opened, device
            except BlockingIOError:
                pass
            except OSError as exc:
                # somebody else was quicker
                if exc.errno != 16:
                    raise
            os.close(opened)


def mount(*words: str) -> None:
    """Mount something."""
    subprocess.run(["mount", *words], check=True, capture_output=True)


def enter(settings: dict[str, typing.Any]) -> int:
    """Make the image's root this process's own.

    :returns: the descriptor that keeps the volume.
    """
    root = settings["root"]
    os.makedirs(root, exist_ok=True)
    keep, device = attach(
        settings["disk"], settings["offset"], settings["size"]
    )
    mount(device, root)
    os.close(keep)
    volume, device = attach(settings["volume"])
    number = os.stat(device).st_rdev
    mount("-t", "proc", "proc", f"{root}/proc")
    mount("-t", "sysfs", "sysfs", f"{root}/sys")
    mount("--rbind", "/sys/fs/cgroup", f"{root}/sys/fs/cgroup")
    mount("-t", "tmpfs", "-o", "mode=755", "tmpfs", f"{root}/dev")
    for name, (major, minor) in _NODES.items():
        make_node(f"{root}/dev/{name}", 0o20666, os.makedev(major, minor))
    make_node(f"{root}{settings['device']}", 0o60660, number)
    for name in ("pts", "shm"):
        os.mkdir(f"{root}/dev/{name}")
    mount("-t", "devpts", "-o", "newinstance,ptmxmode=0666,mode=620,gid=5",
          "devpts", f"{root}/dev/pts")  # fmt: skip
    mount("-t", "tmpfs", "tmpfs", f"{root}/dev/shm")  # noqa: S108
    for name, target in (
        ("ptmx", "pts/ptmx"), ("fd", "/proc/self/fd"),
        ("stdin", "/proc/self/fd/0"), ("stdout", "/proc/self/fd/1"),
        ("stderr", "/proc/self/fd/2"),
    ):  # fmt: skip
        os.symlink(target, f"{root}/dev/{name}")
    for name, mode in (("run", "755"), ("tmp", "1777")):
        mount("-t", "tmpfs", "-o", f"mode={mode}", "tmpfs", f"{root}/{name}")
    old = f"{root}/run/old"
    os.mkdir(old)
    subprocess.run(["pivot_root", root, old], check=True)
    os.chdir("/")
    subprocess.run(["umount", "--lazy", "/run/old"], check=True)
    os.rmdir("/run/old")
    return volume


def make_node(path: str, mode: int, device: int) -> None:
    """Make a device node that has this mode whatever the umask is."""
    os.mknod(path, mode, device)
    os.chmod(path, mode & 0o777)


def interface_up(name: bytes) -> None:
    """Bring a network interface up."""
    with socket.socket() as any_socket:
        request = struct.pack("16sh14x", name, 0)
        request = fcntl.ioctl(any_socket, _GET_FLAGS, request)
        flags = struct.unpack("16sh14x", request)[1] | _UP
        fcntl.ioctl(
            any_socket, _SET_FLAGS, struct.pack("16sh14x", name, flags)
        )


def account(database: str, name: str) -> list[str]:
    """Return a line of passwd or group; not with this Python's libraries."""
    for line in evidence.read(f"/etc/{database}").splitlines():
        fields = line.split(":")
        if fields[0] == name or (name.isdigit() and fields[2:3] == [name]):
            return fields
    raise BrokenError(f"the image has no {name!r} in /etc/{database}")


def groups_of(name: str, first: int) -> list[int]:
    """Return all the groups of a user."""
    found = [first]
    for line in evidence.read("/etc/group").splitlines():
        fields = line.split(":")
        if len(fields) > 3 and name in fields[3].split(","):
            found.append(int(fields[2]))
    return found


def write_files(settings: dict[str, typing.Any]) -> None:
    """Do what cloud-init does with what Trove injects."""
    uid = int(account("passwd", settings["owner"])[2])
    gid = int(account("group", settings["group"])[2])
    for path, text in settings["files"].items():
        os.makedirs(os.path.dirname(path), exist_ok=True)
        with open(path, "w") as stream:
            stream.write(text)
        os.chmod(path, 0o644)
        os.chown(path, uid, gid)


def start_docker(settings: dict[str, typing.Any], log: int) -> None:
    """Start the Docker engine and wait until it answers.

    Who started this guest ends it if that takes too long.
    """
    docker = shutil.which("dockerd", path=_PATH)
    if docker is None:
        raise BrokenError("the image has no Docker engine (dockerd)")
    engine = subprocess.Popen(
        [
            docker, "--host", f"unix://{SOCKET}",
            "--cgroup-parent", settings["cgroup"], *docker_options(),
        ],
        stdin=subprocess.DEVNULL, stdout=log, stderr=log,
        env={"PATH": _PATH, "LANG": "C.UTF-8"},
    )  # fmt: skip
    while not answers():
        if engine.poll() is not None:
            raise BrokenError(
                f"the Docker engine ended with status {engine.returncode}"
            )
        time.sleep(0.1)


def docker_options() -> list[str]:
    """Return what Debian's unit adds to the engine's command line."""
    for line in evidence.read("/etc/default/docker").splitlines():
        name, _, value = line.partition("=")
        if name.strip() == "DOCKER_OPTS":
            return shlex.split(" ".join(shlex.split(value)))
    return []


def answers() -> bool:
    """Tell whether the Docker engine does."""
    with socket.socket(socket.AF_UNIX) as link:
        link.settimeout(5)
        try:
            link.connect(SOCKET)
            link.sendall(b"GET /_ping HTTP/1.0\r\n\r\n")
            return b"200 OK" in link.recv(4096)
        except OSError:
            return False


def bounds(unit: dict[str, list[str]]) -> list[str]:
    """Return setpriv's option for the capabilities that a unit leaves."""
    names = " ".join(unit.get("CapabilityBoundingSet", [])).split()
    if not names or names[0].startswith("~"):
        return []
    kept = [f"+{name.lower().removeprefix('cap_')}" for name in names]
    return [f"--bounding-set={','.join(['-all', *kept])}"]


def run_agent(log: int) -> typing.NoReturn:
    """Run the agent as its unit says, again and again."""
    unit = evidence.unit_settings()
    if "ExecStart" not in unit:
        raise BrokenError(f"the image has no {evidence.UNIT}")
    user = (unit.get("User") or ["root"])[-1]
    entry = account("passwd", user)
    uid, gid, home = int(entry[2]), int(entry[3]), entry[5]
    groups = groups_of(user, gid)
    for name in " ".join(unit.get("SupplementaryGroups", [])).split():
        groups.append(int(account("group", name)[2]))
    for setting, place in (
        ("LogsDirectory", "/var/log"),
        ("StateDirectory", "/var/lib"),
        ("RuntimeDirectory", "/run"),
        ("CacheDirectory", "/var/cache"),
    ):
        for name in " ".join(unit.get(setting, [])).split():
            os.makedirs(f"{place}/{name}", exist_ok=True)
            os.chown(f"{place}/{name}", uid, gid)
    environment = {
        "PATH": _PATH, "LANG": "C.UTF-8", "HOME": home, "USER": user,
    }  # fmt: skip
    for line in unit.get("Environment", []):
        for word in shlex.split(line):
            name, _, value = word.partition("=")
            environment[name] = value
    command = [
        "setpriv", f"--reuid={uid}", f"--regid={gid}",
        f"--groups={','.join(map(str, groups))}", *bounds(unit), "--",
        *shlex.split(unit["ExecStart"][-1].lstrip("-@+!:")),
    ]  # fmt: skip
    while True:
        done = subprocess.run(
            command,
            stdin=subprocess.DEVNULL, stdout=log, stderr=log,
            env=environment, cwd="/",
        )  # fmt: skip
        line = f"trove-guestagent ended with status {done.returncode}\n"
        os.write(log, line.encode())
        time.sleep(5)


def main(file: str) -> None:
    """Be the guest."""
    with open(file) as stream:
        settings = json.load(stream)
    script = evidence.read(evidence.__file__)
    events = open(settings["events"], "a")
    logs = {
        name: os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
        for name, path in settings["logs"].items()
    }

    def say(event: str, **more: typing.Any) -> None:
        events.write(json.dumps({"event": event, **more}) + "\n")
        events.flush()

    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    os.umask(0o022)
    try:
        volume = enter(settings)
        socket.sethostname("trove-verify")
        interface_up(b"lo")
        os.makedirs(os.path.dirname(SCRIPT), mode=0o700)
        with open(SCRIPT, "w") as copy:
            copy.write(script)
        if not os.path.lexists("/etc/mtab"):
            os.symlink("/proc/self/mounts", "/etc/mtab")
        say("entered", volume=volume)
        write_files(settings)
        start_docker(settings, logs["docker"])
        say("docker")
        # never returns, and so keeps the volume
        run_agent(logs["agent"])
    except BrokenError as exc:
        say("broken", why=str(exc))
    except subprocess.CalledProcessError as exc:
        said = (exc.stderr or b"").decode(errors="replace").strip()
        say("broken", why=f"{shlex.join(exc.cmd)}: {said}")
    except OSError as exc:
        say("broken", why=str(exc))
    # whoever started this still wants to look around
    while True:
        time.sleep(60)


if __name__ == "__main__":
    main(sys.argv[1])
