# SPDX-License-Identifier: Apache-2.0
"""Controls an instance of Trove for the checks of the level ``life``."""

import collections.abc
import contextlib
import dataclasses
import secrets
import time
import typing

from trove_tools.verify import control
from trove_tools.verify import machine as _machine
from trove_tools.verify import outcome
from trove_tools.verify import sql
from trove_tools.verify import subject as _subject
from trove_tools.verify.life import cloud as _cloud
from trove_tools.verify.life import swift

# seconds without anything new after which a database that should answer is
# given up, for a guest of usual speed
_SQL = 60.0
# the same for a report that the agent sends once a minute
_REPORT = 180.0
# seconds between two attempts
_PAUSE = 1.0
# number of characters at the end of a traceback that describe the error
_TAIL = 300


@dataclasses.dataclass
class Instance:
    """An instance of Trove, and the database user that was made with it.

    :param id: Trove's id of the instance.
    :param server: Nova's id of the instance's server.
    """

    plane: control.Control
    cloud: _cloud.Cloud
    swift: swift.Swift
    datastore: _subject.Datastore
    id: str
    server: str
    user: str
    password: str
    database: str

    @property
    def machine(self) -> _machine.Machine:
        """The machine that runs the instance's guest now."""
        return self.cloud.machine(self.server)

    def call(
        self, name: str, task: str = "", /, **arguments: typing.Any
    ) -> dict[str, typing.Any]:
        """Send a request about the instance to Trove, and return the answer.

        :param name: the name of the request.
        :param task: text for the progress line; by default the request's
            name.
        :raises CheckError: the request fails; the error has Trove's message.
        """
        action = name.replace("_", " ")
        self.machine.say(f"{self.datastore.name}: {task or action}")
        wait = self.machine.limits.wait()

        def between() -> None:
            self.machine.look()
            wait.require(
                f"Trove does not finish `{action}`", self.machine.signs()
            )

        try:
            return self.plane.call(
                name, between, self.cloud, instance=self.id, **arguments
            )
        except control.FailedError as exc:
            raise outcome.CheckError(
                f"Trove fails at `{action}`: {_shortened(exc.message)}"
            ) from exc

    @contextlib.contextmanager
    def further(
        self, name: str, **arguments: str | None
    ) -> collections.abc.Iterator[typing.Self]:
        """Make another instance with Trove; the context's end removes it.

        Its volume has the same size.

        :param name: the name of the request to Trove.
        :returns: the instance, which is active.
        """
        size = self.plane.call("state", instance=self.id)["size"]
        answer = self.call(name, size=size, **arguments)
        other = dataclasses.replace(
            self, id=answer["id"], server=answer["server"]
        )
        try:
            yield other
        finally:
            self.cloud.remove(answer["server"])

    def account(
        self, user: str = "", password: str = "", database: str = ""
    ) -> sql.Account:
        """Return the data for access to a database from this host.

        :param user: the user; by default the instance's own.  The same holds
            for the other parameters.
        """
        return sql.Account(
            self.datastore.protocol,
            self.machine.port(self.datastore.port),
            user or self.user,
            password or self.password,
            database or self.database,
            self.machine.limits.scaled(sql.ATTEMPT),
        )

    def wait_until(
        self,
        true: collections.abc.Callable[[], bool],
        what: str,
        quiet: float = _SQL,
    ) -> None:
        """Wait until a condition is true.

        :param true: returns whether the condition is true.
        :param what: a description of the failure, for the message.
        :param quiet: seconds without anything new after which a guest of
            usual speed is given up.
        :raises CheckError: the condition does not become true.
        """
        wait = self.machine.limits.wait(quiet)
        while not true():
            self.machine.look()
            self.machine.stay_alive()
            wait.require(what, self.machine.signs())
            time.sleep(_PAUSE)

    def read(self, statement: str, what: str) -> list[tuple[typing.Any, ...]]:
        """Run a query on the instance's database, and return its rows."""
        rows: list[tuple[typing.Any, ...]] = sql.try_until_works(
            self.machine, lambda: sql.execute(self.account(), statement), what
        )
        return rows

    def write_word(self, when: str = "before") -> str:
        """Write a new word into the instance's own database, and return it.

        :param when: when or where the word is written, for the message.
        """
        word = secrets.token_hex(8)
        sql.try_until_works(
            self.machine,
            lambda: sql.write(self.account(), word),
            f"no SQL {when}",
        )
        return word

    def has_word(self, word: str, when: str) -> bool:
        """Return whether the database contains a word, once it answers."""
        words: list[str] = sql.try_until_works(
            self.machine,
            lambda: sql.read_words(self.account()),
            f"no SQL {when}",
        )
        return word in words

    def require_word(self, word: str, when: str) -> None:
        """Check that the database still contains a written word.

        :raises CheckError: the word is missing.
        """
        if not self.has_word(word, when):
            raise outcome.CheckError(f"what was written is not there {when}")

    def require_refused(
        self, action: collections.abc.Callable[[], object], what: str
    ) -> None:
        """Wait until the server refuses an action.

        :param what: a description of the failure, for the message.
        """

        def refused() -> bool:
            try:
                action()
            except Exception as exc:
                return sql.is_refusal(exc)
            return False

        self.wait_until(refused, what)

    def settle(self) -> None:
        """Clear leftovers of a failed check, and wait for a healthy instance.

        :raises CheckError: the instance does not become healthy.
        """
        self.call("settle")
        self.wait_healthy("")

    def restart(self) -> None:
        """Restart the database with Trove, and wait until it is healthy."""
        self.call("restart")
        # the agent's report arrives separately from the answer
        self.wait_healthy("")

    def wait_healthy(self, since: str, ask: bool = True) -> None:
        """Wait until the conductor gets a report that the database is healthy.

        :param since: a result of :meth:`updated`; only later reports count.
        :param ask: whether to request reports from the agent; otherwise it
            sends one a minute.
        """
        task = "waiting for HEALTHY"
        self.machine.say(f"{self.datastore.name}: {task}")

        def healthy() -> bool:
            if ask:
                self.call("heartbeat", task)
            state = self.plane.call("state", instance=self.id)
            return bool(
                state["status"] == "healthy" and state["updated"] > since
            )

        self.wait_until(
            healthy,
            "the instance does not become HEALTHY again",
            _SQL if ask else _REPORT,
        )

    def updated(self) -> str:
        """Return the time of the instance's last report to the conductor."""
        return str(self.plane.call("state", instance=self.id)["updated"])


def _shortened(message: str) -> str:
    """Return an error of Trove with only the end of the agent's traceback."""
    head, stack, tail = message.partition("Traceback (most recent call last)")
    return f"{head}... {tail[-_TAIL:]}" if stack else message
