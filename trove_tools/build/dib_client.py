# SPDX-License-Identifier: Apache-2.0
"""Runs a script in the server, and exits with the script's exit status.

diskimage-builder starts it through the program of :mod:`.dib_python`, as
``dib_client.py SOCKET SCRIPT ARGUMENT...``.  It has few imports, because it is
started often.
"""

import json
import os
import socket
import sys


def main(address: str, *arguments: str) -> int:
    """Send a script's call to the server; return the exit status."""
    umask = os.umask(0o077)
    caller = {
        "arguments": arguments,
        "directory": os.getcwd(),
        "umask": umask,
        "variables": dict(os.environ),
    }
    directory, name = os.path.split(address)
    with socket.socket(socket.AF_UNIX) as server:
        try:
            # the path of a socket must be short, see unix(7)
            place = os.open(directory, os.O_PATH)
            server.connect(f"/proc/self/fd/{place}/{name}")
            socket.send_fds(server, [b"\0"], [0, 1, 2])
            server.sendall(json.dumps(caller).encode() + b"\n")
            status = int(server.recv(16))
        except (OSError, ValueError) as exc:
            print(
                f"{arguments[0]}: the build's server of diskimage-builder's"
                f" scripts has ended: {exc}; build again",
                file=sys.stderr,
            )
            return 1
    # a shell also reports a signal as 128 plus its number
    return status if status >= 0 else 128 - status


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
