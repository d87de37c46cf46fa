# SPDX-License-Identifier: Apache-2.0
"""Collects facts and logs from a guest to explain a failed check.

The machine writes the journal to a file from early in the boot, so verify can
read it whatever happens to the guest.
"""

import json
import pathlib
import re
import time
import typing
import uuid

from trove_tools.verify import defects
from trove_tools.verify import evidence
from trove_tools.verify import machine as _machine
from trove_tools.verify import outcome

_LOG_LINES = 12
# seconds between two looks at the journal's file
_LOOK = 0.2
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


AGENT_JOURNAL = "journal of the guest agent"

# oslo.log's output for each line of a traceback except the last one
_FRAME = re.compile(
    r"\S+ \S+ \d+ [A-Z]+ [\w.]+ (?: |Traceback|During handling"
    r"|The above exception|$)"
)
_LINE = re.compile(
    r"\[ *[0-9.]+\] (?P<who>[^\s\[:]+)(?:\[\d+\])?: ?(?P<text>.*)"
)
_LAST = 40


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
    facts = ask_guest(machine, "facts")
    return facts if isinstance(facts, dict) else None


def read_logs(machine: _machine.Machine) -> dict[str, list[str]]:
    """Return the last lines of logs that may explain a failure, by name."""
    logs = read_journal(machine.directory / _machine.JOURNAL)
    for name, argv in _COMMANDS.items():
        try:
            lines = machine.run(*argv).output.splitlines()
        except outcome.CheckError:
            # the guest would not answer the next command either
            break
        logs[name] = lines[-int(_TAIL) :]
    return logs


def _await_journal(machine: _machine.Machine) -> None:
    """Wait until the journal's file has what the guest has logged until now.

    The guest's messages reach the file some seconds later than the agent's
    report of a failure reaches verify.
    """
    marker = f"trove-verify {uuid.uuid4().hex}"
    file = machine.directory / _machine.JOURNAL
    end = time.monotonic() + machine.limits.scaled(_machine.PATIENCE)
    try:
        machine.run("logger", marker)
        while marker not in file.read_text(errors="replace"):
            if time.monotonic() > end:
                return
            time.sleep(_LOOK)
    except (outcome.CheckError, OSError):
        # a guest that does not answer logs nothing more, either
        return


def explain_failure(
    machine: _machine.Machine, failure: outcome.CheckError, secret: str
) -> outcome.CheckError:
    """Return a failure with the log lines and causes that explain it.

    :param secret: a text that is masked in the log lines.
    """
    machine.say("asking the guest for its logs")
    known = read_facts(machine)
    if known is not None:
        _await_journal(machine)
    logs = read_logs(machine)
    causes, lines = defects.explain(known, logs)
    if known is None:
        lines.append("the guest does not answer any more")
    for name, tail in logs.items():
        text = [
            line.replace(secret, "***") for line in tail if line.strip()
        ]
        if text:
            lines.append(f"{name}:")
            lines += [f"  {line}" for line in text[-_LOG_LINES:]]
    explained = outcome.CheckError(failure.message, lines, failure.hint)
    if causes:
        explained.add_hint("; ".join(causes))
    return explained


def _of_agent(who: str, text: str) -> bool:
    if who == "trove-guestagent":
        # leave out the frames of a traceback: the agent logs one failure
        # several times, each time with a hundred frames
        return _FRAME.match(text) is None
    return who == "systemd" and evidence.UNIT in text


# the services with messages that may explain a failure, and these messages
_KINDS = {
    "journal of docker": ("dockerd|containerd|docker", ""),
    "journal of cloud-init": ("cloud-init", "WARN|ERR|[Ff]ail"),
    "journal of the kernel": (
        "kernel", 'apparmor="DENIED"|Out of memory|I/O error',
    ),
}  # fmt: skip


def read_journal(file: pathlib.Path) -> dict[str, list[str]]:
    """Return the last journal lines that may explain a failure, by kind.

    :param file: the file with the guest's journal; it may not exist.
    :returns: the kinds that have lines.
    """
    try:
        lines = file.read_text(errors="replace").splitlines()
    except OSError:
        return {}
    by_kind: dict[str, list[str]] = {}
    for line in lines:
        match = _LINE.match(line)
        if match is None:
            continue
        if _of_agent(match["who"], match["text"]):
            by_kind.setdefault(AGENT_JOURNAL, []).append(line)
        for kind, (who, text) in _KINDS.items():
            if re.fullmatch(who, match["who"]) and re.search(
                text, match["text"]
            ):
                by_kind.setdefault(kind, []).append(line)
    return {kind: kept[-_LAST:] for kind, kept in by_kind.items()}
