# SPDX-License-Identifier: Apache-2.0
"""What Trove does with a guest, one rung after the other.

The same in a virtual machine and in namespaces: what differs between them
is a :class:`Guest`.
"""

import collections.abc
import contextlib
import dataclasses
import secrets
import time
import typing

from trove_tools import errors
from trove_tools.verify import control
from trove_tools.verify import defects
from trove_tools.verify import limits as _limits
from trove_tools.verify import report
from trove_tools.verify import sql

DATABASE = "verify"

_HEALTHY = "healthy"
_LOG_LINES = 12
# seconds, for a guest of usual speed: a database that comes up does so before
# the first look; what an agent needs for an answer; without anything new
# from a database that the agent calls healthy
_LOOK_INTERVAL = 60.0
_PING, _LONGEST_PING = 3.0, 30.0
_SQL = 60.0


class Guest(typing.Protocol):
    """A guest, whatever runs it.

    :param limits: how long it is waited for.
    """

    limits: _limits.Limits

    def stay_alive(self) -> None:
        """Make sure that there is still something to wait for.

        :raises CheckError: there is not.
        """

    def settled(self) -> bool:
        """Tell whether its boot is over, so that its facts are final."""

    def say(self, task: str) -> None:
        """Tell the user what is being waited for."""

    def signs(self) -> int:
        """Return a number that grows as long as the guest gets on."""

    def evidence(self, everything: bool) -> dict[str, typing.Any]:
        """Return the guest's facts, and its logs if asked for.

        :returns: nothing from a guest that does not answer.
        """

    def port(self, number: int) -> int:
        """Return the port of loopback that leads to one of the guest."""


@dataclasses.dataclass(frozen=True)
class Datastore:
    """A datastore of the image, and how Trove knows it.

    :param image: the container's name, without its tag; nothing for the
        one that Trove takes by default.
    :param protocol: what its clients speak: ``mysql`` or ``postgresql``.
    """

    name: str
    version: str
    manager: str
    image: str
    protocol: str
    port: int


class Climb:
    """The rungs of one datastore in one guest.

    :param begun: when the guest was started, by :func:`time.monotonic`.
    """

    def __init__(
        self,
        found: report.Report,
        guest: Guest,
        plane: control.Control,
        datastore: Datastore,
        begun: float,
    ) -> None:
        self._found = found
        self._guest = guest
        self._plane = plane
        self._datastore = datastore
        self._limits = guest.limits
        self._begun = begun
        self._user = f"verify_{secrets.token_hex(4)}"
        self._password = f"Aa1{secrets.token_hex(16)}"
        self._word = secrets.token_hex(8)
        self._looked = False
        self._next_look = begun

    def climb(self) -> None:
        """Climb as far as it holds.

        :raises CheckError: it does not; it stands in the report.
        """
        self._ping()
        self._defects()
        self._prepare()
        self._sql()
        self._restart()

    @contextlib.contextmanager
    def _rung(self, name: str) -> collections.abc.Iterator[report.Check]:
        """Note a rung; let the guest explain it when it does not hold."""
        with self._found.check(f"{self._datastore.name}: {name}") as check:
            try:
                yield check
            except report.CheckError as exc:
                if exc.log:
                    raise
                raise self._explained(exc) from exc
            except errors.VerifyError as exc:
                raise self._explained(
                    report.CheckError(exc.message, hint=exc.hint)
                ) from exc

    def _explained(self, exc: report.CheckError) -> report.CheckError:
        self._guest.say("asking the guest for its logs")
        told = self._guest.evidence(True)
        logs = told.get("logs", {})
        causes: list[str] = []
        lines: list[str] = []
        if "facts" in told:
            causes, lines = defects.explain(told["facts"], logs)
        else:
            causes, lines = defects.explain(None, logs)
            lines.append("the guest does not answer any more")
        for name, tail in logs.items():
            said = [
                line.replace(self._password, "***")
                for line in tail
                if line.strip()
            ]
            if said:
                lines.append(f"{name}:")
                lines += [f"  {line}" for line in said[-_LOG_LINES:]]
        explained = report.CheckError(exc.message, lines, exc.hint)
        if causes:
            explained.add_hint("; ".join(causes))
        return explained

    def _say(self, task: str) -> None:
        self._guest.say(f"{self._datastore.name}: {task}")

    def _ping(self) -> None:
        with self._rung("agent answers") as check:
            go_on = self._waiting(
                "waiting for the guest agent to answer a ping",
                "the guest agent answers no ping",
            )
            while True:
                go_on()
                seconds = min(self._limits.scaled(_PING), _LONGEST_PING)
                if self._plane.call("ping", go_on, seconds=round(seconds))[
                    "alive"
                ]:
                    break
                self._stop_early()
            took = time.monotonic() - self._begun
            self._fact("ping", took)
            check.detail = f"rpc_ping {took:.1f} s after power on"

    def _waiting(
        self, task: str, what: str
    ) -> collections.abc.Callable[[], None]:
        """Begin to wait for something that the guest does.

        :param task: that, for who watches.
        :param what: what has not happened, for a message.
        :returns: what is to be called now and then; raises CheckError when
            there is no use in waiting any longer.
        """
        wait = self._limits.wait()

        def go_on() -> None:
            self._say(task)
            self._guest.stay_alive()
            wait.require(what, self._guest.signs())

        return go_on

    def _stop_early(self) -> None:
        """Do not wait for an agent that is known not to come.

        :raises CheckError: the guest has a known defect.
        """
        if self._looked or not self._guest.settled():
            return
        # once: a guest that is asked all the time gets no work done
        self._looked = True
        facts = self._guest.evidence(False).get("facts")
        known = defects.causes_by_facts(facts)
        if known:
            raise report.CheckError(
                "the guest agent does not answer:"
                f" {'; '.join(each.cause for each in known)}"
            )

    def _defects(self) -> None:
        """See that no known defect lies in wait."""
        with self._rung("no known defect") as check:
            facts = self._guest.evidence(False).get("facts")
            if facts is None:
                raise report.CheckError("the guest does not tell its facts")
            facts["ports"] = [self._datastore.port]
            known = defects.by_facts(facts)
            if known:
                raise report.CheckError(
                    "; ".join(each.cause for each in known),
                    ["by the guest's own facts:"]
                    + [f"  {name}: {facts[name]}" for name in sorted(facts)],
                    "; ".join(each.remedy for each in known),
                )
            check.detail = "users, names, units and directories are right"

    def _prepare(self) -> None:
        with self._rung("prepare") as check:
            begin = time.monotonic()
            self._next_look = begin + self._limits.scaled(_LOOK_INTERVAL)
            self._say("asking the agent to prepare the instance")
            self._plane.call(
                "prepare",
                database=DATABASE,
                user=self._user,
                password=self._password,
            )
            wait = self._limits.wait()

            def between(status: str) -> None:
                self._say(f"waiting for HEALTHY; the instance is {status}")
                self._guest.stay_alive()
                wait.require(
                    f"the instance stays {status!r}",
                    status,
                    self._guest.signs(),
                )
                self._look()

            status = control.wait_healthy(self._plane, between)
            took = time.monotonic() - begin
            if status != _HEALTHY:
                raise report.CheckError(self._unhealthy(status, took))
            self._fact("healthy", took)
            check.detail = f"HEALTHY {took:.1f} s after prepare"

    def _look(self) -> None:
        """Do not wait for a database that is known not to come.

        :raises CheckError: the guest's logs show a hopeless defect.
        """
        if time.monotonic() < self._next_look:
            return
        self._next_look = time.monotonic() + self._limits.scaled(
            _LOOK_INTERVAL
        )
        logs = self._guest.evidence(True).get("logs", {})
        hopeless = [
            defect.cause
            for defect, _ in defects.by_logs(logs)
            if defect.hopeless
        ]
        if hopeless:
            raise report.CheckError("; ".join(hopeless))

    def _unhealthy(self, status: str, took: float) -> str:
        message = f"the instance is {status!r} after {took:.0f} s"
        faults = self._plane.call("status")["faults"]
        if faults:
            message += f": {' '.join(faults[0].split())}"
        return message

    def _account(self) -> sql.Account:
        return sql.Account(
            self._datastore.protocol,
            self._guest.port(self._datastore.port),
            self._user,
            self._password,
            DATABASE,
            self._limits.scaled(sql.ATTEMPT),
        )

    def _patiently(
        self, action: collections.abc.Callable[[], typing.Any], what: str
    ) -> typing.Any:
        """Do something with the database until it works."""
        wait = self._limits.wait(_SQL)

        def between(said: str) -> None:
            self._guest.stay_alive()
            wait.require(f"{what} ({said})", self._guest.signs())

        return sql.patiently(action, between)

    def _sql(self) -> None:
        """Do SQL as the user that was asked for."""
        with self._rung("SQL") as check:
            self._say("doing SQL from outside the guest")
            account = self._account()
            fault = "the created user cannot work"
            server = self._patiently(lambda: sql.version(account), fault)
            self._patiently(lambda: sql.write(account, self._word), fault)
            self._read(account, fault)
            check.detail = (
                f"the created user made a table and read it again; {server}"
            )

    def _read(self, account: sql.Account, fault: str) -> None:
        found = self._patiently(lambda: sql.read(account), fault)
        if found != self._word:
            raise report.CheckError(
                f"what was written is not there: {found!r}"
            )

    def _restart(self) -> None:
        with self._rung("restart") as check:
            begin = time.monotonic()
            go_on = self._waiting(
                "waiting for the agent to restart the database",
                "the agent does not restart the database",
            )
            self._plane.call("restart", go_on)
            self._say("doing SQL after the restart")
            account = self._account()
            fault = "no SQL after the restart"
            self._patiently(lambda: sql.version(account), fault)
            self._read(account, fault)
            took = time.monotonic() - begin
            check.detail = (
                f"by the agent, in {took:.1f} s; the data is still there"
            )

    def _fact(self, name: str, seconds: float) -> None:
        facts = self._found.facts.setdefault(self._datastore.name, {})
        facts[name] = round(seconds, 1)
