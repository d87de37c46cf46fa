# SPDX-License-Identifier: Apache-2.0
"""Collects facts and logs from a guest to explain a failed check."""

import json
import pathlib
import typing

from trove_tools.verify import defects
from trove_tools.verify import evidence
from trove_tools.verify import machine as _machine
from trove_tools.verify import outcome

_LOG_LINES = 12
_TAIL = "40"
# commands whose output may explain why a database does not start
_COMMANDS = {
    "database container": ("docker", "logs", "--tail", _TAIL, "database"),
    "health of the database": (
        "docker", "inspect", "--format",
        "{{.State.Status}} {{.State.ExitCode}} {{.State.Error}}"
        " {{json .State.Health}}",
        "database",
    ),
    # Trove itself reports only the last line of this container's traceback
    "backup container": ("docker", "logs", "--tail", _TAIL, "db_backup"),
    "containers": ("docker", "ps", "--all"),
    "container images": ("docker", "images"),
}  # fmt: skip


def ask_guest(
    machine: _machine.Machine,
    *words: str,
    seconds: float = _machine.PATIENCE * 3,
) -> typing.Any:
    """Run :mod:`trove_tools.verify.evidence` in the guest.

    :param words: the program's arguments without the timeout.
    :returns: its decoded output; None if the guest does not answer.
    """
    script = pathlib.Path(evidence.__file__).read_text()
    each = str(round(machine.limits.scaled(_machine.PATIENCE)))
    try:
        done = machine.run(
            "python3", "-", *words, each, input=script, seconds=seconds
        )
        return json.loads(done.output)
    except (outcome.CheckError, ValueError):
        return None


def read_facts(machine: _machine.Machine) -> dict[str, typing.Any] | None:
    """Return the facts about the guest; None if it does not answer."""
    found = ask_guest(machine, "facts")
    return found if isinstance(found, dict) else None


def read_logs(machine: _machine.Machine) -> dict[str, list[str]]:
    """Return the last lines of logs that may explain a failure, by name."""
    found = machine.logs()
    for name, argv in _COMMANDS.items():
        try:
            lines = machine.run(*argv).output.splitlines()
        except outcome.CheckError:
            # the guest would not answer the next command either
            break
        found[name] = lines[-int(_TAIL) :]
    return found


def explain_failure(
    machine: _machine.Machine, failure: outcome.CheckError, secret: str
) -> outcome.CheckError:
    """Return a failure with the log lines and causes that explain it.

    :param secret: a text that is masked in the log lines.
    """
    machine.say("asking the guest for its logs")
    known = read_facts(machine)
    found = read_logs(machine)
    causes, lines = defects.explain(known, found)
    if known is None:
        lines.append("the guest does not answer any more")
    for name, tail in found.items():
        said = [
            line.replace(secret, "***") for line in tail if line.strip()
        ]
        if said:
            lines.append(f"{name}:")
            lines += [f"  {line}" for line in said[-_LOG_LINES:]]
    explained = outcome.CheckError(failure.message, lines, failure.hint)
    if causes:
        explained.add_hint("; ".join(causes))
    return explained
