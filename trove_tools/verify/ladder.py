# SPDX-License-Identifier: Apache-2.0
"""Runs the checks of an image, in one machine or in two at a time.

With KVM, QEMU runs all checks below the level ``life``.  Without KVM,
emulation is slow: then a container checks the datastores, while QEMU boots
the image once to check its kernel and its boot loader.
"""

import collections.abc
import concurrent.futures
import contextlib
import dataclasses
import functools
import itertools
import pathlib
import shutil
import time
import typing

from trove_tools import console
from trove_tools import errors
from trove_tools.artifact import manifest
from trove_tools.catalog import model
from trove_tools.verify import broker
from trove_tools.verify import checks
from trove_tools.verify import control
from trove_tools.verify import diagnosis
from trove_tools.verify import disks
from trove_tools.verify import levels
from trove_tools.verify import machine as _machine
from trove_tools.verify import machines as _machines
from trove_tools.verify import outcome
from trove_tools.verify import subject as _subject
from trove_tools.verify import workspace
from trove_tools.verify.life import checks as life_checks
from trove_tools.verify.life import swift as _swift


@dataclasses.dataclass(frozen=True)
class Request:
    """The request to verify an image.

    :param level: the name of a level of :mod:`trove_tools.verify.levels`.
    :param datastores: the datastores of which Trove's agent makes instances.
    :param healths: the probe of each datastore that the image itself starts.
    :param machine: ``auto``, ``qemu`` or ``container``.
    :param venv: the environment with Trove; for the levels ``agent`` and
        ``life``.
    :param broker_port: the broker's TCP port; by default a free one.
    :param deployment: what an operator's control plane would inject.
    :param only: the checks of the level ``life`` to run; empty for all.
    :param former: the earlier image, from which the level ``life`` upgrades
        instances.
    """

    level: str
    datastores: tuple[_subject.Datastore, ...] = ()
    healths: collections.abc.Mapping[str, model.Health] = dataclasses.field(
        default_factory=dict
    )
    machine: str = "auto"
    settings: _machine.Settings = _machine.Settings()
    venv: pathlib.Path | None = None
    broker_port: int | None = None
    deployment: control.Deployment = control.Deployment()
    only: tuple[str, ...] = ()
    former: life_checks.Former | None = None


def verify(
    image: pathlib.Path,
    request: Request,
    *,
    screen: console.Console,
    known: manifest.Manifest | None = None,
    sha256: str | None = None,
) -> outcome.Report:
    """Verify an image without changing it.

    A failed check is recorded in the report and raises no exception; see
    :meth:`outcome.Report.raise_for_failure`.

    :param known: the image's manifest, if it has one.
    :param sha256: the file's SHA-256, if it is known already.
    :raises ImageError: the file is not a complete image.
    :raises MissingToolError: this host has no machine for the image.
    :raises UsageError: this user or this release cannot verify the image.
    """
    begin = time.monotonic()
    report = outcome.Report(
        image=str(image),
        level=request.level,
        build_id=known.build_id if known else None,
    )
    with (
        workspace.open_workspace(report, image) as work,
        screen.progress(f"verify {image.name}") as progress,
    ):
        progress.state("reading the image")
        disk = disks.check_image(report, image, known, sha256)
        progress.state("choosing how to run the guest")
        chosen = _machines.choose_machines(
            request.machine, request.settings, request.level
        )
        for text in chosen.notes:
            screen.say(text)
        _Ladder(report, work, disk, request, chosen, progress).climb()
    report.seconds = round(time.monotonic() - begin, 1)
    return report


def require(request: Request) -> None:
    """Check that this host can run a request, before anything slow begins.

    :raises MissingToolError: this host lacks a program or a machine.
    :raises UsageError: this user or this release cannot verify the image.
    """
    if request.level in levels.WITH_TROVE:
        broker.require()
    if request.level == levels.LIFE:
        _swift.require()
    _machines.require(request.machine, request.settings.arch)


class _Ladder:
    """Runs the checks of one image."""

    def __init__(
        self,
        report: outcome.Report,
        work: pathlib.Path,
        disk: disks.Disk,
        request: Request,
        chosen: _machines.Machines,
        progress: console.Progress,
    ) -> None:
        self._report = report
        self._work = work
        self._disk = disk
        self._request = request
        self._machines = chosen
        self._progress = progress
        self._line = _machines.ProgressLine(progress, len(chosen.kinds) > 1)
        self._numbers = itertools.count(1)
        report.machines = list(chosen.kinds)
        report.accelerator = chosen.accelerator
        self._looking = checks.of_datastore(request.level)
        self._life: tuple[checks.Check, ...] = ()
        if request.level == levels.LIFE:
            self._life = life_checks.chosen(request.only)
        self._swift: _swift.Swift | None = None
        report.missing = {
            check.name: chosen.absent
            for check in (
                *checks.GUEST, *self._looking, *self._life, checks.POWER_OFF
            )
            if not set(check.machines) & set(chosen.kinds)
        }
        report.missing |= life_checks.left_out(request.only)

    def climb(self) -> None:
        """Run all checks that the chosen machines support."""
        if len(self._machines.kinds) == 1:
            self._datastores(self._machines.kinds[0])
            return
        with concurrent.futures.ThreadPoolExecutor(1) as pool:
            boot = pool.submit(self._guest, _machine.QEMU, [])
            try:
                self._datastores(_machine.CONTAINER)
            except outcome.CheckError:
                # the boot in the other machine is still worth checking
                pass
            except BaseException:
                self._line.end()
                raise
            self._line.state(_machine.CONTAINER, "done")
            boot.result()

    def _datastores(self, kind: str) -> None:
        """Check the datastores and the guest itself in a machine."""
        if self._request.level in levels.WITH_TROVE:
            self._agent(kind)
        else:
            subjects = [
                {"name": name, "health": health}
                for name, health in self._request.healths.items()
            ]
            ports = {health.port for health in self._request.healths.values()}
            self._guest(kind, subjects, ports=tuple(sorted(ports)))

    def _agent(self, kind: str) -> None:
        """Check an instance of each datastore, each in a separate guest."""
        settings = self._request.settings
        with self._plane(kind) as plane:
            for datastore in self._request.datastores:
                if self._swift is not None:
                    life_checks.plug(plane)
                instance = plane.call(
                    "create",
                    datastore=datastore.name,
                    version=datastore.version,
                    manager=datastore.manager,
                    memory=settings.memory,
                    volume=settings.volume,
                )
                subject = {
                    "name": datastore.name, "plane": plane,
                    "datastore": datastore,
                }  # fmt: skip
                self._guest(
                    kind,
                    [subject],
                    instance=instance,
                    broker=plane.broker.port,
                    ports=(datastore.port,),
                )

    @contextlib.contextmanager
    def _plane(self, kind: str) -> collections.abc.Iterator[control.Control]:
        self._line.state(
            kind, "starting RabbitMQ, trove-conductor and Trove's code"
        )
        request = self._request
        assert request.venv is not None
        managers: control.Sections = {
            # Trove's own default applies if the image's name is empty
            datastore.manager: {
                name: image
                for name, image in (
                    ("docker_image", datastore.image),
                    ("backup_docker_image", datastore.backup),
                )
                if image
            }
            for datastore in request.datastores
        }
        where = control.Place(
            *_machine.BROKER,
            patience=round(request.settings.timeout),
            journal=True,
        )
        life = request.level == levels.LIFE
        with contextlib.ExitStack() as stack:
            with self._report.check("control plane") as check:
                plane = stack.enter_context(
                    control.start_control_plane(
                        self._work, request.venv, where, managers,
                        port=request.broker_port,
                        **self._further(),
                    )
                )  # fmt: skip
                if life:
                    self._swift = stack.enter_context(
                        _swift.swift(self._work, life_checks.TENANT)
                    )
                check.detail = (
                    "RabbitMQ, trove-conductor and Trove's own code run"
                )
            yield plane

    def _further(self) -> dict[str, typing.Any]:
        """Return the level's further arguments for the control plane."""
        request = self._request
        if request.level != levels.LIFE:
            return {"deployment": request.deployment}
        return life_checks.control_plane(
            request.deployment, request.datastores, request.former
        )

    def _directory(self, kind: str) -> pathlib.Path:
        where = self._work / f"{kind}-{next(self._numbers)}"
        where.mkdir(mode=0o700)
        return where

    @contextlib.contextmanager
    def _open(
        self, kind: str, guest: _machine.Guest
    ) -> collections.abc.Iterator[_machine.Machine]:
        where = self._directory(kind)
        with self._machines.open(
            kind,
            guest,
            self._request.settings,
            where,
            functools.partial(self._line.state, kind),
        ) as machine:
            yield machine
        for file in where.iterdir():
            # logs are kept: they are needed if the verification fails
            if file.is_dir():
                shutil.rmtree(file)
            elif file.suffix != ".log":
                file.unlink()

    def _guest(
        self,
        kind: str,
        subjects: collections.abc.Sequence[dict[str, typing.Any]],
        **guest: typing.Any,
    ) -> None:
        """Check one guest and the datastores in it.

        :param subjects: the fields of :class:`_subject.Subject` for each
            datastore in the guest.
        :param guest: further fields of :class:`machine.Guest`.
        :raises CheckError: a check failed, and later checks make no sense.
        """
        volume = self._work / f"volume-{kind}.raw"
        volume.unlink(missing_ok=True)
        disks.make_volume(volume, self._request.settings.volume)
        described = _machine.Guest(self._disk, volume, **guest)
        with self._open(kind, described) as machine:
            subject = functools.partial(
                _subject.Subject,
                machine,
                functools.partial(self._open, kind),
                self._disk,
                self._request.settings,
                self._report.facts,
            )
            try:
                whole = subject()
                for check in checks.GUEST:
                    self._check(check, whole)
                for part in subjects:
                    inside = subject(**part)
                    with life_checks.opened(
                        inside, self._swift, self._work, self._request.former
                    ):
                        for check in self._looking:
                            self._check(check, inside)
                        life_checks.make(
                            inside, self._life, self._check, self._line.end
                        )
                self._check(checks.POWER_OFF, whole)
            finally:
                # another machine may have failed, or have failed before
                if not self._report.console and any(
                    check.machine == kind and not check.ok
                    for check in self._report.checks
                ):
                    self._report.console = machine.console.tail()

    def _check(self, check: checks.Check, subject: _subject.Subject) -> None:
        """Run a check if this machine supports it.

        :raises CheckError: the check failed, and later ones make no sense.
        """
        machine = subject.machine
        name = f"{subject.name}: {check.name}" if subject.name else check.name
        if machine.kind not in check.machines or (
            check.once and self._has_passed(name, machine.kind)
        ):
            return
        try:
            with self._report.check(
                name, machine.kind, check.proves
            ) as result:
                try:
                    result.detail = check.run(subject)
                except (outcome.UnsupportedError, outcome.UnmadeError):
                    raise
                except errors.VerifyError as exc:
                    failure = outcome.CheckError(exc.message, hint=exc.hint)
                    raise self._explained(failure, subject) from exc
                except outcome.CheckError as exc:
                    raise self._explained(exc, subject) from exc
        except (outcome.UnsupportedError, outcome.UnmadeError):
            pass
        except outcome.CheckError:
            if check.ends or not machine.is_on:
                raise

    def _has_passed(self, name: str, kind: str) -> bool:
        return any(
            check.ok and (check.name, check.machine) == (name, kind)
            for check in self._report.checks
        )

    def _explained(
        self, failure: outcome.CheckError, subject: _subject.Subject
    ) -> outcome.CheckError:
        if failure.log or not subject.plane or not subject.machine.is_on:
            return failure
        return diagnosis.explain_failure(
            subject.machine, failure, subject.password
        )
