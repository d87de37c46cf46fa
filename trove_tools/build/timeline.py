# SPDX-License-Identifier: Apache-2.0
"""Records the parts of a build and their durations.

A build has layers, a layer has phases, and a phase has hooks. A part outside
of the layers, such as the conversion of the disk, is a step.
"""

import collections.abc
import contextlib
import dataclasses
import time
import typing

#: The nesting of the kinds: a new part ends all open parts of the same or a
#: higher rank.
RANKS = {"layer": 0, "step": 1, "phase": 1, "hook": 2}


@dataclasses.dataclass
class Span:
    """One part of a build.

    :param kind: layer, step, phase or hook.
    :param begin: seconds since the build began.
    :param seconds: the duration.
    :param cached: whether the part was taken from the cache.
    :param spans: the parts of this part, in order.
    """

    kind: str
    name: str
    begin: float
    seconds: float = 0.0
    cached: bool = False
    spans: list["Span"] = dataclasses.field(default_factory=list)


class Timeline:
    """Records the beginnings and ends of the parts of a build.

    :param clock: returns the time in seconds.
    """

    def __init__(
        self, clock: collections.abc.Callable[[], float] = time.monotonic
    ) -> None:
        self._clock = clock
        self._begin = clock()
        self._open: list[Span] = []
        self.spans: list[Span] = []

    def enter(self, kind: str, name: str, cached: bool = False) -> None:
        """Record the beginning of a part, which ends the previous one."""
        self.leave(kind)
        span = Span(kind, name, self._now(), cached=cached)
        inside = self._open[-1].spans if self._open else self.spans
        inside.append(span)
        self._open.append(span)

    def leave(self, kind: str) -> None:
        """Record the end of the part of this kind, and of all parts in it."""
        while self._open and RANKS[self._open[-1].kind] >= RANKS[kind]:
            span = self._open.pop()
            span.seconds = round(self._now() - span.begin, 2)

    @contextlib.contextmanager
    def within(
        self, kind: str, name: str
    ) -> collections.abc.Iterator[None]:
        """Record a part that lasts as long as this context."""
        self.enter(kind, name)
        try:
            yield
        finally:
            self.leave(kind)

    def as_list(self) -> list[dict[str, typing.Any]]:
        """Return the parts as plain data."""
        return [dataclasses.asdict(span) for span in self.spans]

    def _now(self) -> float:
        return round(self._clock() - self._begin, 2)
