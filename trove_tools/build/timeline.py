# SPDX-License-Identifier: Apache-2.0
"""What a build did, and how long each part of it took.

A build has layers, a layer has phases, a phase has hooks.  What belongs to
no layer, such as the conversion of the disk, is a step.
"""

import collections.abc
import contextlib
import dataclasses
import time
import typing

#: What may be in what: each kind ends those of its own rank and below.
RANKS = {"layer": 0, "step": 1, "phase": 1, "hook": 2}


@dataclasses.dataclass
class Span:
    """One part of a build.

    :param kind: layer, step, phase or hook.
    :param begin: seconds since the build began.
    :param seconds: how long it took.
    :param cached: it was not made, but taken from the cache.
    :param spans: its own parts, one after the other.
    """

    kind: str
    name: str
    begin: float
    seconds: float = 0.0
    cached: bool = False
    spans: list["Span"] = dataclasses.field(default_factory=list)


class Timeline:
    """Notes what begins and ends while a build runs.

    :param clock: returns seconds.
    """

    def __init__(
        self, clock: collections.abc.Callable[[], float] = time.monotonic
    ) -> None:
        self._clock = clock
        self._begin = clock()
        self._open: list[Span] = []
        self.spans: list[Span] = []

    def enter(self, kind: str, name: str, cached: bool = False) -> None:
        """Note that a part begins; so the one before it has ended."""
        self.leave(kind)
        span = Span(kind, name, self._now(), cached=cached)
        inside = self._open[-1].spans if self._open else self.spans
        inside.append(span)
        self._open.append(span)

    def leave(self, kind: str) -> None:
        """Note that the part of this kind has ended, with all in it."""
        while self._open and RANKS[self._open[-1].kind] >= RANKS[kind]:
            span = self._open.pop()
            span.seconds = round(self._now() - span.begin, 2)

    @contextlib.contextmanager
    def within(
        self, kind: str, name: str, cached: bool = False
    ) -> collections.abc.Iterator[None]:
        """Note a part that is as long as this context."""
        self.enter(kind, name, cached)
        try:
            yield
        finally:
            self.leave(kind)

    def as_list(self) -> list[dict[str, typing.Any]]:
        """Return the parts as plain data."""
        return [dataclasses.asdict(span) for span in self.spans]

    def _now(self) -> float:
        return round(self._clock() - self._begin, 2)
