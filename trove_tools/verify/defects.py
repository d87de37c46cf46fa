# SPDX-License-Identifier: Apache-2.0
"""Lists known defects of guest images, and recognizes them by their symptoms.

A symptom is a fact about the guest or a line in one of its logs.  Each defect
in ``defects.yaml`` states its cause and its remedy, so that users need not
read the logs of a guest that fails because of it.
"""

import collections.abc
import dataclasses
import pathlib
import re
import typing

import yaml

Facts = collections.abc.Mapping[str, typing.Any]
Logs = collections.abc.Mapping[str, collections.abc.Sequence[str]]


@dataclasses.dataclass(frozen=True)
class Defect:
    """A known defect of guest images.

    :param detail: the cause with names of facts in braces, for a defect that
        the guest's facts show.
    :param patterns: regular expressions for log lines that show the defect.
    :param hopeless: whether no database can start, so that verify need not
        wait for one.
    :param hides: the names of other defects whose symptoms this defect also
        causes.
    :param exposes: whether it helps an attacker, but explains no failure.
    :param kernel: whether only the image's own kernel shows the defect.
    """

    name: str
    cause: str
    remedy: str
    detail: str = ""
    patterns: tuple[str, ...] = ()
    hopeless: bool = False
    hides: tuple[str, ...] = ()
    exposes: bool = False
    kernel: bool = False

    @property
    def pattern(self) -> str:
        """All its patterns as one; empty if only facts show the defect."""
        return "|".join(self.patterns)

    def __str__(self) -> str:
        return f"{self.cause}; remedy: {self.remedy}"


def _read_defects() -> tuple[Defect, ...]:
    file = pathlib.Path(__file__).with_suffix(".yaml")
    entries: list[dict[str, typing.Any]] = yaml.safe_load(file.read_text())
    for entry in entries:
        for name in ("patterns", "hides"):
            entry[name] = tuple(entry.get(name, ()))
    return tuple(Defect(**entry) for entry in entries)


DEFECTS = _read_defects()

# the SSH server, and the clients of DHCP (IPv4, IPv6)
_LISTENERS = frozenset({"tcp/22", "udp/68", "udp/546"})


def _seconds(text: str) -> float:
    """Return the seconds of a time span of systemd, such as ``1min 30s``."""
    units = {"us": 1e-6, "ms": 0.001, "min": 60.0, "h": 3600.0}
    return sum(
        float(number) * units.get(unit, 1.0)
        for number, unit in re.findall(r"([0-9]+)([a-z]*)", text)
    )


def _unordered(facts: Facts) -> bool:
    after = facts["after"]
    waits = "docker.service" in after and any(
        name.startswith("cloud-") for name in after
    )
    # systemd's default limit is five starts in ten seconds
    limited = facts["start_limit"] not in ("0", "infinity")
    hasty = _seconds(facts["restart_sec"] or "100ms") < 2.0
    return not waits or (limited and hasty)


def unexpected_listeners(facts: Facts) -> list[str]:
    """Return the sockets on which a guest listens without need.

    :param facts: the guest's facts, with its datastores' ports as ``ports``.
    """
    allowed = _LISTENERS | {f"tcp/{port}" for port in facts.get("ports", ())}
    return [
        listener
        for listener in facts.get("listeners", ())
        if listener.split()[0] not in allowed
    ]


#: Whether the guest's facts show a defect, by the defect's name.  They show it
#: before it does harm.
FACTS: dict[str, collections.abc.Callable[[Facts], bool]] = {
    "uid": lambda facts: (
        facts["database_uid_owner"] not in ("", facts["database_user"])
    ),
    "volume-programs": lambda facts: bool(facts["volume_programs_missing"]),
    "hostname": lambda facts: not facts["hostname_resolves"],
    "apparmor": lambda facts: (
        facts["docker"]
        and facts["apparmor"]
        and not facts["apparmor_parser"]
    ),
    "order": _unordered,
    "etc-docker": lambda facts: not facts["etc_docker"],
    "listeners": lambda facts: bool(unexpected_listeners(facts)),
    "exposed": lambda facts: bool(facts.get("exposed")),
    "core-dumps": lambda facts: (
        facts.get("core_pattern", "") not in ("", "|/bin/false")
    ),
}


def by_facts(facts: Facts | None) -> list[Defect]:
    """Return the defects that a guest's facts show."""
    if facts is None:
        return []
    words = {
        name: ", ".join(map(str, value)) if isinstance(value, list) else value
        for name, value in (
            *facts.items(), ("unexpected", unexpected_listeners(facts)),
        )
    }  # fmt: skip
    return [
        dataclasses.replace(
            defect, cause=(defect.detail or defect.cause).format_map(words)
        )
        for defect in DEFECTS
        if defect.name in FACTS and FACTS[defect.name](facts)
    ]


def by_logs(logs: Logs) -> list[tuple[Defect, str]]:
    """Return the defects that logs show, each with its last log line."""
    shown = []
    for defect in DEFECTS:
        if not defect.pattern:
            continue
        pattern = re.compile(defect.pattern)
        for name, lines in logs.items():
            hits = [line for line in lines if pattern.search(line)]
            if hits:
                shown.append((defect, f"{name}: {hits[-1].strip()}"))
                break
    return shown


def causes_by_facts(facts: Facts | None) -> list[Defect]:
    """Return the defects in a guest's facts that can explain a failure."""
    return [defect for defect in by_facts(facts) if not defect.exposes]


def explain(facts: Facts | None, logs: Logs) -> tuple[list[str], list[str]]:
    """Return the causes of a failure, and the log lines that show them."""
    known = {defect.name: defect for defect in causes_by_facts(facts)}
    lines = []
    for defect, line in by_logs(logs):
        known.setdefault(defect.name, defect)
        lines.append(line)
    hidden = {name for defect in known.values() for name in defect.hides}
    causes = [
        str(defect) for name, defect in known.items() if name not in hidden
    ]
    return causes, lines
