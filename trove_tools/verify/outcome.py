# SPDX-License-Identifier: Apache-2.0
"""Defines the results of a verification as plain data."""

import collections.abc
import contextlib
import dataclasses
import pathlib
import time
import typing

from trove_tools import errors
from trove_tools.artifact import verification


class CheckError(Exception):
    """A check failed.

    :param message: the defect, in one line.
    :param log: lines that help to find the cause.
    :param hint: what the user can do.
    """

    def __init__(
        self,
        message: str,
        log: collections.abc.Iterable[str] = (),
        hint: str | None = None,
    ) -> None:
        super().__init__(message)
        self.message = message
        self.log = list(log)
        self.hint = hint

    def add_hint(self, hint: str) -> None:
        """Put another hint before the present one."""
        self.hint = f"{hint}; {self.hint}" if self.hint else hint


class UnsupportedError(CheckError):
    """Trove itself does not support the action that a check tests."""


class UnmadeError(CheckError):
    """A check cannot be run on this image."""


@dataclasses.dataclass
class Report:
    """The result of verifying one image.

    :param level: the level of the verification.
    :param machines: the kinds of machine that ran checks.
    :param missing: the checks that were not run, by name, each with the
        reason, such as a machine that this host lacks.
    :param unsupported: the checks of actions that Trove does not support, by
        name, each with Trove's own message.
    :param accelerator: QEMU's accelerator; empty without QEMU.
    :param facts: further facts about the guest, such as its boot times.
    :param console: the last lines of the guest's console.
    :param logs: the directory with all logs of a failure: the guest's
        whole console and journal, and more.
    """

    image: str
    level: str
    machines: list[str] = dataclasses.field(default_factory=list)
    missing: dict[str, str] = dataclasses.field(default_factory=dict)
    unsupported: dict[str, str] = dataclasses.field(default_factory=dict)
    accelerator: str = ""
    build_id: str | None = None
    checks: list[verification.Check] = dataclasses.field(default_factory=list)
    facts: dict[str, typing.Any] = dataclasses.field(default_factory=dict)
    console: list[str] = dataclasses.field(default_factory=list)
    logs: str | None = None
    seconds: float = 0.0

    @property
    def ok(self) -> bool:
        """Whether checks were run and all of them passed."""
        return bool(self.checks) and all(check.ok for check in self.checks)

    @contextlib.contextmanager
    def check(
        self, name: str, machine: str = "", proves: str = ""
    ) -> collections.abc.Iterator[verification.Check]:
        """Record a check, with the time that it takes.

        A :class:`CheckError` in the context records a failure and is passed
        on, because the caller decides whether to run more checks.

        :param machine: the kind of machine that runs the check.
        :param proves: what the check proves when it passes.
        """
        result = verification.Check(name, machine, proves)
        begin = time.monotonic()
        try:
            yield result
            result.ok = True
        except UnsupportedError as exc:
            self.unsupported[name] = exc.message
            raise
        except UnmadeError as exc:
            self.missing[name] = exc.message
            raise
        except CheckError as exc:
            result.detail, result.log = exc.message, exc.log
            result.hint = exc.hint
            raise
        except BaseException:
            result.detail = result.detail or "not finished"
            raise
        finally:
            result.seconds = round(time.monotonic() - begin, 1)
            if name not in self.unsupported and name not in self.missing:
                self.checks.append(result)

    def as_dict(self) -> dict[str, typing.Any]:
        """Return the report as a dictionary for JSON."""
        return {
            "report_version": verification.VERSION,
            "ok": self.ok,
            **dataclasses.asdict(self),
        }

    def raise_for_failure(self) -> None:
        """Raise an error if a check failed.

        :raises VerifyError: with the failed checks and the lines that explain
            them.
        """
        failed = [check for check in self.checks if not check.ok]
        if not failed:
            return
        lines = []
        for check in failed:
            where = f" ({check.machine})" if check.machine else ""
            lines.append(f"{check.name}{where}: {check.detail}")
            lines += [f"  {line}" for line in check.log]
            if check.proves:
                lines.append(f"so it is not proven that {check.proves}")
        if self.console:
            lines.append("the guest's console, at its end:")
            lines += [f"  {line}" for line in self.console]
        hints = [check.hint for check in failed if check.hint]
        if self.logs:
            hints.append(f"all logs are in {self.logs}")
        raise errors.VerifyError(
            f"{pathlib.Path(self.image).name} failed " + "\n".join(lines),
            hint="; ".join(hints) or None,
        )
