# SPDX-License-Identifier: Apache-2.0
"""Runs commands for verify in an emulated guest; the seed starts it.

This file is copied into the seed unchanged.  It runs as root in the guest,
with the guest's Python 3 of any version and only the standard library.  It
reads requests from a separate serial port, one line of JSON each, and writes
the answers to the same port.  Its first line contains the nonce of this run's
seed, so that verify does not mistake another program for it.

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
    """Run a command, and return its exit status and its output.

    :param request: the command as ``argv``, its ``input``, and its timeout
        in ``seconds``.
    :returns: the exit ``status``, None after a timeout, and the ``output``.
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
    """Send the nonce, then answer requests in an endless loop."""
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
