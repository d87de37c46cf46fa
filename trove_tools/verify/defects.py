# SPDX-License-Identifier: Apache-2.0
"""Lists known defects of guest images, and recognizes them by their symptoms.

A symptom is a fact about the guest or a line in one of its logs.  Each defect
states its cause and its remedy, so that users need not read the logs of a
guest that fails because of it.
"""

import collections.abc
import dataclasses
import re
import typing

Facts = collections.abc.Mapping[str, typing.Any]
Logs = collections.abc.Mapping[str, collections.abc.Sequence[str]]


@dataclasses.dataclass(frozen=True)
class Defect:
    """A known defect of guest images.

    :param pattern: a regular expression for log lines that show the defect.
    :param fact: returns whether the guest's facts show the defect; they show
        it before it does harm.
    :param hopeless: whether no database can start, so that verify need not
        wait for one.
    :param detail: returns the cause, with details from the guest's facts.
    :param hides: the names of other defects whose symptoms this defect also
        causes.
    :param exposes: whether it helps an attacker, but explains no failure.
    :param kernel: whether only the image's own kernel shows the defect.
    """

    name: str
    cause: str
    remedy: str
    pattern: str = ""
    fact: collections.abc.Callable[[Facts], bool] | None = None
    hopeless: bool = False
    detail: collections.abc.Callable[[Facts], str] | None = None
    hides: tuple[str, ...] = ()
    exposes: bool = False
    kernel: bool = False

    def __str__(self) -> str:
        return f"{self.cause}; remedy: {self.remedy}"


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


def _uid_is_taken(facts: Facts) -> bool:
    return facts["database_uid_owner"] not in ("", facts["database_user"])


def _who_has_the_uid(facts: Facts) -> str:
    return (
        f"uid {facts['database_uid']}, which the agent's database user"
        f" `{facts['database_user']}` is to have (database_service_uid),"
        f" belongs to the user `{facts['database_uid_owner']}`"
    )


def _what_is_missing(facts: Facts) -> str:
    return (
        f"the volume is to be {facts['volume_fstype']} (volume_fstype), and"
        " the image does not have"
        f" {', '.join(facts['volume_programs_missing'])}"
    )


def unexpected_listeners(facts: Facts) -> list[str]:
    """Return the sockets on which a guest listens without need.

    :param facts: the guest's facts, with its datastores' ports as ``ports``.
    """
    allowed = _LISTENERS | {f"tcp/{port}" for port in facts.get("ports", ())}
    return [
        each
        for each in facts.get("listeners", ())
        if each.split()[0] not in allowed
    ]


#: More specific defects precede more general ones.
DEFECTS = (
    Defect(
        "uid",
        "the uid that the agent's database user is to have"
        " (database_service_uid) belongs to another user",
        "give that user another uid in the image, and let cloud-init make no"
        " user with it: system users and login users need ranges of uids"
        " that no deployment names",
        r"useradd: UID '?\d+'? is not unique",
        _uid_is_taken,
        detail=_who_has_the_uid,
    ),
    Defect(
        "volume-programs",
        "the image lacks the programs for the volume's file system",
        "install e2fsprogs and xfsprogs in the image, or set volume_fstype to"
        " a file system that it has",
        r"sudo: (mkfs|xfs_|e2fsck|resize2fs)\S*: command not found"
        r"|mkfs.*(: not found|No such file)",
        lambda facts: bool(facts["volume_programs_missing"]),
        detail=_what_is_missing,
        # sudo asks for a password if it does not find the program
        hides=("sudo", "volume"),
    ),
    Defect(
        "format-options",
        "format_options has an option that mkfs.xfs does not know; Trove's"
        " default, -m 5, is for ext3 and ext4",
        "set `format_options =` to what mkfs.xfs takes, or to nothing,"
        " beside volume_fstype = xfs",
        r"unknown option -m",
        hides=("volume",),
    ),
    Defect(
        "state-directory",
        "the agent cannot make its lock files: oslo.messaging's"
        " use_queue_manager needs a lock_path that it may write to",
        "let the agent's unit have StateDirectory=trove and"
        " Environment=OSLO_LOCK_PATH=/var/lib/trove/tmp",
        r"Permission denied: '/var/lib/trove"
        r"|value required for option lock_path",
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
        lambda facts: facts["docker"]
        and facts["apparmor"]
        and not facts["apparmor_parser"],
        hopeless=True,
        kernel=True,
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
        "listeners",
        "something in the guest can be reached from its network besides the"
        " SSH server and the datastore",
        "remove or mask what starts it, or bind it to loopback",
        fact=lambda facts: bool(unexpected_listeners(facts)),
        detail=lambda facts: (
            "the guest can be reached at"
            f" {', '.join(unexpected_listeners(facts))}, besides the SSH"
            " server and the datastore"
        ),
        exposes=True,
    ),
    Defect(
        "exposed",
        "any user of the guest can read the agent's secrets, the message"
        " broker's password among them",
        "let only root and the agent's group enter /etc/trove (mode 0750)",
        fact=lambda facts: bool(facts.get("exposed")),
        detail=lambda facts: (
            "any user of the guest can read the agent's secrets, the message"
            f" broker's password among them, in {', '.join(facts['exposed'])}"
        ),
        exposes=True,
    ),
    Defect(
        "core-dumps",
        "a process that dies leaves its memory in a file (core dump), with"
        " passwords and tenants' data",
        "let /etc/sysctl.d pipe them to /bin/false (kernel.core_pattern)",
        fact=lambda facts: (
            facts.get("core_pattern", "") not in ("", "|/bin/false")
        ),
        exposes=True,
        kernel=True,
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
        # at level=info the engine logs every registry that does not answer,
        # even if another one, such as the guest itself, answers
        r"^(?!.*level=info ).*(pull access denied"
        r"|manifest (for .* )?(unknown|not found)"
        r"|No such image|registry-1\.docker\.io"
        r"|(dial tcp|lookup) .*(no such host|i/o timeout|refused"
        r"|misbehaving|unreachable))",
        hopeless=True,
    ),
    Defect(
        "library",
        "a program in a container lacks a shared library",
        "put the package that has the library into the container image",
        r"\.so[.0-9]*: cannot open shared object file",
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
        # the second message is Docker's, from daemon/health.go
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
        "the volume has to be where the configuration's device_path says:"
        " /dev/vdb by default, /dev/sdb where hw_disk_bus is scsi",
        r"Volume was not found|Could not format|Device '\S+' is not ready",
    ),
    Defect(
        "space",
        "the guest's disk is full",
        "give the image a larger disk, or the guest a larger flavour",
        r"No space left on device",
    ),
)


def by_facts(facts: Facts | None) -> list[Defect]:
    """Return the defects that a guest's facts show."""
    if facts is None:
        return []
    return [
        dataclasses.replace(each, cause=each.detail(facts))
        if each.detail
        else each
        for each in DEFECTS
        if each.fact and each.fact(facts)
    ]


def by_logs(logs: Logs) -> list[tuple[Defect, str]]:
    """Return the defects that logs show, each with its last log line."""
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


def causes_by_facts(facts: Facts | None) -> list[Defect]:
    """Return the defects in a guest's facts that can explain a failure."""
    return [each for each in by_facts(facts) if not each.exposes]


def explain(facts: Facts | None, logs: Logs) -> tuple[list[str], list[str]]:
    """Return the causes of a failure, and the log lines that show them."""
    found = {each.name: each for each in causes_by_facts(facts)}
    lines = []
    for each, line in by_logs(logs):
        found.setdefault(each.name, each)
        lines.append(line)
    hidden = {name for each in found.values() for name in each.hides}
    causes = [
        str(each) for name, each in found.items() if name not in hidden
    ]
    return causes, lines
