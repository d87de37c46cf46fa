# SPDX-License-Identifier: Apache-2.0
"""What the seed runs in an emulated guest: it runs commands for verify.

This file is copied into the seed as it is.  It runs as root in the guest,
with whatever Python 3 that has and with nothing but the standard library.
It reads requests from a serial port of its own, a line of JSON each, and
answers them there.  First it says that it is there, with the nonce of this
run's seed, so that nothing else can pass for it.

Usage: command_server.py NONCE
"""

import json
import subprocess  # noqa: TID251 (runs in the guest)
import sys
import typing

PORT = "/dev/virtio-ports/org.openstack.trove-tools.commands"
JOURNAL = "/dev/virtio-ports/org.openstack.trove-tools.journal"

_MOST = 1 << 20


def answer(request: dict[str, typing.Any]) -> dict[str, typing.Any]:
    """Run a command and return what became of it.

    :param request: ``argv``, ``input`` for it, and the ``seconds`` it gets.
    :returns: its exit ``status``, none if it was ended, and its ``output``.
    """
    try:
        done = subprocess.run(
            request["argv"],
            input=request["input"].encode(),
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            timeout=request["seconds"],
            cwd="/",
        )
        status: int | None = done.returncode
        output = done.stdout
    except subprocess.TimeoutExpired as exc:
        status, output = None, exc.output or b""
    except OSError as exc:
        status, output = 127, str(exc).encode()
    return {
        "id": request["id"],
        "status": status,
        "output": output[-_MOST:].decode(errors="replace"),
    }


def main(nonce: str) -> None:
    """Answer requests for ever."""
    with open(PORT, "r+b", buffering=0) as port:
        port.write(json.dumps({"nonce": nonce}).encode() + b"\n")
        partial = b""
        while True:
            *lines, partial = (partial + (port.read(65536) or b"")).split(
                b"\n"
            )
            for line in lines:
                reply = json.dumps(answer(json.loads(line)))
                port.write(reply.encode() + b"\n")


if __name__ == "__main__":
    main(sys.argv[1])
