# SPDX-License-Identifier: Apache-2.0
"""Known defects of guest images, by what gives them away.

Each is a fact of the guest or a line of one of its logs, with the cause
and the remedy in words.  A guest that fails for one of these needs nobody
who reads its logs.
"""

import collections.abc
import dataclasses
import re
import typing

Facts = collections.abc.Mapping[str, typing.Any]
Logs = collections.abc.Mapping[str, collections.abc.Sequence[str]]


@dataclasses.dataclass(frozen=True)
class Defect:
    """Something that is known to go wrong.

    :param pattern: a regular expression that a line of a log matches.
    :param fact: tells it from the guest's facts, before it does harm.
    :param hopeless: no database will come up: there is no use in waiting.
    """

    name: str
    cause: str
    remedy: str
    pattern: str = ""
    fact: collections.abc.Callable[[Facts], bool] | None = None
    hopeless: bool = False

    def __str__(self) -> str:
        return f"{self.cause}; remedy: {self.remedy}"


def _seconds(text: str) -> float:
    """Read a time span as far as units of services need it."""
    found = re.fullmatch(r"([0-9.]+)\s*(ms|s|min|)", text)
    if not found:
        return 0.1
    factor = {"ms": 0.001, "min": 60.0}.get(found[2], 1.0)
    return float(found[1]) * factor


def _unordered(facts: Facts) -> bool:
    after = facts["after"]
    waits = "docker.service" in after and any(
        name.startswith("cloud-") for name in after
    )
    # systemd's default: no more than five starts in ten seconds
    limited = facts["start_limit"] not in ("0", "infinity")
    hasty = _seconds(facts["restart_sec"] or "100ms") < 2.0
    return not waits or (limited and hasty)


#: The more specific ones first.
DEFECTS = (
    Defect(
        "uid",
        "uid or gid 1001, which the database needs, belongs to another user",
        "reserve both for a user `database` in the image, and give"
        " cloud-init's default user another uid",
        r"UID '?1001'? is not unique|GID '?1001'? is not unique",
        lambda facts: any(
            facts[name] not in ("", "database")
            for name in ("uid_1001", "gid_1001")
        ),
    ),
    Defect(
        "hostname",
        "the guest cannot resolve its own name, so each sudo waits for DNS",
        "install libnss-myhostname, or have cloud-init manage /etc/hosts"
        " (manage_etc_hosts: localhost)",
        r"sudo: unable to resolve host",
        lambda facts: not facts["hostname_resolves"],
    ),
    Defect(
        "apparmor",
        "the guest's kernel has AppArmor, but the image has no"
        " apparmor_parser: unprivileged containers cannot start",
        "install the package apparmor in the image",
        r"AppArmor enabled on system but|apparmor_parser.*not found",
        lambda facts: facts["apparmor"] and not facts["apparmor_parser"],
        hopeless=True,
    ),
    Defect(
        "order",
        "the agent's unit starts before docker is up and cloud-init has"
        " written its files, and systemd may give up starting it",
        "order it After=docker.service cloud-config.service and set"
        " StartLimitIntervalSec=0",
        r"trove-guestagent.*[Ss]tart request repeated too quickly"
        r"|guest_id parameter is not set",
        _unordered,
    ),
    Defect(
        "etc-docker",
        "/etc/docker is missing: Trove's network plugin cannot keep its state",
        "make the directory /etc/docker in the image",
        r"No such file or directory: '/etc/docker/",
        lambda facts: not facts["etc_docker"],
    ),
    Defect(
        "locale",
        "the database container lacks the locale en_US.utf8, which Trove's"
        " configuration of PostgreSQL names",
        "generate en_US.utf8 in the container image",
        r'invalid value for parameter "lc_\w+": "en_US\.utf-?8"'
        r'|invalid locale (name )?"?en_US|locale "en_US.* does not exist',
        hopeless=True,
    ),
    Defect(
        "health",
        "the container has no health check that works: Trove's command for"
        " it is missing",
        "put the command that Trove runs (healthcheck.sh, mysqladmin,"
        " pg_isready) into the container image, on PATH",
        r'exec: \\*"?(healthcheck\.sh|mysqladmin|pg_isready)',
        hopeless=True,
    ),
    Defect(
        "unhealthy",
        "the container's health check fails",
        "look at what the check and the container's log say",
        r'"Status": ?"unhealthy"',
    ),
    Defect(
        "no-image",
        "the image does not carry the container that the agent is to run,"
        " and a registry is not reached",
        "build the image with the container under the name that the"
        " cloud's docker_image has, tagged with the datastore's version",
        r"pull access denied|manifest (for .* )?(unknown|not found)"
        r"|No such image|registry-1\.docker\.io"
        r"|(dial tcp|lookup) .*(no such host|i/o timeout|refused"
        r"|misbehaving|unreachable)",
        hopeless=True,
    ),
    Defect(
        "no-docker",
        "the agent does not reach the Docker engine",
        "install and enable it, and put the agent's user into the group"
        " docker",
        r"Error while fetching server API version"
        r"|docker\.sock.*[Pp]ermission denied",
    ),
    Defect(
        "slow",
        "the guest is too slow for what Trove's code gives the Docker engine:"
        " a minute for an answer, five seconds for a health check",
        "the guest has too little of a processor: verify on a host that is"
        " less busy, or with more --cpus; in a cloud, take a larger flavor",
        # the second is Docker's, daemon/health.go
        r"UnixHTTPConnectionPool.*Read timed out"
        r"|[Hh]ealth check exceeded timeout",
    ),
    Defect(
        "log-dir",
        "the agent cannot write its log",
        "let its unit have LogsDirectory=trove",
        r"Permission denied: '/var/log/trove",
    ),
    Defect(
        "sudo",
        "the agent's user may not use sudo without a password",
        "give it the right in /etc/sudoers.d",
        r"sudo: a password is required|sudo: a terminal is required"
        r"|No such file or directory: 'sudo'",
    ),
    Defect(
        "broker",
        "the agent does not reach the message broker",
        "see that the guest configures its network: cloud-init's network"
        " configuration and DHCP; and that nothing in it filters port 5672",
        r"AMQP server on \S+ is unreachable|AMQP server .*Trying again",
    ),
    Defect(
        "key",
        "the agent and the control plane use different keys for their"
        " messages",
        "have cloud-init write what Trove injects; a guest keeps no"
        " configuration of another instance",
        r"JSONDecodeError|KeyError: '_context_",
    ),
    Defect(
        "volume",
        "the agent does not find or cannot format its volume",
        "the volume has to be /dev/vdb, and e2fsprogs has to be installed",
        r"Volume was not found|Could not format device|mkfs.*not found"
        r"|/dev/vdb is not available",
    ),
    Defect(
        "space",
        "the guest's disk is full",
        "give the image a larger disk, or the guest a larger flavour",
        r"No space left on device",
    ),
)


def by_facts(facts: Facts | None) -> list[Defect]:
    """Return the defects that a guest's facts give away."""
    if facts is None:
        return []
    return [each for each in DEFECTS if each.fact and each.fact(facts)]


def by_logs(logs: Logs) -> list[tuple[Defect, str]]:
    """Return the defects that logs give away, each with its line."""
    found = []
    for each in DEFECTS:
        if not each.pattern:
            continue
        pattern = re.compile(each.pattern)
        for name, lines in logs.items():
            hits = [line for line in lines if pattern.search(line)]
            if hits:
                found.append((each, f"{name}: {hits[-1].strip()}"))
                break
    return found


def explain(facts: Facts | None, logs: Logs) -> tuple[list[str], list[str]]:
    """Return the causes, and the lines of the logs that show them."""
    causes = {each.name: str(each) for each in by_facts(facts)}
    lines = []
    for each, line in by_logs(logs):
        causes.setdefault(each.name, str(each))
        lines.append(line)
    return list(causes.values()), lines
