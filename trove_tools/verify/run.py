# SPDX-License-Identifier: Apache-2.0
"""Boots an image and looks at it, one check after the other.

The checks are rungs of a ladder: the image is whole, it boots, systemd has
started everything, the volume is there, each datastore answers from
outside, the power button works.  A rung that does not hold ends the climb
only where nothing above it could.
"""

import collections.abc
import contextlib
import dataclasses
import pathlib
import tempfile
import time

from trove_tools import console
from trove_tools import digests
from trove_tools import errors
from trove_tools import manifest
from trove_tools import process
from trove_tools.catalog import model
from trove_tools.verify import accel
from trove_tools.verify import disks
from trove_tools.verify import guest
from trove_tools.verify import limits
from trove_tools.verify import logs
from trove_tools.verify import probes
from trove_tools.verify import qemu
from trove_tools.verify import report
from trove_tools.verify import seed

_GIB = 1 << 30
# seconds without anything new after which a database is not waited for any
# more that systemd has started
_PROBE = 120.0


@dataclasses.dataclass(frozen=True)
class Options:
    """How an image is looked at.

    :param accelerator: ``auto``, ``kvm`` or ``tcg``.
    :param timeout: seconds that one wait lasts at most, however much the
        guest gets on; see :mod:`trove_tools.verify.limits`.
    :param memory: MiB.
    :param volume: size of the empty second disk, GiB.
    :param disk_bus: what both are on: ``virtio`` or ``scsi``, as Nova's
        ``hw_disk_bus``.
    """

    accelerator: str = "auto"
    timeout: float = limits.MOST
    memory: int = 2048
    cpus: int = 2
    arch: str = "amd64"
    volume: int = 2
    disk_bus: str = qemu.VIRTIO


def verify(
    image: pathlib.Path,
    healths: collections.abc.Mapping[str, model.Health],
    *,
    options: Options,
    screen: console.Console,
    known: manifest.Manifest | None = None,
    sha256: str | None = None,
) -> report.Report:
    """Look at an image; it is never changed.

    A check that fails is part of the report, and not an exception: see
    :meth:`report.Report.raise_for_failure`.

    :param healths: the probe of each datastore in the image, by its name;
        with none, the climb ends at the boot.
    :param known: the image's manifest, when it has one.
    :param sha256: the file's, where that is known already.
    :raises ImageError: the file is no image, or not a whole one.
    :raises MissingToolError: this host cannot boot it.
    :raises UsageError: this release cannot boot it.
    """
    process.require(disks.TOOL, seed.TOOL, *qemu.tools(options.arch))
    begin = time.monotonic()
    found = report.Report(
        image=str(image),
        level="datastore" if healths else "boot",
        build_id=known.build_id if known else None,
    )
    with (
        work_directory(found, image) as place,
        screen.progress(f"verify {image.name}") as progress,
    ):
        disk = check_image(found, image, known, sha256, progress)
        progress.state("choosing what runs the guest")
        chosen = accel.choose(options.accelerator)
        found.accelerator = chosen.name
        progress.state(f"using {chosen.name.upper()}: {chosen.reason}")
        _boot(found, disk, healths, place, chosen, options, progress)
    found.seconds = round(time.monotonic() - begin, 1)
    return found


@contextlib.contextmanager
def work_directory(
    found: report.Report, image: pathlib.Path
) -> collections.abc.Iterator[pathlib.Path]:
    """Give a verify a directory to work in, and keep its logs if it fails.

    A :class:`report.CheckError` ends it: that stands in the report.
    """
    with tempfile.TemporaryDirectory(prefix="trove-verify-") as directory:
        place = pathlib.Path(directory)
        try:
            yield place
        except report.CheckError:
            pass
        except errors.VerifyError as exc:
            kept = logs.keep(place, image)
            if kept is not None:
                where = f"all logs are in {kept}"
                exc.hint = f"{exc.hint}; {where}" if exc.hint else where
            raise
        if found.ok:
            logs.forget(image)
        else:
            kept = logs.keep(place, image)
            found.logs = str(kept) if kept else None


def check_image(
    found: report.Report,
    image: pathlib.Path,
    known: manifest.Manifest | None,
    sha256: str | None,
    progress: console.Progress,
) -> disks.Disk:
    """See that the file is a whole image, and the one of its manifest.

    :param sha256: the file's, where that is known already.
    :raises CheckError: it is not the one of its manifest.
    :raises ImageError: it is no image, or not a whole one.
    """
    progress.state("reading the image")
    with found.check("image") as check:
        disk = disks.inspect(image, known)
        check.detail = f"whole; {disk.format}, {disk.size / _GIB:.1f} GiB disk"
        if known is not None:
            sha256 = sha256 or digests.sha256(image)
            if sha256 != known.image["sha256"]:
                raise report.CheckError(
                    "not the image that its manifest describes:"
                    f" its sha256 is {sha256}",
                    hint="build the image again, or copy it again",
                )
            check.detail += ", as its manifest says"
    return disk


def _boot(
    found: report.Report,
    disk: disks.Disk,
    healths: collections.abc.Mapping[str, model.Health],
    place: pathlib.Path,
    accelerator: accel.Accelerator,
    options: Options,
    progress: console.Progress,
) -> None:
    """Boot an overlay of the image and climb as far as it holds."""
    known = seed.Secrets.new()
    disks.overlay(disk, place / qemu.OVERLAY)
    disks.volume(place / qemu.VOLUME, options.volume)
    setup = {name: health.setup for name, health in healths.items()}
    seed.make(known, setup, place)
    hardware = qemu.Hardware(
        arch=options.arch,
        accelerator=accelerator,
        memory=options.memory,
        cpus=options.cpus,
        ports=tuple(sorted({each.port for each in healths.values()})),
        disk_bus=options.disk_bus,
    )
    with qemu.Qemu(hardware, place) as machine:
        watched = guest.Guest(
            machine, known.nonce, progress, limits.Limits(options.timeout)
        )
        climb = _Climb(found, machine, watched, known, options)
        try:
            climb.boot()
            climb.volume()
            for name, health in healths.items():
                climb.datastore(name, health)
            climb.power_off()
        finally:
            if not found.ok:
                found.console = watched.console_tail()


class _Climb:
    """The checks of a running guest."""

    def __init__(
        self,
        found: report.Report,
        machine: qemu.Qemu,
        watched: guest.Guest,
        known: seed.Secrets,
        options: Options,
    ) -> None:
        self._found = found
        self._machine = machine
        self._guest = watched
        self._known = known
        self._options = options

    def boot(self) -> None:
        """See the guest come up, with all that it is to start."""
        with self._found.check("boot") as check:
            try:
                self._guest.wait_for("started")
            except report.CheckError as exc:
                if self._found.accelerator == "kvm" and exc.hint is None:
                    exc.hint = "is it KVM? see with --accelerator tcg"
                raise
            check.detail = "kernel, root file system and cloud-init work"
        with (
            contextlib.suppress(_DegradedError),
            self._found.check("systemd") as check,
        ):
            booted = self._guest.wait_for("booted")
            for fact in ("times", "slowest", "volume"):
                self._found.facts[fact] = booted[fact]
            _check_state(booted)
            check.detail = _boot_times(booted["times"])

    def volume(self) -> None:
        """See that the second disk is where Trove looks for it."""
        with (
            contextlib.suppress(report.CheckError),
            self._found.check("volume") as check,
        ):
            device = qemu.DEVICES[self._options.disk_bus]
            size = self._found.facts["volume"]
            if size != self._options.volume * _GIB:
                raise report.CheckError(
                    f"{device} has {size} bytes instead of"
                    f" {self._options.volume} GiB"
                )
            check.detail = f"{device}, {self._options.volume} GiB"

    def datastore(self, name: str, health: model.Health) -> None:
        """Ask a datastore its question, from outside the guest."""
        with (
            contextlib.suppress(_SilentError),
            self._found.check(name) as check,
        ):
            check.detail = self._answer(name, health)

    def _answer(self, name: str, health: model.Health) -> str:
        self._guest.say(f"waiting for the guest to prepare {name} for a probe")
        prepared = self._guest.wait_for(
            "prepared", lambda each: each["probe"] == name
        )
        if prepared["status"] != 0:
            said = prepared["output"].replace(self._known.password, "***")
            raise _SilentError(
                "the probe's setup failed in the guest"
                f" (status {prepared['status']})",
                said.splitlines(),
            )
        target = probes.Target(
            self._machine.forwards()[health.port],
            self._known.user,
            self._known.password,
        )
        self._guest.say(f"waiting for {name} to answer")
        wait = self._guest.limits.wait(_PROBE)

        def between(attempt: probes.NoAnswerError) -> None:
            self._guest.look()
            self._guest.stay_alive()
            try:
                wait.require(
                    f"no answer on port {health.port} ({attempt})",
                    self._guest.signs(),
                    log=self._guest.journal_tail,
                )
            except report.CheckError as exc:
                silent = _SilentError(exc.message, exc.log, exc.hint)
                silent.add_hint(
                    f"is {name} started, and bound to all addresses?"
                )
                raise silent from exc

        patience = self._guest.limits.scaled(probes.ATTEMPT)
        try:
            answer = probes.ask_until(health, target, between, patience)
        except probes.RefusedError as exc:
            raise _SilentError(f"port {health.port}: {exc}") from exc
        return f"port {health.port} answers {answer!r}"

    def power_off(self) -> None:
        """See the guest shut down as a cloud asks it to."""
        with self._found.check("power off") as check:
            self._guest.shut_down()
            check.detail = "the guest obeys the power button"


class _DegradedError(report.CheckError):
    """The guest is up, with something broken: look further."""


class _SilentError(report.CheckError):
    """A datastore is not as it should be: ask the others."""


def _boot_times(times: dict[str, float]) -> str:
    if not times:
        return "running, no failed unit"
    return (
        f"running, no failed unit; kernel {times['kernel']} s,"
        f" userspace {times['userspace']} s"
    )


def _check_state(booted: guest.Event) -> None:
    if booted["state"] == "running" and not booted["failed"]:
        return
    log = []
    for each in booted["failed"]:
        log += [f"{each['unit']}:", *(f"  {line}" for line in each["log"])]
    units = ", ".join(each["unit"] for each in booted["failed"])
    raise _DegradedError(
        f"systemd is {booted['state']}, failed: {units or 'nothing it names'}",
        log,
    )
