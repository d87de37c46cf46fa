# SPDX-License-Identifier: Apache-2.0
"""Talks to a running QEMU, over a socket that only the two of us have.

QMP is lines of JSON: commands are answered in order, and events come in
between.
"""

import collections.abc
import json
import socket
import time
import typing

from trove_tools import errors
from trove_tools.host import process

Event = dict[str, typing.Any]

_ANSWER = 30.0
_BLOCK = 65536


class Monitor:
    """The monitor of one QEMU.

    :param channel: our end of the socket.
    """

    def __init__(self, channel: socket.socket) -> None:
        self._channel = channel
        self._received = b""
        self.events: list[Event] = []

    def close(self) -> None:
        """Close our end."""
        self._channel.close()

    def greet(self) -> None:
        """Begin: QEMU takes no other command before this one.

        :raises VerifyError: QEMU does not answer.
        """
        self._receive(lambda line: "QMP" in line)
        self.execute("qmp_capabilities")

    def execute(self, command: str, **arguments: typing.Any) -> typing.Any:
        """Run a command and return its result.

        :raises VerifyError: QEMU refuses, or has ended.
        """
        words = json.dumps({"execute": command, "arguments": arguments})
        try:
            self._channel.sendall(words.encode() + b"\n")
        except OSError as exc:
            raise errors.VerifyError(f"QEMU has ended: {exc}") from exc
        answer = self._receive(
            lambda line: "return" in line or "error" in line
        )
        if "error" in answer:
            raise errors.VerifyError(
                f"QEMU refused {command}: {answer['error'].get('desc')}"
            )
        return answer["return"]

    def poll(self) -> None:
        """Take what has come in, without waiting."""
        for line in self._lines(0):
            self._note(line)

    def _note(self, line: Event) -> None:
        if "event" in line:
            self.events.append(line)

    def _receive(
        self, wanted: collections.abc.Callable[[Event], bool]
    ) -> Event:
        patience = process.scale_timeout(_ANSWER)
        deadline = time.monotonic() + patience
        while (left := deadline - time.monotonic()) > 0:
            found = None
            for line in self._lines(left):
                self._note(line)
                if found is None and wanted(line):
                    found = line
            if found is not None:
                return found
        raise errors.VerifyError(
            f"QEMU did not answer within {patience:.0f} s"
        )

    def _lines(self, patience: float) -> list[Event]:
        """Return the whole lines that have come in.

        :param patience: seconds to wait when there are none.
        """
        self._channel.settimeout(patience)
        try:
            block = self._channel.recv(_BLOCK)
        except (TimeoutError, BlockingIOError):
            return []
        except OSError:
            block = b""
        if not block:
            if patience:
                raise errors.VerifyError("QEMU has ended")
            return []
        *whole, self._received = (self._received + block).split(b"\n")
        return [json.loads(line) for line in whole if line.strip()]
