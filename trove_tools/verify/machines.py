# SPDX-License-Identifier: Apache-2.0
"""Decides which machines look at an image on this host."""

import contextlib
import dataclasses
import pathlib
import threading

from trove_tools import console
from trove_tools import errors
from trove_tools.verify import accel
from trove_tools.verify import container
from trove_tools.verify import levels
from trove_tools.verify import machine as _machine
from trove_tools.verify import qemu

AUTO = "auto"
KINDS = (AUTO, _machine.QEMU, _machine.CONTAINER)

_MODULES = {_machine.QEMU: qemu, _machine.CONTAINER: container}


@dataclasses.dataclass(frozen=True)
class Machines:
    """The machines that look at an image.

    :param kinds: one or two.
    :param absent: why the other one is not among them.
    :param accelerator: of QEMU; empty without it.
    :param notes: what the user should know of the choice.
    """

    kinds: tuple[str, ...]
    absent: str = ""
    chosen: accel.Accelerator | None = None
    notes: tuple[str, ...] = ()

    @property
    def accelerator(self) -> str:
        """The name of what runs QEMU's processors; empty without QEMU."""
        return self.chosen.name if self.chosen else ""

    def open(
        self,
        kind: str,
        guest: _machine.Guest,
        settings: _machine.Settings,
        directory: pathlib.Path,
        say: _machine.Say,
    ) -> contextlib.AbstractContextManager[_machine.Machine]:
        """Make a machine that has not been started; it is gone afterwards.

        :param directory: an empty directory; nobody else may read it.
        :param say: takes what the user is told.
        """
        if kind == _machine.CONTAINER:
            return contextlib.closing(
                container.Container(guest, settings, directory, say)
            )
        assert self.chosen is not None
        return contextlib.closing(
            qemu.Qemu(guest, settings, directory, say, self.chosen)
        )


def require(wanted: str, arch: str) -> None:
    """Make sure that this host has a machine.

    :param wanted: one of :data:`KINDS`.
    :param arch: of the image.
    :raises MissingToolError: it has none.
    :raises UsageError: QEMU is wanted, and this release does not emulate it.
    """
    if wanted != AUTO:
        _MODULES[wanted].require(arch)
        return
    without = _absent(arch)
    if all(without.values()):
        raise errors.MissingToolError(
            "this host has no machine for the image: "
            + "; ".join(f"{kind}: {exc}" for kind, exc in without.items()),
            hint="one of them is enough: "
            + "; or ".join(exc.hint for exc in without.values()
                           if exc is not None and exc.hint),
        )  # fmt: skip


def find_absence(kind: str, arch: str) -> errors.TroveToolsError | None:
    """Return why this host has no machine of a kind; nothing if it has."""
    try:
        _MODULES[kind].require(arch)
    except errors.TroveToolsError as exc:
        return exc
    return None


def _absent(arch: str) -> dict[str, errors.TroveToolsError | None]:
    return {kind: find_absence(kind, arch) for kind in _MODULES}


def choose_machines(
    wanted: str, settings: _machine.Settings, level: str
) -> Machines:
    """Choose the machines.

    :param wanted: one of :data:`KINDS`.
    :param level: see :mod:`trove_tools.verify.levels`.
    :raises MissingToolError: this host does not have what is wanted.
    """
    require(wanted, settings.arch)
    without = _absent(settings.arch)
    if wanted == _machine.CONTAINER or without[_machine.QEMU]:
        why = without[_machine.QEMU] or "--machine container was asked for"
        return Machines((_machine.CONTAINER,), f"no QEMU: {why}")
    chosen = accel.choose(settings.accelerator)
    only = Machines((_machine.QEMU,), chosen=chosen)
    if wanted == _machine.QEMU:
        return only
    if chosen.name == "kvm" and level != levels.LIFE:
        return only
    if level == levels.BOOT:
        # a container has no boot to look at
        return only
    if without[_machine.CONTAINER]:
        note = (
            "without KVM, QEMU emulates the guest, which is slow; no container"
            " can check the datastores meanwhile:"
            f" {_words(without[_machine.CONTAINER])}"
        )
        return dataclasses.replace(only, notes=(note,))
    return Machines(
        (_machine.QEMU, _machine.CONTAINER),
        chosen=chosen,
        notes=(
            f"{chosen.reason}: QEMU emulates a boot of the image while a"
            " container checks its datastores",
        ),
    )


def _words(exc: errors.TroveToolsError | None) -> str:
    if exc is None:
        return ""
    return f"{exc.message} ({exc.hint})" if exc.hint else exc.message


class EndedError(Exception):
    """The checks in the other machine failed, so these end, too."""


class ProgressLine:
    """The line that shows the progress of all threads that run checks.

    :param several: whether there are several machines, which it names then.
    """

    def __init__(self, progress: console.Progress, several: bool) -> None:
        self._progress = progress
        self._several = several
        self._lock = threading.Lock()
        self._states: dict[int, str] = {}
        self._ended = False

    def state(self, kind: str, text: str) -> None:
        """Show what a machine does.

        :raises EndedError: the verification has been ended.
        """
        with self._lock:
            if self._ended:
                raise EndedError
            said = f"{kind}: {text}" if self._several and text else text
            self._states[threading.get_ident()] = said
            states = filter(None, self._states.values())
            self._progress.state(" | ".join(states))

    def end(self) -> None:
        """End the checks of all machines."""
        with self._lock:
            self._ended = True
