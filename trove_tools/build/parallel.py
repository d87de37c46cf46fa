# SPDX-License-Identifier: Apache-2.0
"""The progress of a build that does more than one thing at a time.

A container is made beside the image's layers.  The build waits for it in the
end, so what is shown names both: the build's own state, and what is still in
the making.
"""

import threading

from trove_tools import console


class Lanes(console.Progress):
    """Shows several states as one.

    :param shown: shows it to the user.
    """

    def __init__(self, shown: console.Progress) -> None:
        self._shown = shown
        # states change in several threads
        self._lock = threading.Lock()
        self._state = ""
        self._beside: list[Lane] = []

    def state(self, text: str) -> None:
        """Say what the build itself does now."""
        with self._lock:
            self._state = text
            self._show()

    def advance(self, amount: int = 1) -> None:
        """Count finished work, in whichever lane."""
        with self._lock:
            self._shown.advance(amount)

    def beside(self) -> "Lane":
        """Begin something beside the build; end it with its ``end``."""
        return Lane(self)

    def set(self, lane: "Lane", text: str) -> None:
        """Note what is made in another lane; nothing ends it."""
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
    """The progress of what is made beside a build."""

    def __init__(self, lanes: Lanes) -> None:
        self._lanes = lanes
        self.text = ""

    def state(self, text: str) -> None:
        """Say what is made in this lane now."""
        self._lanes.set(self, text)

    def advance(self, amount: int = 1) -> None:
        """Count finished work."""
        self._lanes.advance(amount)

    def end(self) -> None:
        """Say that this lane is done."""
        self._lanes.set(self, "")
