# SPDX-License-Identifier: Apache-2.0
"""What verify found, as plain data."""

import collections.abc
import contextlib
import dataclasses
import pathlib
import time
import typing

from trove_tools import errors
from trove_tools.artifact import verification


class CheckError(Exception):
    """A check found that something is not as it should be.

    :param message: what was found, in one line.
    :param log: lines that help to see why.
    :param hint: what can be done.
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
        """Put another hint before what is there already."""
        self.hint = f"{hint}; {self.hint}" if self.hint else hint


class UnsupportedError(CheckError):
    """Trove itself cannot do what a check looks at."""


class UnmadeError(CheckError):
    """A check cannot be made of this image."""


@dataclasses.dataclass
class Report:
    """All that was looked at.

    :param level: how far the image was looked into.
    :param machines: the kinds of machine that looked.
    :param missing: the checks that none of them can prove, each with the
        reason why there was no machine that can.
    :param unsupported: the checks of what Trove itself cannot do, each with
        Trove's own words.
    :param accelerator: of QEMU, if that looked.
    :param facts: what is known of the guest besides: times of the boot.
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
        """Whether everything is as it should be."""
        return bool(self.checks) and all(check.ok for check in self.checks)

    @contextlib.contextmanager
    def check(
        self, name: str, machine: str = "", proves: str = ""
    ) -> collections.abc.Iterator[verification.Check]:
        """Note a check, with the time it takes.

        A :class:`CheckError` within makes it a failed one, and is passed
        on: the caller knows whether to look further.

        :param machine: that shows it.
        :param proves: what is known once it has passed.
        """
        found = verification.Check(name, machine, proves)
        begin = time.monotonic()
        try:
            yield found
            found.ok = True
        except UnsupportedError as exc:
            self.unsupported[name] = exc.message
            raise
        except UnmadeError as exc:
            self.missing[name] = exc.message
            raise
        except CheckError as exc:
            found.detail, found.log = exc.message, exc.log
            found.hint = exc.hint
            raise
        except BaseException:
            found.detail = found.detail or "not finished"
            raise
        finally:
            found.seconds = round(time.monotonic() - begin, 1)
            if name not in self.unsupported and name not in self.missing:
                self.checks.append(found)

    def as_dict(self) -> dict[str, typing.Any]:
        """Return it as JSON has it."""
        return {
            "report_version": verification.VERSION,
            "ok": self.ok,
            **dataclasses.asdict(self),
        }

    def raise_for_failure(self) -> None:
        """Turn failed checks into an error.

        :raises VerifyError: naming them, with the lines that explain.
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
