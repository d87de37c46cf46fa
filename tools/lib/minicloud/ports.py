# SPDX-License-Identifier: Apache-2.0
"""Finding ports on loopback that nobody uses.

The kernel gives ports of its ephemeral range to outgoing connections, so a
port from there can be taken between the choice and its use, or while the
cloud is stopped.  Free ones are therefore looked for below that range.
"""

import collections.abc
import pathlib
import random
import socket

from trove_tools import errors

ADDRESS = "127.0.0.1"

_RANGE = pathlib.Path("/proc/sys/net/ipv4/ip_local_port_range")
_LOWEST = 10000
_TRIES = 200


def is_free(port: int) -> bool:
    """Tell whether a service could listen on the port now."""
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((ADDRESS, port))
        except OSError:
            return False
        return True


def choose(taken: collections.abc.Container[int] = ()) -> int:
    """Return a free port.

    :param taken: ports that are spoken for, though nobody listens yet.
    """
    for _ in range(_TRIES):
        port = random.randrange(_LOWEST, _ephemeral())
        if port not in taken and is_free(port):
            return port
    raise errors.TroveToolsError(
        f"no free port found on {ADDRESS} in {_TRIES} tries",
        hint="name free ports with --port",
    )


def _ephemeral() -> int:
    try:
        lowest = int(_RANGE.read_text().split()[0])
    except (OSError, ValueError, IndexError):
        lowest = 32768
    return lowest if lowest > 2 * _LOWEST else 32768
