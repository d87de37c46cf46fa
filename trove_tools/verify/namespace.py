# SPDX-License-Identifier: Apache-2.0
"""The guest in namespaces of this host: quick, and less than a guest.

The image's root file system, copied, runs in mount, process, network and
other namespaces of its own, at native speed and without QEMU.  It has no
network: sockets in a directory lead to the broker, and from here to its
datastore.  Kernel, boot, systemd and cloud-init are this host's or absent;
:data:`UNCHECKED` says so.

The image's programs run as root of this host meanwhile, kept in by nothing
but namespaces: only for images that come from a source that is trusted.
"""

import collections.abc
import contextlib
import json
import os
import pathlib
import signal
import sys
import time
import typing

from trove_tools import console
from trove_tools import errors
from trove_tools import hosttools
from trove_tools import process
from trove_tools.verify import children
from trove_tools.verify import disks
from trove_tools.verify import evidence
from trove_tools.verify import inside
from trove_tools.verify import limits as _limits
from trove_tools.verify import relay
from trove_tools.verify import report
from trove_tools.verify import root

#: Where the guest finds the broker.
ADDRESS, PORT = "127.0.0.1", 5672

UNCHECKED = (
    "the guest's kernel, boot loader, systemd, cloud-init, network and"
    " AppArmor"
)

TOOLS = ("unshare", "nsenter", "mount", children.PARENT, *root.TOOLS)

_PACKAGE = pathlib.Path(__file__).parents[2]
_CGROUPS = pathlib.Path("/sys/fs/cgroup")
_SOCKET = "broker.sock"
_PAUSE = 0.1
# seconds on a quiet host: until the Docker engine answers; until an agent
# that works has answered; for the guest's logs
_USUAL_START = 4.0
_SETTLED = 15.0
_ANSWER = 120.0


class NamespaceGuest:
    """A guest in namespaces; see :class:`rungs.Guest`.

    :param begun: when it was started, by :func:`time.monotonic`.
    """

    def __init__(
        self,
        child: process.Child,
        place: pathlib.Path,
        stack: contextlib.ExitStack,
        progress: console.Progress,
        limits: _limits.Limits,
    ) -> None:
        self._child = child
        self.limits = limits
        self._activity = _limits.Activity(
            *(place / f"{name}.log" for name in ("guest", "docker", "agent")),
            place / "events.jsonl",
        )
        self._place = place
        self._stack = stack
        self._progress = progress
        self._ports: dict[int, int] = {}
        self.begun = time.monotonic()

    def stay_alive(self) -> None:
        """Make sure that the guest still runs.

        :raises CheckError: it does not, or is broken.
        """
        for event in self.events():
            if event["event"] == "broken":
                raise report.CheckError(event["why"])
        status = self._child.poll()
        if status is not None:
            raise report.CheckError(
                f"the guest ended with status {status}",
                children.tail(self._place / "guest.log"),
            )

    def events(self) -> list[dict[str, typing.Any]]:
        """Return what has happened in the guest so far."""
        try:
            text = (self._place / "events.jsonl").read_text()
        except OSError:
            return []
        lines = text.splitlines(keepends=True)
        return [json.loads(line) for line in lines if line.endswith("\n")]

    def settled(self) -> bool:
        """Tell whether everything that it starts has been started."""
        return time.monotonic() > self.begun + self.limits.scaled(_SETTLED)

    def say(self, task: str) -> None:
        """Tell the user what is being waited for."""
        self._progress.state(task)

    def signs(self) -> int:
        """Return a number that grows as long as the guest gets on."""
        return self._activity.count()

    def pid(self) -> int:
        """Return the id that the guest's first process has here.

        :raises CheckError: there is none.
        """
        parent = self._child.pid
        file = pathlib.Path(f"/proc/{parent}/task/{parent}/children")
        try:
            return int(file.read_text().split()[0])
        except (OSError, IndexError) as exc:
            raise report.CheckError(
                "the guest did not start",
                children.tail(self._place / "guest.log"),
            ) from exc

    def within(self, *argv: str) -> list[process.Argument]:
        """Return the command line that runs something in the guest."""
        return [
            "nsenter", "--target", str(self.pid()), "--mount", "--pid",
            "--net", "--uts", "--ipc", "--root", "--wd", *argv,
        ]  # fmt: skip

    def evidence(self, everything: bool) -> dict[str, typing.Any]:
        """Ask the guest for its facts, and for its logs."""
        how = "--all" if everything else "--facts"
        each = f"{self.limits.scaled(evidence.PATIENCE):.0f}"
        try:
            done = process.run(
                self.within("python3", inside.SCRIPT, how, each),
                env={"PATH": "/usr/sbin:/usr/bin:/sbin:/bin"},
                check=False,
                timeout=self.limits.scaled(_ANSWER),
            )
            found = evidence.merged(
                map(json.loads, done.stdout.splitlines())
            )
        except (errors.TroveToolsError, report.CheckError, ValueError):
            found = {}
        if everything:
            # these are outside, whatever the guest answers
            kept = found.setdefault("logs", {})
            for name in ("docker", "agent"):
                kept[f"output of {name}"] = children.tail(
                    self._place / f"{name}.log", 100
                )
        return found

    def port(self, number: int) -> int:
        """Return the port of loopback that leads to one of the guest."""
        if number not in self._ports:
            here = children.free_port()
            name = f"{number}.sock"
            self._relay(f"unix:{name}", f"tcp:127.0.0.1:{number}", True)
            self._relay(f"tcp:127.0.0.1:{here}", f"unix:{name}", False)
            self._ports[number] = here
        return self._ports[number]

    def connect(self, broker: int) -> None:
        """Give the guest its way to the broker."""
        self._relay(f"unix:{_SOCKET}", f"tcp:127.0.0.1:{broker}", False)
        self._relay(f"tcp:{ADDRESS}:{PORT}", f"unix:{_SOCKET}", True)

    def _relay(self, here: str, there: str, within: bool) -> None:
        """Carry connections; all socket files lie in the guest's place."""
        words: list[process.Argument] = [
            sys.executable, "-I", "-S", relay.__file__, here, there,
        ]  # fmt: skip
        if within:
            words[:0] = ["nsenter", "--target", str(self.pid()), "--net"]
        self._stack.enter_context(
            children.child(words, self._place / "relay.log", cwd=self._place)
        )

    def wait_for(self, event: str, what: str) -> None:
        """Wait until something has happened in the guest.

        :param what: what has not happened until then, for a message.
        :raises CheckError: it does not.
        """
        wait = self.limits.wait()
        while not any(each["event"] == event for each in self.events()):
            self.stay_alive()
            wait.require(
                what,
                self.signs(),
                log=lambda: children.tail(self._place / "guest.log"),
            )
            time.sleep(_PAUSE)

    def enter(self) -> None:
        """See its root entered.

        :raises CheckError: it is broken.
        """
        self.say("entering the guest's root file system")
        self.wait_for("entered", "the guest does not enter its root")

    def start(self, found: report.Report) -> None:
        """See its root entered and its Docker engine running.

        :raises CheckError: it is broken.
        """
        with found.check("root") as check:
            self.enter()
            check.detail = f"entered; not checked: {UNCHECKED}"
        with found.check("docker") as check:
            try:
                self.say("waiting for the Docker engine of the guest")
                self.wait_for("docker", "the Docker engine does not answer")
            except report.CheckError as exc:
                exc.log += children.tail(self._place / "docker.log")
                raise
            self.limits.measure(time.monotonic() - self.begun, _USUAL_START)
            check.detail = "the Docker engine answers"


def require() -> None:
    """Make sure that this host and user can do it.

    :raises UsageError: the user cannot.
    :raises MissingToolError: a program is absent.
    """
    process.require(*TOOLS)
    if os.geteuid() != 0:
        raise errors.UsageError(
            "--tier namespace needs root's rights",
            hint="run it with sudo, or use --tier vm, which does not",
        )
    if hosttools.in_chroot():
        raise errors.MissingToolError(
            "--tier namespace cannot work in a chroot: pivot_root refuses",
            hint="use --tier vm, or run it outside",
        )


@contextlib.contextmanager
def guest_of(
    disk: disks.Disk,
    created: dict[str, typing.Any],
    broker: int,
    volume: int,
    place: pathlib.Path,
    progress: console.Progress,
    limits: _limits.Limits,
) -> collections.abc.Iterator[NamespaceGuest]:
    """Run a copy of an image's root in namespaces.

    :param created: what Trove's own code says of the instance.
    :param broker: the broker's port on loopback.
    :param volume: size of the empty second disk, GiB.
    :param place: an empty directory; nobody else may read it.
    """
    progress.state("copying the root file system")
    where = root.copy(disk, place / "disk.raw")
    with open(place / "volume.raw", "wb") as stream:
        stream.truncate(volume << 30)
    cgroup = f"trove-verify-{os.getpid()}-{place.name}"
    settings = place / "settings.json"
    settings.touch(mode=0o600)
    settings.write_text(
        json.dumps(
            {
                "disk": str(where.file),
                "offset": where.offset,
                "size": where.size,
                "volume": str(place / "volume.raw"),
                "root": str(place / "root"),
                "events": str(place / "events.jsonl"),
                "logs": {
                    name: str(place / f"{name}.log")
                    for name in ("docker", "agent")
                },
                "cgroup": f"/{cgroup}",
                **{
                    name: created[name]
                    for name in ("files", "owner", "group", "device")
                },
            }
        )
    )
    try:
        with contextlib.ExitStack() as stack:
            child = stack.enter_context(
                children.child(
                    [
                        "unshare", "--mount", "--pid", "--fork", "--net",
                        "--uts", "--ipc", "--kill-child=KILL", "--",
                        sys.executable, "-S",
                        "-m", inside.__name__, settings,
                    ],
                    place / "guest.log",
                    env={"PYTHONPATH": str(_PACKAGE), "PYTHONSAFEPATH": "1"},
                    cwd=place,
                    sign=signal.SIGKILL,
                )
            )  # fmt: skip
            guest = NamespaceGuest(child, place, stack, progress, limits)
            guest.enter()
            guest.connect(broker)
            yield guest
    finally:
        _remove_cgroups(cgroup)


def _remove_cgroups(name: str) -> None:
    """Remove the control groups of containers that have ended."""
    deadline = time.monotonic() + 5
    for top in [_CGROUPS, *_CGROUPS.glob("*/")]:
        group = top / name
        while group.is_dir():
            try:
                for directory, _, _ in os.walk(group, topdown=False):
                    os.rmdir(directory)
            except OSError:
                if time.monotonic() > deadline:
                    break
                time.sleep(_PAUSE)
