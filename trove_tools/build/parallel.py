# SPDX-License-Identifier: Apache-2.0
"""Shows the progress of a build with parallel work.

Containers are made in parallel with the image's layers.  The build waits for
the containers at the end, so the progress line shows both the state of the
build and the containers that are still being made.
"""

import threading

from trove_tools import console


class Lanes(console.Progress):
    """Combines several states into one progress line.

    :param shown: the progress line.
    """

    def __init__(self, shown: console.Progress) -> None:
        self._shown = shown
        # several threads change states
        self._lock = threading.Lock()
        self._state = ""
        self._beside: list[Lane] = []

    def state(self, text: str) -> None:
        """Set the state of the build itself."""
        with self._lock:
            self._state = text
            self._show()

    def advance(self, amount: int = 1) -> None:
        """Count finished work in any lane."""
        with self._lock:
            self._shown.advance(amount)

    def beside(self) -> "Lane":
        """Return a lane for parallel work; :meth:`Lane.end` ends it."""
        return Lane(self)

    def set(self, lane: "Lane", text: str) -> None:
        """Set the state of a lane; an empty state ends the lane."""
        with self._lock:
            lane.text = text
            others = [each for each in self._beside if each is not lane]
            self._beside = [*others, lane] if text else others
            self._show()

    def _show(self) -> None:
        text = self._state
        beside = ", ".join(lane.text for lane in self._beside)
        if beside:
            text += f"; in the making: {beside}" if text else beside
        if text:
            self._shown.state(text)


class Lane(console.Progress):
    """The progress of work in parallel with a build."""

    def __init__(self, lanes: Lanes) -> None:
        self._lanes = lanes
        self.text = ""

    def state(self, text: str) -> None:
        """Set the state of this lane."""
        self._lanes.set(self, text)

    def advance(self, amount: int = 1) -> None:
        """Count finished work."""
        self._lanes.advance(amount)

    def end(self) -> None:
        """End this lane."""
        self._lanes.set(self, "")
