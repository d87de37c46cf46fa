# SPDX-License-Identifier: Apache-2.0
"""An instance whose life is looked at."""

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

# seconds, for a guest of usual speed, without anything new from a database
# that should answer; between two looks
_SQL = 60.0
# the same, for a report that the agent makes once a minute
_REPORT = 180.0
_PAUSE = 1.0
# characters that say what went wrong at the end of a stack
_TAIL = 300


@dataclasses.dataclass
class Instance:
    """An instance of Trove, and the user that it was made with.

    :param id: Trove's.
    :param server: Nova's id of its guest.
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
        """What runs its guest now."""
        return self.cloud.machine(self.server)

    def call(
        self, name: str, task: str = "", /, **arguments: typing.Any
    ) -> dict[str, typing.Any]:
        """Have Trove do something with the instance.

        :param name: of the request to Trove.
        :param task: for the progress; the request's name by default.
        :raises CheckError: it cannot, in Trove's own words.
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
        """Have Trove make another instance, which ends with the context.

        Its volume has the same size.

        :param name: of the request to Trove.
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
        """Return how a user reaches a database from outside.

        :param user: the instance's own where none is given; so for the rest.
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
        """Wait until something is so.

        :param what: is not so, for the message.
        :param quiet: seconds without anything new, for a guest of usual
            speed, after which it is given up.
        :raises CheckError: it does not become so.
        """
        wait = self.machine.limits.wait(quiet)
        while not true():
            self.machine.look()
            self.machine.stay_alive()
            wait.require(what, self.machine.signs())
            time.sleep(_PAUSE)

    def read(self, statement: str, what: str) -> list[tuple[typing.Any, ...]]:
        """Return rows of the instance's own database, once it answers."""
        rows: list[tuple[typing.Any, ...]] = sql.try_until_works(
            self.machine, lambda: sql.execute(self.account(), statement), what
        )
        return rows

    def write_word(self, when: str = "before") -> str:
        """Write a new word into the instance's own database, and return it.

        :param when: for the message where that cannot be done.
        """
        word = secrets.token_hex(8)
        sql.try_until_works(
            self.machine,
            lambda: sql.write(self.account(), word),
            f"no SQL {when}",
        )
        return word

    def has_word(self, word: str, when: str) -> bool:
        """Tell whether the database has a word, once it answers."""
        words: list[str] = sql.try_until_works(
            self.machine,
            lambda: sql.read_words(self.account()),
            f"no SQL {when}",
        )
        return word in words

    def require_word(self, word: str, when: str) -> None:
        """Check that the database still contains a written word.

        :raises CheckError: it has not.
        """
        if not self.has_word(word, when):
            raise outcome.CheckError(f"what was written is not there {when}")

    def require_refused(
        self, action: collections.abc.Callable[[], object], what: str
    ) -> None:
        """See that the server refuses something, soon.

        :param what: it does not refuse, for the message.
        """

        def refused() -> bool:
            try:
                action()
            except Exception as exc:
                return sql.is_refusal(exc)
            return False

        self.wait_until(refused, what)

    def settle(self) -> None:
        """Wait until Trove would do something with the instance.

        :raises CheckError: the database is not well.
        """
        self.call("settle")
        self.wait_healthy("")

    def restart(self) -> None:
        """Have Trove restart the database, and wait until it is well."""
        self.call("restart")
        # what the agent says of it comes by another way than the answer
        self.wait_healthy("")

    def wait_healthy(self, since: str, ask: bool = True) -> None:
        """Wait until the conductor hears that the database is well.

        :param since: what :meth:`updated` was before something happened.
        :param ask: whether to have the agent tell it now; else it does so by
            itself, once a minute.
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
        """Return when the conductor last heard of the instance."""
        return str(self.plane.call("state", instance=self.id)["updated"])


def _shortened(message: str) -> str:
    """Return an error of Trove's without the stack of the guest's agent."""
    head, stack, tail = message.partition("Traceback (most recent call last)")
    return f"{head}... {tail[-_TAIL:]}" if stack else message
