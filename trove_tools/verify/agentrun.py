# SPDX-License-Identifier: Apache-2.0
"""Looks at an image with Trove's own guest agent.

For each datastore of the image: a fresh guest, an instance in a control
plane of Trove's own code, and the rungs that the instance climbs.
"""

import collections.abc
import contextlib
import dataclasses
import pathlib
import shutil
import time
import typing

from trove_tools import console
from trove_tools import manifest
from trove_tools import process
from trove_tools.verify import accel
from trove_tools.verify import broker
from trove_tools.verify import control
from trove_tools.verify import disks
from trove_tools.verify import limits
from trove_tools.verify import namespace
from trove_tools.verify import qemu
from trove_tools.verify import report
from trove_tools.verify import run
from trove_tools.verify import rungs
from trove_tools.verify import seed
from trove_tools.verify import vm


@dataclasses.dataclass(frozen=True)
class Options:
    """How an image is looked at.

    :param basic: what the lower levels know as well.
    :param tier: ``vm`` or ``namespace``.
    :param venv: the environment with Trove.
    :param broker_port: of the broker; a free one when not given.
    :param deployment: what an operator's control plane would inject.
    """

    basic: run.Options
    venv: pathlib.Path
    tier: str = "vm"
    broker_port: int | None = None
    deployment: control.Deployment = dataclasses.field(
        default_factory=control.Deployment
    )


def require(options: Options) -> None:
    """Make sure that this host has what it takes.

    :raises MissingToolError: it lacks a program.
    :raises UsageError: the user or this release cannot do it.
    """
    broker.require()
    if options.tier == "namespace":
        namespace.require()
    else:
        process.require(seed.TOOL, *qemu.tools(options.basic.arch))


def verify(
    image: pathlib.Path,
    datastores: collections.abc.Sequence[rungs.Datastore],
    *,
    options: Options,
    screen: console.Console,
    known: manifest.Manifest | None = None,
    sha256: str | None = None,
) -> report.Report:
    """Look at an image; it is never changed.

    :param datastores: what to make an instance of, one after the other.
    :param sha256: the image's, where that is known already.
    :raises ImageError: the file is no image, or not a whole one.
    :raises MissingToolError: this host lacks something.
    """
    require(options)
    begin = time.monotonic()
    found = report.Report(
        image=str(image),
        level="agent",
        tier=options.tier,
        build_id=known.build_id if known else None,
    )
    if options.tier == "namespace":
        found.unchecked = namespace.UNCHECKED
        screen.say(f"--tier namespace does not check {namespace.UNCHECKED}")
    with (
        run.work_directory(found, image) as place,
        screen.progress(f"verify {image.name}") as progress,
    ):
        disk = run.check_image(found, image, known, sha256, progress)
        _Look(found, place, options, progress).at(disk, datastores)
    found.seconds = round(time.monotonic() - begin, 1)
    return found


class _Look:
    """One look at an image."""

    def __init__(
        self,
        found: report.Report,
        place: pathlib.Path,
        options: Options,
        progress: console.Progress,
    ) -> None:
        self._found = found
        self._place = place
        self._options = options
        self._progress = progress

    def at(
        self,
        disk: disks.Disk,
        datastores: collections.abc.Sequence[rungs.Datastore],
    ) -> None:
        """Look at each datastore.

        :raises CheckError: something does not hold.
        """
        basic = self._options.basic
        if self._options.tier == "namespace":
            self._native(disk, datastores)
            return
        self._progress.state("choosing what runs the guest")
        chosen = accel.choose(basic.accelerator)
        self._found.accelerator = chosen.name
        frame = vm.Frame(
            chosen,
            basic.arch,
            basic.memory,
            basic.cpus,
            basic.volume,
            basic.disk_bus,
        )
        place = control.Place(
            vm.ADDRESS,
            vm.PORT,
            patience=round(basic.timeout),
            journal=True,
        )
        with self._plane(place, datastores) as plane:
            for datastore, created, where in self._each(plane, datastores):
                self._boot(disk, plane, datastore, created, where, frame)

    def _native(
        self,
        disk: disks.Disk,
        datastores: collections.abc.Sequence[rungs.Datastore],
    ) -> None:
        basic = self._options.basic
        place = control.Place(
            namespace.ADDRESS, namespace.PORT, patience=round(basic.timeout)
        )
        with self._plane(place, datastores) as plane:
            for datastore, created, where in self._each(plane, datastores):
                with namespace.guest_of(
                    disk,
                    created,
                    plane.broker.port,
                    basic.volume,
                    where,
                    self._progress,
                    limits.Limits(basic.timeout),
                ) as guest:
                    guest.start(self._found)
                    self._climb(guest, plane, datastore, guest.begun)

    @contextlib.contextmanager
    def _plane(
        self,
        place: control.Place,
        datastores: collections.abc.Sequence[rungs.Datastore],
    ) -> collections.abc.Iterator[control.Control]:
        self._progress.state("starting broker, conductor and Trove's own code")
        managers: control.Sections = {
            # without an image's name: Trove's own default
            each.manager: {"docker_image": each.image} if each.image else {}
            for each in datastores
        }
        with contextlib.ExitStack() as stack:
            with self._found.check("control plane") as check:
                plane = stack.enter_context(
                    control.control(
                        self._place,
                        self._options.venv,
                        place,
                        managers,
                        deployment=self._options.deployment,
                        port=self._options.broker_port,
                    )
                )
                check.detail = (
                    "RabbitMQ, trove-conductor and Trove's own code run"
                )
            yield plane

    def _each(
        self,
        plane: control.Control,
        datastores: collections.abc.Sequence[rungs.Datastore],
    ) -> collections.abc.Iterator[
        tuple[rungs.Datastore, dict[str, typing.Any], pathlib.Path]
    ]:
        """Make an instance of each datastore, and a place for its guest."""
        basic = self._options.basic
        for number, datastore in enumerate(datastores):
            where = self._place / f"guest-{number}"
            where.mkdir(mode=0o700)
            created = plane.call(
                "create",
                datastore=datastore.name,
                version=datastore.version,
                manager=datastore.manager,
                memory=basic.memory,
                volume=basic.volume,
            )
            yield datastore, created, where
            shutil.rmtree(where)

    def _boot(
        self,
        disk: disks.Disk,
        plane: control.Control,
        datastore: rungs.Datastore,
        created: dict[str, typing.Any],
        where: pathlib.Path,
        frame: vm.Frame,
    ) -> None:
        """Boot a guest and let its instance climb."""
        begun = time.monotonic()
        with vm.guest_of(
            disk,
            created,
            plane.broker.port,
            [datastore.port],
            frame,
            where,
            self._progress,
            limits.Limits(self._options.basic.timeout),
        ) as guest:
            try:
                guest.boot(self._found)
                self._climb(guest, plane, datastore, begun)
                guest.systemd(self._found)
                guest.file_systems(self._found)
                guest.power_off(self._found)
            finally:
                if not self._found.ok:
                    self._found.console = guest.console_tail()

    def _climb(
        self,
        guest: rungs.Guest,
        plane: control.Control,
        datastore: rungs.Datastore,
        begun: float,
    ) -> None:
        rungs.Climb(
            self._found,
            guest,
            plane,
            datastore,
            begun,
        ).climb()
