# SPDX-License-Identifier: Apache-2.0
"""The process that runs scripts of diskimage-builder, a fork for each call.

Started by :mod:`.dib_python`, as ``dib_server.py DESCRIPTOR``: the number of
a socket on which it listens.  Uses nothing of this package.
"""

import contextlib
import gc
import json
import os
import runpy
import socket
import sys

# what takes longer to import than to use
from diskimage_builder import element_dependencies  # noqa: F401
from diskimage_builder.block_device import cmd  # noqa: F401


def main(descriptor: str) -> None:
    """Run scripts, one after the other."""
    listener = socket.socket(fileno=int(descriptor))
    # a child that looks for garbage would copy all that is imported
    gc.freeze()
    while True:
        connection, _ = listener.accept()
        with connection:
            child = os.fork()
            if child == 0:
                listener.close()
                # the interpreter ends as it does after any script
                runpy.run_path(_become(connection), run_name="__main__")
                return
            status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
            # a caller that was killed does not want to know
            with contextlib.suppress(BrokenPipeError):
                connection.sendall(b"%d" % status)


def _become(connection: socket.socket) -> str:
    """Take over what makes a caller; return the script that it calls.

    :param connection: the caller is at its other end, see ``dib_client.py``.
    """
    _, streams, _, _ = socket.recv_fds(connection, 1, 3)
    with connection.makefile("rb") as stream:
        caller = json.loads(stream.readline())
    connection.close()
    for number, descriptor in enumerate(streams):
        os.dup2(descriptor, number)
        os.close(descriptor)
    os.chdir(caller["directory"])
    os.umask(caller["umask"])
    os.environ.clear()
    os.environ.update(caller["variables"])
    sys.argv = caller["arguments"]
    return sys.argv[0]


if __name__ == "__main__":
    main(*sys.argv[1:])
