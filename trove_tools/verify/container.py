# SPDX-License-Identifier: Apache-2.0
"""Runs a guest in systemd-nspawn: the image's userland at the host's speed.

The guest's own systemd starts the same services as in a cloud.  Kernel, boot
loader and initramfs are not the image's, and the disks are not virtio: a boot
in QEMU tests these.

All resources of this host are released when this process and the guest have
ended, for whatever reason: the copy of the disk is a file without a name,
loop devices detach themselves, and mounts and networks are in separate
namespaces.  Only empty control groups remain if both are killed.

The image's programs run as root of this host, confined by namespaces and a
set of capabilities: verify only images that you have built yourself.
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
from trove_tools.host import hosttools
from trove_tools.host import loopdevice
from trove_tools.host import process
from trove_tools.verify import disks
from trove_tools.verify import isolation
from trove_tools.verify import machine
from trove_tools.verify import outcome
from trove_tools.verify import processes
from trove_tools.verify import relay
from trove_tools.verify import seed
from trove_tools.verify import systemd

NSPAWN = "systemd-nspawn"
TOOLS = (
    NSPAWN, "mount", "unshare", "partx", processes.PARENT, disks.TOOL,
    *isolation.TOOLS,
)  # fmt: skip

_ENVIRONMENT = {
    # current Docker packages need the unified hierarchy, whatever the host
    # uses
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
# nspawn runs in a separate pid namespace, because the guest would outlive it
# otherwise.  fstab is emptied, because it must not list a file system that is
# mounted already.
_START = """\
set -eu
for group in {groups}; do echo 0 >"$group/cgroup.procs"; done
mount --bind {network} {place}/network
mount -t proc proc /proc
mount {device} {place}/root
chroot {place}/root /bin/sh -c ': >/etc/fstab'
exec {command}
"""
# the loop waits until the guest has a journal
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
# maximum seconds until the kernel has ended killed processes
_END = 20.0
_PAUSE = 0.1


def require(arch: str) -> None:
    """Check that this host can run containers of systemd-nspawn.

    :param arch: the image's architecture, as the catalog names it.
    :raises MissingToolError: this host cannot run them, or lacks a program.
    """
    for cannot, why, remedy in (
        (os.geteuid() != 0, "it needs root", "run verify with sudo"),
        (
            hosttools.in_chroot(),
            "it cannot work in a chroot, where pivot_root refuses",
            "run verify outside of it",
        ),
        (
            hosttools.KERNEL_NAMES.get(arch) != platform.machine(),
            f"this host does not run programs for {arch}",
            "verify on a host of that architecture",
        ),
    ):
        if cannot:
            raise errors.MissingToolError(why, hint=remedy)
    process.require(*TOOLS)


class Container(machine.Machine):
    """A machine that runs one guest in systemd-nspawn until :meth:`close`."""

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
        self._network: isolation.Network | None = None
        # other threads than the one that runs the guest add services
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
        """End the guest, and release all resources."""
        super().close()
        self._disk_stack.close()
        self._stack.close()

    def start(self) -> None:
        """Start the guest, and wait until its first process runs."""
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
            self._network = isolation.Network(self.guest.nics)
            self._running.callback(self._close_network, self._network)
            for service in self._services:
                self._network.serve(service)
        name = f"{isolation.PREFIX}{os.getpid()}-{id(self):x}-{self._number}"
        groups = isolation.make(name)
        self._running.callback(isolation.remove, groups)
        self._running.callback(self._await_end)
        self._volume, volume = _attach(self.guest.volume)
        self._running.callback(os.close, self._volume)
        directory = self.directory
        command = [
            NSPAWN, *_OPTIONS, f"--directory={directory}/root",
            f"--machine={name}",
            f"--network-namespace-path={directory}/network",
            f"--bind-ro={directory}/seed:{seed.DIRECTORY}",
        ]  # fmt: skip
        script = _START.format(
            groups=shlex.join(map(str, groups)),
            network=self._network.path(),
            device=self._disk,
            place=shlex.quote(str(directory)),
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

    def _close_network(self, network: isolation.Network) -> None:
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
        """Wait until the guest has ended, so that its mounts are gone."""
        deadline = time.monotonic() + _END
        while self._pid and pathlib.Path(f"/proc/{self._pid}").exists():
            if time.monotonic() > deadline:
                break
            time.sleep(_PAUSE)
        self._pid = 0

    def _init(self) -> int:
        """Return this host's id of the guest's first process; 0 if none."""
        assert self._child is not None
        with contextlib.suppress(OSError):
            for nspawn in _children(self._child.pid):
                for pid in _children(nspawn):
                    name = pathlib.Path(f"/proc/{pid}/comm").read_text()
                    # nspawn's child becomes the guest's systemd (exec)
                    if name.strip() in ("systemd", "init"):
                        return pid
        return 0

    def _status(self) -> int | None:
        """Return the exit status of systemd-nspawn; None while it runs."""
        assert self._child is not None
        if self._follower is not None:
            # at its shutdown the guest sends SIGSTOP to all its processes;
            # nsenter stops together with the program that it runs, and would
            # not notice the end of that program
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
        """Return whether the guest's systemd answers."""
        return systemd.read_state(self) in systemd.STATES

    def stay_alive(self) -> None:
        """Check that the guest still runs.

        :raises CheckError: the guest has ended.
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
        """Return the loopback port that is forwarded to a guest's port."""
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
        """Make a service reachable for the guest."""
        with self._services_lock:
            self._services.append(service)
            if self._network is not None:
                self._network.serve(service)

    def replace_disk(
        self,
        disk: disks.Disk,
        instance: collections.abc.Mapping[str, typing.Any],
    ) -> None:
        """Replace the root disk and the seed of a powered-off guest."""
        self._disk_stack.close()
        self.guest = dataclasses.replace(
            self.guest, disk=disk, instance=instance
        )

    def power_off(self) -> None:
        """Shut the guest down through its systemd.

        :raises CheckError: the guest does not power off, or systemd-nspawn
            fails.
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
