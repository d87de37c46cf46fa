# SPDX-License-Identifier: Apache-2.0
"""A machine that runs nothing, for tests."""

import pathlib
import typing

from trove_tools.verify import disks
from trove_tools.verify import machine
from trove_tools.verify import outcome


class Machine(machine.Machine):
    """Answers commands as it is told.

    :param answers: by a command's first words, what it prints, its exit
        status and what it prints, or an exception.
    """

    kind = machine.QEMU
    usual_start = 35.0
    pause = 0.01

    def __init__(
        self,
        directory: pathlib.Path,
        ports: tuple[int, ...] = (),
        settings: machine.Settings = machine.Settings(),  # noqa: B008
    ) -> None:
        self.said: list[str] = []
        disk = disks.Disk(directory / "disk", "raw", 1)
        guest = machine.Guest(disk, directory / "volume", ports=ports)
        super().__init__(guest, settings, directory, self._hear)
        self.answers: dict[str, typing.Any] = {}
        self.asked: list[tuple[str, ...]] = []
        self.lost = ""
        self.started = True

    def _hear(self, text: str) -> None:
        if text not in self.said:
            self.said.append(text)

    def start(self) -> None:
        pass

    def has_started(self) -> bool:
        return self.started

    def stay_alive(self) -> None:
        self.console.read()
        if self.lost:
            raise outcome.CheckError(self.lost)

    def run(
        self, *argv: str, input: str = "", seconds: float = 1
    ) -> machine.Completed:
        self.asked.append(argv)
        line = " ".join(argv)
        found: typing.Any = ""
        for words, answer in self.answers.items():
            if line.startswith(words):
                found = answer() if callable(answer) else answer
                break
        if isinstance(found, Exception):
            raise found
        if isinstance(found, tuple):
            return machine.Completed(*found)
        return machine.Completed(0, found)

    def port(self, number: int) -> int:
        return number + 10000

    def power_off(self) -> None:
        self.is_on = False

    def cut_power(self) -> None:
        self.is_on = False

    def grow_volume(self, gib: int) -> None:
        pass

    def prints(self, text: str) -> None:
        """Have the guest print something."""
        with open(self.directory / machine.CONSOLE, "a") as stream:
            stream.write(text)
