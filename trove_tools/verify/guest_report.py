# SPDX-License-Identifier: Apache-2.0
"""What the seed runs in the guest: it tells verify how the boot went.

This file is copied into the seed as it is.  It runs as root in the guest,
with whatever Python 3 that has and with nothing but the standard library,
and writes lines of JSON to a serial port of its own.  Each carries the
nonce of this run's seed, so that nothing else can pass for it.
"""

import json
import os
import subprocess  # noqa: TID251 (runs in the guest)
import sys
import time
import typing

PORT = "/dev/virtio-ports/org.openstack.trove-tools.verify"
JOURNAL = "/dev/virtio-ports/org.openstack.trove-tools.journal"
# the second disk: on virtio, or on SCSI
VOLUMES = ("/sys/class/block/vdb/size", "/sys/class/block/sdb/size")

_LOG_LINES = 20
_PAUSE = 5
# only so that nothing stays for ever: whoever waits for this guest knows how
# fast it is, and gives up earlier
_COMMAND_TIMEOUT = 1800
# asked too early, systemctl returns before the boot is over
_NOT_YET = ("initializing", "starting", "unknown", "")

Say = typing.Callable[..., None]


def output(*argv: str) -> str:
    """Return what a program prints; nothing when it fails to run."""
    try:
        return subprocess.run(
            argv,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            timeout=_COMMAND_TIMEOUT,
        ).stdout.decode(errors="replace")
    except (OSError, subprocess.SubprocessError):
        return ""


def first_words(text: str) -> list[str]:
    """Return the first word of each line."""
    return [line.split()[0] for line in text.splitlines() if line.strip()]


def running_jobs() -> list[str]:
    """Return the units that systemd is starting now."""
    lines = output("systemctl", "list-jobs", "--plain", "--no-legend")
    words = [line.split() for line in lines.splitlines()]
    return [w[1] for w in words if len(w) > 3 and w[3] == "running"]


def wait_for_boot(say: Say) -> str:
    """Wait until the boot is over, telling what it waits for.

    :returns: systemd's word for how it went.
    """
    while True:
        waiting = subprocess.Popen(
            ("systemctl", "is-system-running", "--wait"),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
        )
        state = b""
        while not state:
            try:
                state = waiting.communicate(timeout=_PAUSE)[0] or b"unknown"
            except subprocess.TimeoutExpired:
                say("waiting", jobs=running_jobs())
        word = state.decode().strip()
        if word not in _NOT_YET:
            return word
        time.sleep(1)


def failed_units() -> list[dict[str, typing.Any]]:
    """Return the failed units with the last lines of their logs."""
    names = first_words(
        output(
            "systemctl", "list-units", "--state=failed", "--plain", "--full",
            "--no-legend",
        )
    )  # fmt: skip
    return [{"unit": name, "log": log_of(name)} for name in names]


def log_of(unit: str) -> list[str]:
    """Return the last lines that a unit logged since the boot."""
    return output(
        "journalctl", "--boot", "--no-pager", "--no-hostname", "--unit", unit,
        "--lines", str(_LOG_LINES),
    ).splitlines()  # fmt: skip


def boot_times() -> dict[str, float]:
    """Return how long the parts of the boot took, in seconds."""
    lines = output(
        "systemctl", "show",
        "--property=UserspaceTimestampMonotonic,FinishTimestampMonotonic",
    ).splitlines()  # fmt: skip
    stamps = dict(line.split("=", 1) for line in lines if "=" in line)
    try:
        kernel = int(stamps["UserspaceTimestampMonotonic"]) / 1e6
        total = int(stamps["FinishTimestampMonotonic"]) / 1e6
    except (KeyError, ValueError):
        return {}
    return {
        "kernel": round(kernel, 1),
        "userspace": round(total - kernel, 1),
        "total": round(total, 1),
    }


def slowest_units() -> list[str]:
    """Return the units that took longest to start."""
    lines = output("systemd-analyze", "--no-pager", "blame").splitlines()
    return [line.strip() for line in lines[:5]]


def volume_size() -> int:
    """Return the size of the second disk; 0 where there is none."""
    for file in VOLUMES:
        try:
            with open(file) as stream:
                return int(stream.read()) * 512
        except OSError:
            pass
    return 0


def run_setup(command: str) -> dict[str, typing.Any]:
    """Run one of the commands that prepare a probe."""
    try:
        done = subprocess.run(
            ("sh", "-c", command),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            timeout=_COMMAND_TIMEOUT,
        )
    except subprocess.TimeoutExpired:
        text = f"did not end within {_COMMAND_TIMEOUT} s"
        return {"status": -1, "output": text}
    text = done.stdout.decode(errors="replace")
    return {"status": done.returncode, "output": text[-2000:]}


def main(settings_file: str) -> None:
    """Report on this guest, then prepare it for the probes."""
    with open(settings_file) as stream:
        settings = json.load(stream)
    os.unlink(settings_file)
    with open(PORT, "w") as port:

        def say(event: str, **facts: typing.Any) -> None:
            line = {"nonce": settings["nonce"], "event": event, **facts}
            port.write(json.dumps(line) + "\n")
            port.flush()

        say("started")
        state = wait_for_boot(say)
        say(
            "booted",
            state=state,
            failed=failed_units(),
            times=boot_times(),
            slowest=slowest_units(),
            volume=volume_size(),
        )
        for name, commands in settings["setup"].items():
            for command in commands:
                done = run_setup(command)
                if done["status"] != 0:
                    break
            else:
                done = {"status": 0, "output": ""}
            say("prepared", probe=name, **done)


if __name__ == "__main__":
    main(sys.argv[1])
