# SPDX-License-Identifier: Apache-2.0
"""Chooses the machines that check an image on this host."""

import contextlib
import dataclasses
import pathlib
import threading

from trove_tools import console
from trove_tools import errors
from trove_tools.verify import container
from trove_tools.verify import levels
from trove_tools.verify import machine as _machine
from trove_tools.verify import qemu
from trove_tools.verify import qemu_command

AUTO = "auto"
KINDS = (AUTO, _machine.QEMU, _machine.CONTAINER)

_MODULES = {_machine.QEMU: qemu, _machine.CONTAINER: container}


@dataclasses.dataclass(frozen=True)
class Machines:
    """The machines that check an image.

    :param kinds: one or two kinds of machine.
    :param absent: why the other kind is not used.
    :param chosen: QEMU's accelerator; None without QEMU.
    :param notes: messages to the user about the choice.
    """

    kinds: tuple[str, ...]
    absent: str = ""
    chosen: qemu_command.Accelerator | None = None
    notes: tuple[str, ...] = ()

    @property
    def accelerator(self) -> str:
        """The name of QEMU's accelerator; empty without QEMU."""
        return self.chosen.name if self.chosen else ""

    def open(
        self,
        kind: str,
        guest: _machine.Guest,
        settings: _machine.Settings,
        directory: pathlib.Path,
        say: _machine.Say,
    ) -> contextlib.AbstractContextManager[_machine.Machine]:
        """Make a machine without starting it; the context's end removes it.

        :param directory: an empty directory; other users must not be able to
            read it.
        :param say: shows the user a text about the current wait.
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
    """Check that this host has a machine for an image.

    :param wanted: one of :data:`KINDS`.
    :param arch: the image's architecture, as the catalog names it.
    :raises MissingToolError: this host has no machine.
    :raises UsageError: QEMU is wanted, but this release does not emulate the
        architecture.
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
    """Return why this host has no machine of a kind; None if it has one."""
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
    """Choose the machines that check an image at a level.

    :param wanted: one of :data:`KINDS`.
    :param level: the name of a level of :mod:`trove_tools.verify.levels`.
    :raises MissingToolError: this host does not have the wanted machine.
    """
    require(wanted, settings.arch)
    without = _absent(settings.arch)
    if wanted == _machine.CONTAINER or without[_machine.QEMU]:
        why = without[_machine.QEMU] or "--machine container was asked for"
        return Machines((_machine.CONTAINER,), f"no QEMU: {why}")
    chosen = qemu_command.choose_accelerator(settings.accelerator)
    only = Machines((_machine.QEMU,), chosen=chosen)
    if wanted == _machine.QEMU:
        return only
    if chosen.name == "kvm" and level != levels.LIFE:
        return only
    if level == levels.BOOT:
        # a container cannot check the boot of an image
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
    """An error in another thread has ended all checks."""


class ProgressLine:
    """The line that shows the progress of all threads that run checks.

    :param several: whether there are several machines; then the line names
        them.
    """

    def __init__(self, progress: console.Progress, several: bool) -> None:
        self._progress = progress
        self._several = several
        self._lock = threading.Lock()
        self._states: dict[int, str] = {}
        self._ended = False

    def state(self, kind: str, text: str) -> None:
        """Show what a machine is doing.

        :raises EndedError: :meth:`end` was called.
        """
        with self._lock:
            if self._ended:
                raise EndedError
            line = f"{kind}: {text}" if self._several and text else text
            self._states[threading.get_ident()] = line
            states = filter(None, self._states.values())
            self._progress.state(" | ".join(states))

    def end(self) -> None:
        """End the checks of all machines."""
        with self._lock:
            self._ended = True
