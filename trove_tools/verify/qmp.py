# SPDX-License-Identifier: Apache-2.0
"""Controls a running QEMU over a socket that only verify and QEMU have.

The protocol, QMP, consists of lines of JSON: QEMU answers commands in order,
and sends events in between.
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
    """A connection to the monitor of one QEMU.

    :param channel: verify's end of the socket.
    """

    def __init__(self, channel: socket.socket) -> None:
        self._channel = channel
        self._received = b""
        self.events: list[Event] = []

    def close(self) -> None:
        """Close verify's end of the socket."""
        self._channel.close()

    def greet(self) -> None:
        """Start the session; QEMU accepts no other command before this.

        :raises VerifyError: QEMU does not answer.
        """
        self._receive(lambda line: "QMP" in line)
        self.execute("qmp_capabilities")

    def execute(self, command: str, **arguments: typing.Any) -> typing.Any:
        """Run a command and return its result.

        :raises VerifyError: QEMU refuses the command, does not answer, or has
            ended.
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
        """Record the events that have arrived, without waiting."""
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
        """Return the complete lines that have arrived, decoded.

        :param patience: seconds to wait if there are none.
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
