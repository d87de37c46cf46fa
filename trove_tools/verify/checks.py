# SPDX-License-Identifier: Apache-2.0
"""Defines the checks that verify runs in a guest, in order.

Two more checks, ``image`` and ``control plane``, run before a guest exists;
see :mod:`trove_tools.verify.ladder`.
"""

import collections.abc
import dataclasses
import time

from trove_tools.verify import control
from trove_tools.verify import defects
from trove_tools.verify import diagnosis
from trove_tools.verify import evidence
from trove_tools.verify import machine as _machine
from trove_tools.verify import outcome
from trove_tools.verify import probes
from trove_tools.verify import sql
from trove_tools.verify import subject as _subject
from trove_tools.verify import systemd

QEMU, CONTAINER = _machine.QEMU, _machine.CONTAINER

_GIB = 1 << 30
# seconds between searches for a hopeless defect, and the share of the guest's
# time that they may take
_LOOK_INTERVAL, _LOOK_SHARE = 30.0, 0.1
# timeout of a ping in seconds for a guest of usual speed, and the maximum
_PING, _LONGEST_PING = 3.0, 30.0
# timeout of the test of one file system, in seconds for a guest of usual speed
_FILE_SYSTEM = 240.0
#: The kernel's driver sd probes disks in parallel.
SCSI_ORDER = (
    "a kernel that is busy may name SCSI disks in another order: verify the"
    " image again; virtio disks always have the same names"
)
# maximum seconds from the address of the first interface to that of the last
_ADDRESS = 20.0


@dataclasses.dataclass(frozen=True)
class Check:
    """A check that verify runs in a guest.

    :param name: the check's name; in the record, the datastore's name
        precedes it if the check is about a datastore.
    :param proves: what the check proves when it passes, in one sentence.
    :param machines: the kinds of machine that can run the check.
    :param run: runs the check and returns the result in one line, or raises
        :class:`outcome.CheckError` with the defect.
    :param ends: whether later checks make no sense after a failure.
    :param once: whether the check runs in one guest only, even if the image
        needs several guests.
    """

    name: str
    proves: str
    machines: tuple[str, ...]
    run: collections.abc.Callable[[_subject.Subject], str]
    ends: bool = True
    once: bool = False


def _boot(subject: _subject.Subject) -> str:
    subject.machine.power_on()
    return "boot loader, kernel, initramfs and cloud-init work"


def _systemd(subject: _subject.Subject) -> str:
    subject.machine.power_on()
    word = systemd.wait_booted(subject.machine)
    times = systemd.read_boot_times(subject.machine)
    if subject.machine.kind == QEMU or "times" not in subject.facts:
        subject.facts["times"] = times
        subject.facts["slowest"] = systemd.list_slowest_units(subject.machine)
    systemd.raise_for_failure(subject.machine, word)
    took = ", ".join(f"{part} {seconds} s" for part, seconds in times.items()
                     if part != "total")  # fmt: skip
    return f"running, no failed unit{'; ' if took else ''}{took}"


def _network(subject: _subject.Subject) -> str:
    machine = subject.machine
    wanted = [nic.address for nic in (_machine.MANAGEMENT, _machine.TENANT)]
    # systemd reports a complete boot as soon as one interface is up
    end = time.monotonic() + machine.limits.scaled(_ADDRESS)
    while True:
        output = machine.run("ip", "-o", "-4", "address", "show").output
        absent = [address for address in wanted if address not in output]
        # the agent soon takes an interface; cloud-init listed it before
        words = ("journalctl", "-b", "-t", "cloud-init")
        listed = absent and machine.run(*words).output
        if all(f" {address[:-3]} " in listed for address in absent):
            break
        if time.monotonic() > end:
            raise outcome.CheckError(
                f"no interface has {absent[0]}, which its network offers"
                " by DHCP",
                output.splitlines(),
                "see that cloud-init configures every interface of the guest",
            )
        time.sleep(machine.pause)
    return f"both interfaces have their addresses: {', '.join(wanted)}"


def _kernel(subject: _subject.Subject) -> str:
    facts = diagnosis.read_facts(subject.machine)
    if facts is None:
        raise outcome.CheckError("the guest's facts cannot be read")
    known = [defect for defect in defects.by_facts(facts) if defect.kernel]
    if known:
        raise outcome.CheckError(
            "; ".join(defect.cause for defect in known),
            hint="; ".join(defect.remedy for defect in known),
        )
    confined = ", and containers can be confined" if facts["docker"] else ""
    return f"core dumps leave no file{confined}"


def _volume(subject: _subject.Subject) -> str:
    device = _machine.DEVICES[subject.settings.disk_bus]
    done = subject.machine.run("blockdev", "--getsize64", device)
    gib = subject.settings.volume
    if done.output.strip() != str(gib * _GIB):
        raise outcome.CheckError(
            f"{device} is not the second disk, of {gib} GiB:"
            f" {done.output.strip()}",
            hint=SCSI_ORDER
            if subject.settings.disk_bus == _machine.SCSI
            else None,
        )
    return f"{device}, {gib} GiB"


def _file_systems(subject: _subject.Subject) -> str:
    tried: dict[str, str] = {}
    for kind in evidence.VOLUME_PROGRAMS:
        subject.say(f"trying the file system {kind}")
        wrong = diagnosis.ask_guest(
            subject.machine, "file-system", kind, seconds=_FILE_SYSTEM
        )
        # an image may leave out the programs for a file system
        if wrong is not None:
            tried[kind] = str(wrong)
    broken = [f"{kind}: {why}" for kind, why in tried.items() if why]
    if broken or not tried:
        raise outcome.CheckError(
            "; ".join(broken) or "the guest could not try any"
        )
    return f"{', '.join(tried)}: created, mounted and grown"


def _power_off(subject: _subject.Subject) -> str:
    subject.machine.power_off()
    if subject.machine.kind == QEMU:
        return "the guest reacts to the power button"
    return "systemd stopped everything in time"


def _ping(subject: _subject.Subject) -> str:
    plane, _ = subject.control()
    machine = subject.machine
    go_on = subject.waiting(
        "waiting for the guest agent to answer a ping",
        "the guest agent answers no ping",
    )
    looked = False
    while True:
        go_on()
        seconds = min(machine.limits.scaled(_PING), _LONGEST_PING)
        if plane.call("ping", go_on, seconds=round(seconds))["alive"]:
            break
        if not looked:
            # read the facts only once, because this slows the guest down
            looked = True
            known = defects.causes_by_facts(diagnosis.read_facts(machine))
            if known:
                raise outcome.CheckError(
                    "the guest agent does not answer:"
                    f" {'; '.join(defect.cause for defect in known)}"
                )
    took = time.monotonic() - machine.begun
    _note(subject, "ping", took)
    return f"rpc_ping {took:.1f} s after power on"


def _defects(subject: _subject.Subject) -> str:
    facts = diagnosis.read_facts(subject.machine)
    if facts is None:
        raise outcome.CheckError("the guest's facts cannot be read")
    facts["ports"] = [subject.control()[1].port]
    known = defects.by_facts(facts)
    if known:
        raise outcome.CheckError(
            "; ".join(defect.cause for defect in known),
            ["by the guest's own facts:"]
            + [f"  {name}: {facts[name]}" for name in sorted(facts)],
            "; ".join(defect.remedy for defect in known),
        )
    return "users, names, units and directories are correct"


def _prepare(subject: _subject.Subject) -> str:
    plane, _ = subject.control()
    begin = time.monotonic()
    next_look = begin + _LOOK_INTERVAL
    subject.say("asking the agent to prepare the instance")
    plane.call(
        "prepare",
        database=subject.database,
        user=subject.user,
        password=subject.password,
    )
    wait = subject.machine.limits.wait()

    def between(status: str) -> None:
        nonlocal next_look
        subject.say(f"waiting for HEALTHY; the instance is {status}")
        subject.machine.stay_alive()
        wait.require(
            f"the instance stays {status!r}", status, subject.machine.signs()
        )
        begun = time.monotonic()
        if begun > next_look:
            _stop_if_hopeless(subject)
            now = time.monotonic()
            next_look = now + max(_LOOK_INTERVAL, (now - begun) / _LOOK_SHARE)

    status = control.wait_healthy(plane, between)
    took = time.monotonic() - begin
    if status != "healthy":
        message = f"the instance is {status!r} after {took:.0f} s"
        faults = plane.call("status")["faults"]
        if faults:
            message += f": {' '.join(faults[0].split())}"
        raise outcome.CheckError(message)
    _note(subject, "healthy", took)
    return f"HEALTHY {took:.1f} s after prepare"


def _stop_if_hopeless(subject: _subject.Subject) -> None:
    """Raise an error if the guest's logs show that the database cannot start.

    :raises CheckError: the logs show a hopeless defect.
    """
    shown = defects.by_logs(diagnosis.read_logs(subject.machine))
    hopeless = [defect.cause for defect, _ in shown if defect.hopeless]
    if hopeless:
        raise outcome.CheckError("; ".join(hopeless))


def _sql(subject: _subject.Subject) -> str:
    subject.say("running SQL from outside the guest")
    account = subject.account()
    fault = "the created user cannot work"
    server = sql.try_until_works(
        subject.machine, lambda: sql.read_version(account), fault
    )
    sql.try_until_works(
        subject.machine, lambda: sql.write(account, subject.word), fault
    )
    require_word(subject, fault)
    return f"the created user made a table and read it again; {server}"


def require_word(subject: _subject.Subject, fault: str) -> None:
    """Check that the database contains the word that check ``SQL`` wrote.

    :param fault: the error message if the database does not answer.
    :raises CheckError: the word is missing, or the database does not answer.
    """
    account = subject.account()
    word = sql.try_until_works(
        subject.machine, lambda: sql.read(account), fault
    )
    if word != subject.word:
        raise outcome.CheckError(
            f"the written word is missing; the table has {word!r}"
        )


def _restart(subject: _subject.Subject) -> str:
    plane, _ = subject.control()
    begin = time.monotonic()
    go_on = subject.waiting(
        "waiting for the agent to restart the database",
        "the agent does not restart the database",
    )
    plane.call("restart", go_on)
    subject.say("running SQL after the restart")
    account = subject.account()
    fault = "no SQL after the restart"
    sql.try_until_works(
        subject.machine, lambda: sql.read_version(account), fault
    )
    require_word(subject, fault)
    took = time.monotonic() - begin
    return f"by the agent, in {took:.1f} s; the data is still there"


def _note(subject: _subject.Subject, name: str, seconds: float) -> None:
    facts = subject.facts.setdefault(subject.name, {})
    facts[name] = round(seconds, 1)


#: The checks of a guest that run before the checks of its datastores;
#: :data:`POWER_OFF` runs after them.
GUEST = (
    Check(
        "boot",
        "firmware, boot loader, kernel, initramfs and root file system work,"
        " and cloud-init finds its seed",
        (QEMU,),
        _boot,
    ),
    Check(
        "systemd",
        "the boot ends, and each service that the image starts runs",
        (QEMU, CONTAINER),
        _systemd,
        ends=False,
    ),
    Check(
        "network",
        "each of the two interfaces gets its address",
        (QEMU, CONTAINER),
        _network,
        ends=False,
        once=True,
    ),
    Check(
        "kernel settings",
        "the image's own kernel confines containers, and keeps no core dumps",
        (QEMU,),
        _kernel,
        ends=False,
        once=True,
    ),
    Check(
        "volume",
        "the second disk is where Trove looks for it",
        (QEMU,),
        _volume,
        ends=False,
        once=True,
    ),
    Check(
        "file systems",
        "the guest makes, mounts and grows each file system that Trove may"
        " give to a volume",
        (QEMU,),
        _file_systems,
        ends=False,
        once=True,
    ),
)
POWER_OFF = Check(
    "power off",
    "the guest shuts down when the cloud asks for it",
    (QEMU, CONTAINER),
    _power_off,
)
#: The checks of each datastore that the image itself starts.
NATIVE = (
    Check(
        "probe",
        "the datastore answers a question of its clients' protocol rightly",
        (QEMU, CONTAINER),
        probes.probe,
        ends=False,
    ),
)
#: The checks of each datastore that Trove's agent starts.
AGENT = (
    Check(
        "agent answers",
        "the guest agent starts with what Trove injects, reaches the message"
        " broker and answers",
        (QEMU, CONTAINER),
        _ping,
    ),
    Check(
        "no known defect",
        "nothing in the guest is known to break the agent or its databases"
        " later",
        (QEMU, CONTAINER),
        _defects,
    ),
    Check(
        "prepare",
        "Trove's taskmanager has an instance made, and it becomes HEALTHY",
        (QEMU, CONTAINER),
        _prepare,
    ),
    Check(
        "SQL",
        "the user and the database that were asked for work for a client",
        (QEMU, CONTAINER),
        _sql,
    ),
    Check(
        "restart",
        "the agent restarts the database, and the data is still there",
        (QEMU, CONTAINER),
        _restart,
    ),
)


def of_datastore(level: str) -> tuple[Check, ...]:
    """Return the checks that run for each datastore at a level.

    :param level: the name of a level; see :mod:`trove_tools.verify.levels`.
    """
    return {
        "boot": (), "datastore": NATIVE, "agent": AGENT, "life": AGENT,
    }[level]  # fmt: skip
