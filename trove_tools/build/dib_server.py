# SPDX-License-Identifier: Apache-2.0
"""Server that runs diskimage-builder's scripts, in a fork for each call.

:mod:`.dib_python` starts it as ``dib_server.py DESCRIPTOR``; the descriptor is
a listening socket.  It imports no other module of this package.
"""

import contextlib
import gc
import json
import os
import runpy
import socket
import sys

# importing these modules takes longer than using them
from diskimage_builder import element_dependencies  # noqa: F401
from diskimage_builder.block_device import cmd  # noqa: F401


def main(descriptor: str) -> None:
    """Run the scripts of all callers, one after the other.

    :param descriptor: the number of the listening socket.
    """
    listener = socket.socket(fileno=int(descriptor))
    # garbage collection in a child would copy the memory of all modules
    gc.freeze()
    while True:
        connection, _ = listener.accept()
        with connection:
            child = os.fork()
            if child == 0:
                listener.close()
                # the child returns, so that the interpreter exits as usual
                runpy.run_path(_become(connection), run_name="__main__")
                return
            status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
            # a caller that was killed does not read the status
            with contextlib.suppress(BrokenPipeError):
                connection.sendall(b"%d" % status)


def _become(connection: socket.socket) -> str:
    """Apply a caller's streams, directory and variables to this process.

    :param connection: the connection to the caller, ``dib_client.py``.
    :returns: the path of the script to run.
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
