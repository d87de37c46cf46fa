# SPDX-License-Identifier: Apache-2.0
"""Reads the state of a guest from its systemd."""

import time
import typing

from trove_tools.verify import machine as _machine
from trove_tools.verify import outcome

#: The states that systemd reports, once it answers.
STATES = ("initializing", "starting", "running", "degraded", "maintenance",
          "stopping")  # fmt: skip

_BOOTING = ("initializing", "starting")
_LOG_LINES = "20"
_SHOWN_JOBS = 3


class Failed(typing.NamedTuple):
    """A failed unit, with the last lines of its log."""

    unit: str
    log: list[str]


def read_state(machine: _machine.Machine) -> str:
    """Return systemd's word for the guest's state; empty without an answer."""
    words = machine.run("systemctl", "is-system-running").output.split()
    return words[-1] if words else ""


def wait_booted(machine: _machine.Machine) -> str:
    """Wait until the boot is over, and return systemd's state.

    :returns: systemd's word for the state.
    :raises CheckError: the boot does not end.
    """
    wait = machine.limits.wait()
    while True:
        word = read_state(machine)
        if word in STATES and word not in _BOOTING:
            machine.console.finish("")
            return word
        waiting = f"the guest waits for {_jobs(machine)}"
        machine.console.finish(waiting)
        machine.look()
        machine.stay_alive()
        wait.require(
            f"{waiting}: this did not end",
            machine.signs(),
            log=machine.journal_tail,
        )
        time.sleep(machine.pause)


def _jobs(machine: _machine.Machine) -> str:
    """Return the units that systemd is starting now, as a short text."""
    lines = machine.run(
        "systemctl", "list-jobs", "--plain", "--no-legend"
    ).output.splitlines()
    words = [line.split() for line in lines]
    names = [w[1] for w in words if len(w) > 3 and w[3] == "running"]
    shown = ", ".join(names[:_SHOWN_JOBS]) or "systemd"
    more = len(names) - _SHOWN_JOBS
    return f"{shown} and {more} more" if more > 0 else shown


def list_failed_units(machine: _machine.Machine) -> list[Failed]:
    """Return the failed units with the last lines of their logs."""
    lines = machine.run(
        "systemctl", "list-units", "--state=failed", "--plain", "--full",
        "--no-legend",
    ).output.splitlines()  # fmt: skip
    return [
        Failed(
            words[0],
            machine.run(
                "journalctl", "--boot", "--no-pager", "--no-hostname",
                "--unit", words[0], "--lines", _LOG_LINES,
            ).output.splitlines(),
        )
        for words in map(str.split, lines)
        if words
    ]  # fmt: skip


def read_boot_times(machine: _machine.Machine) -> dict[str, float]:
    """Return the durations of the parts of the boot, in seconds."""
    lines = machine.run(
        "systemctl", "show",
        "--property=UserspaceTimestampMonotonic,FinishTimestampMonotonic",
    ).output.splitlines()  # fmt: skip
    stamps = dict(line.split("=", 1) for line in lines if "=" in line)
    try:
        kernel = int(stamps["UserspaceTimestampMonotonic"]) / 1e6
        total = int(stamps["FinishTimestampMonotonic"]) / 1e6
    except (KeyError, ValueError):
        return {}
    if machine.kind == _machine.CONTAINER:
        # the timestamps of a container count from the boot of this host
        return {"userspace": round(total - kernel, 1)}
    return {
        "kernel": round(kernel, 1),
        "userspace": round(total - kernel, 1),
        "total": round(total, 1),
    }


def list_slowest_units(machine: _machine.Machine) -> list[str]:
    """Return the five units that took longest to start."""
    output = machine.run("systemd-analyze", "--no-pager", "blame").output
    return [line.strip() for line in output.splitlines()[:5]]


def raise_for_failure(machine: _machine.Machine, word: str) -> None:
    """Raise an error unless the boot and all its units succeeded.

    :param word: systemd's word for the state after the boot.
    :raises CheckError: a unit failed; the error contains the units' logs.
    """
    failed = list_failed_units(machine)
    if word == "running" and not failed:
        return
    log = []
    for unit in failed:
        log += [f"{unit.unit}:", *(f"  {line}" for line in unit.log)]
    units = ", ".join(unit.unit for unit in failed)
    raise outcome.CheckError(
        f"systemd is {word}, failed: {units or 'no unit'}", log
    )
