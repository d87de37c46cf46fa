# SPDX-License-Identifier: Apache-2.0
"""A machine of systemd-nspawn: the image's userland, at the host's speed.

The guest's own systemd starts everything that it starts in a cloud.  Kernel,
boot loader and initramfs are not the image's, and the disks are not virtio:
that is what a boot in QEMU is for.

All that it takes of this host goes away when this process and the guest have
ended, however that happens: a copy of the disk that has no name, loop devices
that detach themselves, mounts and networks in namespaces of their own.  Only
empty control groups stay when both are killed.

The image's programs run as root of this host, kept in by namespaces and a
set of capabilities: only for images that one has built oneself.
"""

import collections.abc
import contextlib
import dataclasses
import os
import pathlib
import platform
import shlex
import shutil
import signal
import socket
import threading
import time
import typing

from trove_tools import errors
from trove_tools.host import architecture
from trove_tools.host import hosttools
from trove_tools.host import loopdevice
from trove_tools.host import process
from trove_tools.verify import cgroups
from trove_tools.verify import disks
from trove_tools.verify import machine
from trove_tools.verify import netns
from trove_tools.verify import outcome
from trove_tools.verify import processes
from trove_tools.verify import relay
from trove_tools.verify import seed
from trove_tools.verify import systemd

NSPAWN = "systemd-nspawn"
TOOLS = (
    NSPAWN, "mount", "unshare", "partx", processes.PARENT, disks.TOOL,
    *netns.TOOLS,
)  # fmt: skip

_ENVIRONMENT = {
    # Docker's packages of today want this one, whatever the host has
    "SYSTEMD_NSPAWN_UNIFIED_HIERARCHY": "1",
    "SYSTEMD_NSPAWN_API_VFS_WRITABLE": "network",
}
_OPTIONS = (
    "--quiet", "--boot", "--register=no", "--keep-unit", "--console=pipe",
    "--capability=all",
    "--system-call-filter=bpf perf_event_open add_key keyctl",
    "--resolv-conf=off", "--timezone=off", "--link-journal=no",
    "--hostname=trove-verify",
)  # fmt: skip
# Processes see each other in a namespace of their own, since a guest would
# outlive nspawn otherwise.  A file system that is mounted already must not
# stand in fstab.
_START = """\
set -eu
for group in {groups}; do echo 0 >"$group/cgroup.procs"; done
mount --bind {network} {place}/network
mount -t proc proc /proc
mount {device} {place}/root
chroot {place}/root /bin/sh -c ': >/etc/fstab'
exec {command}
"""
# there may be no journal yet
_FOLLOW = (
    'until [ -n "$(journalctl --quiet --boot --lines=1 2>/dev/null)" ];'
    " do sleep 0.2; done;"
    " exec journalctl --boot --follow --lines=all --no-pager --no-hostname"
    " --output=short-monotonic"
)
_NAMESPACES = (
    "--mount", "--uts", "--ipc", "--net", "--pid", "--cgroup",
)  # fmt: skip
_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
# systemd gives a unit 90 s to stop
_SHUTDOWN = 120.0
# seconds until the kernel has ended what was killed
_END = 20.0
_PAUSE = 0.1


def require(arch: str) -> None:
    """Check that this host can run containers of systemd-nspawn.

    :param arch: of the image, as the catalog names it.
    :raises MissingToolError: it has not.
    """
    for cannot, why, remedy in (
        (os.geteuid() != 0, "it needs root", "run verify with sudo"),
        (
            hosttools.in_chroot(),
            "it cannot work in a chroot, where pivot_root refuses",
            "run verify outside of it",
        ),
        (
            architecture.KERNEL_NAMES.get(arch) != platform.machine(),
            f"this host does not run programs for {arch}",
            "verify on a host of that architecture",
        ),
    ):
        if cannot:
            raise errors.MissingToolError(why, hint=remedy)
    process.require(*TOOLS)


class Container(machine.Machine):
    """One guest in systemd-nspawn; close it with :meth:`close`."""

    kind = machine.CONTAINER
    usual_start = 1.5
    pause = 0.3

    def __init__(
        self,
        guest: machine.Guest,
        settings: machine.Settings,
        directory: pathlib.Path,
        say: machine.Say,
    ) -> None:
        super().__init__(guest, settings, directory, say)
        self._stack = contextlib.ExitStack()
        self._disk_stack = contextlib.ExitStack()
        self._child: process.Child | None = None
        self._follower: process.Child | None = None
        self._pid = 0
        self._network: netns.Network | None = None
        # others than the thread that runs the guest add services
        self._services_lock = threading.Lock()
        self._ports: dict[int, int] = {}
        self._services: list[machine.Service] = []
        if guest.broker is not None:
            broker = guest.broker
            self.serve(
                machine.Service(
                    *machine.BROKER, lambda: relay.to_loopback(broker)
                )
            )
        self.console.finish("")
        self._volume: int | None = None
        self._number = 0
        self._disk = ""

    def close(self) -> None:
        """End the guest, and give everything back."""
        super().close()
        self._disk_stack.close()
        self._stack.close()

    def start(self) -> None:
        """Power on."""
        if not self._disk:
            self.say("copying the disk")
            device, self._disk = disks.attach_copy(
                self.guest.disk,
                self.directory,
                spare=self._settings.volume << 30,
            )
            self._disk_stack.callback(self._forget_disk, device)
            (self.directory / "root").mkdir(exist_ok=True)
            (self.directory / "network").touch()
            seed.write(
                self.directory / "seed",
                self.guest.instance,
                nics=self.guest.nics,
                dhcp=False,
            )
            self.say("starting the container")
        self._number += 1
        self.begun = time.monotonic()
        with self._services_lock:
            self._network = netns.Network(self.guest.nics)
            self._running.callback(self._close_network, self._network)
            for service in self._services:
                self._network.serve(service)
        name = f"{cgroups.PREFIX}{os.getpid()}-{id(self):x}-{self._number}"
        groups = cgroups.make(name)
        self._running.callback(cgroups.remove, groups)
        self._running.callback(self._await_end)
        self._volume, volume = _attach(self.guest.volume)
        self._running.callback(os.close, self._volume)
        place = self.directory
        command = [
            NSPAWN, *_OPTIONS, f"--directory={place}/root",
            f"--machine={name}",
            f"--network-namespace-path={place}/network",
            f"--bind-ro={place}/seed:{seed.DIRECTORY}",
        ]  # fmt: skip
        script = _START.format(
            groups=shlex.join(map(str, groups)),
            network=self._network.path(),
            device=self._disk,
            place=shlex.quote(str(place)),
            command=process.show(command),
        )
        self._child = self._running.enter_context(
            processes.run_child(
                ["unshare", "--mount", "--propagation", "private", "--pid",
                 "--fork", "--kill-child=KILL", "--", "sh", "-c", script],
                self.directory / machine.CONSOLE,
                env=_ENVIRONMENT,
                sign=signal.SIGKILL,
            )
        )  # fmt: skip
        self._wait_for_init()
        self._enter("mknod", machine.DEVICES[self._settings.disk_bus], "b",
                    str(os.major(os.stat(volume).st_rdev)),
                    str(os.minor(os.stat(volume).st_rdev)))  # fmt: skip
        self._follower = self._running.enter_context(
            processes.run_child(
                self._within("sh", "-c", _FOLLOW),
                self.directory / machine.JOURNAL,
            )
        )

    def _close_network(self, network: netns.Network) -> None:
        with self._services_lock:
            self._network = None
            network.close()

    def _forget_disk(self, device: int) -> None:
        os.close(device)
        self._disk = ""
        shutil.rmtree(self.directory / "seed", ignore_errors=True)

    def _wait_for_init(self) -> None:
        wait = self.limits.wait()
        while not (pid := self._init()):
            self.stay_alive()
            wait.require("systemd-nspawn does not start the guest")
            time.sleep(_PAUSE)
        self._pid = pid

    def _await_end(self) -> None:
        """Wait until the guest is gone, and with it its mounts."""
        deadline = time.monotonic() + _END
        while self._pid and pathlib.Path(f"/proc/{self._pid}").exists():
            if time.monotonic() > deadline:
                break
            time.sleep(_PAUSE)
        self._pid = 0

    def _init(self) -> int:
        """Return the id that the guest's first process has here; or 0."""
        assert self._child is not None
        with contextlib.suppress(OSError):
            for nspawn in _children(self._child.pid):
                for pid in _children(nspawn):
                    name = pathlib.Path(f"/proc/{pid}/comm").read_text()
                    # nspawn's own process becomes the guest's systemd
                    if name.strip() in ("systemd", "init"):
                        return pid
        return 0

    def _status(self) -> int | None:
        """Return how systemd-nspawn ended; nothing if it runs."""
        assert self._child is not None
        if self._follower is not None:
            # nsenter stops with the program that it runs, when the guest
            # stops all of its own at its end, and then would not see it end
            self._follower.send_signal(signal.SIGCONT)
        return self._child.poll()

    def _within(self, *argv: str) -> list[process.Argument]:
        return [
            "nsenter", "--target", str(self._pid), *_NAMESPACES, "--root",
            "--wd", "--", "env", "-i", f"PATH={_PATH}", "LANG=C.UTF-8", *argv,
        ]  # fmt: skip

    def _enter(self, *argv: str) -> None:
        process.run(self._within(*argv))

    def has_started(self) -> bool:
        """Tell whether the guest's systemd answers."""
        return systemd.read_state(self) in systemd.STATES

    def stay_alive(self) -> None:
        """Make sure that the guest still runs.

        :raises CheckError: it does not.
        """
        status = self._status()
        if status is not None:
            raise outcome.CheckError(
                f"the guest ended by itself (systemd-nspawn: {status})",
                self.console.tail(),
            )

    def run(
        self, *argv: str, input: str = "", seconds: float = machine.PATIENCE
    ) -> machine.Completed:
        """Run a command in the guest, as root."""
        self.stay_alive()
        try:
            done = process.run(
                self._within(*argv),
                input=input,
                timeout=self.limits.scaled(seconds),
                check=False,
            )
        except errors.CommandError as exc:
            raise outcome.CheckError(
                f"a command in the guest did not end: {process.show(argv)}"
            ) from exc
        return machine.Completed(done.status, done.stdout + done.stderr)

    def port(self, number: int) -> int:
        """Return the port of loopback that leads to one of the guest."""
        if number not in self._ports:
            server = socket.create_server(("127.0.0.1", 0))
            self._stack.callback(relay.stop, server)
            relay.serve(server, lambda: self.connect(number))
            self._ports[number] = server.getsockname()[1]
        return self._ports[number]

    def connect(self, port: int) -> socket.socket:
        """Connect to a port of the guest, as its clients do."""
        if self._network is None:
            raise OSError("the guest does not run")
        return self._network.connect(port)

    def serve(self, service: machine.Service) -> None:
        """Let the guest reach something, from now on."""
        with self._services_lock:
            self._services.append(service)
            if self._network is not None:
                self._network.serve(service)

    def replace_disk(
        self,
        disk: disks.Disk,
        instance: collections.abc.Mapping[str, typing.Any],
    ) -> None:
        """Give the guest, which is off, another root disk and seed."""
        self._disk_stack.close()
        self.guest = dataclasses.replace(
            self.guest, disk=disk, instance=instance
        )

    def power_off(self) -> None:
        """Have the guest's systemd stop everything.

        :raises CheckError: it does not.
        """
        self.run("systemctl", "poweroff", "--no-block")
        self.say("waiting for the guest to power off")
        wait = self.limits.wait(_SHUTDOWN)
        while self._status() is None:
            wait.require(
                "the guest does not power off",
                self.signs(),
                log=self.journal_tail,
            )
            time.sleep(_PAUSE)
        status = self._status()
        self.cut_power()
        if status != 0:
            raise outcome.CheckError(
                f"systemd-nspawn ended with status {status}",
                self.console.tail(),
            )

    def grow_volume(self, gib: int) -> None:
        """Enlarge the second disk of the running guest."""
        assert self._volume is not None
        os.truncate(self.guest.volume, gib << 30)
        loopdevice.grow(self._volume)


def _children(pid: int) -> list[int]:
    file = pathlib.Path(f"/proc/{pid}/task/{pid}/children")
    return [int(word) for word in file.read_text().split()]


def _attach(file: pathlib.Path) -> tuple[int, str]:
    descriptor = os.open(file, os.O_RDWR | os.O_CLOEXEC)
    try:
        return loopdevice.attach(descriptor)
    finally:
        os.close(descriptor)
