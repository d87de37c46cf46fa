# SPDX-License-Identifier: Apache-2.0
"""Runs diskimage-builder's Python scripts without their start-up time.

diskimage-builder calls ``dib-block-device.py`` about ten times in a run.  Each
call imports networkx and loads every plugin, which takes half a second, for
some milliseconds of work.  The server, ``dib_server.py``, imports all these
modules once per build, and forks for each call; the child gets the caller's
arguments, variables, directory, umask and standard streams.

diskimage-builder starts Python with the program in ``DIB_PYTHON_EXEC``.  This
module sets it to a shell script, which sends the calls of some scripts to the
server and starts Python for all others.  A call fails if the server has ended.
"""

import collections.abc
import contextlib
import os
import pathlib
import shlex
import socket
import sys

from trove_tools.host import process

_DIRECTORY = pathlib.Path(__file__).parent
# the scripts that the server runs; diskimage-builder runs none of them through
# sudo, as the server has this user's rights.  The element trove-layer-end has
# the last one.
_SCRIPTS = ("dib-block-device.py", "element-info.py", "no_disk.py")
_PROGRAM = """\
#!/bin/sh
case "${{1##*/}}" in
    {scripts}) exec {python} -IS {client} {address} "$@" ;;
esac
exec {python} "$@"
"""


@contextlib.contextmanager
def serve(
    directory: pathlib.Path, log: pathlib.Path
) -> collections.abc.Iterator[pathlib.Path]:
    """Run the server while this context lasts.

    :param directory: the build's directory, for the program and a socket to
        which only this user can connect.
    :param log: the file for the server's output.
    :returns: the program for ``DIB_PYTHON_EXEC``.
    """
    address = directory / "dib-server"
    program = directory / "dib-python"
    program.write_text(
        _PROGRAM.format(
            scripts="|".join(_SCRIPTS),
            python=shlex.quote(sys.executable),
            client=shlex.quote(os.fspath(_DIRECTORY / "dib_client.py")),
            address=shlex.quote(os.fspath(address)),
        )
    )
    program.chmod(0o755)
    with socket.socket(socket.AF_UNIX) as listener:
        place = os.open(directory, os.O_PATH)
        try:
            # the path of a socket must be short, see unix(7)
            listener.bind(f"/proc/self/fd/{place}/{address.name}")
        finally:
            os.close(place)
        address.chmod(0o600)
        listener.listen()
        server = process.start(
            # -P: modules are not searched in the directory of the script
            [sys.executable, "-P", _DIRECTORY / "dib_server.py",
             str(listener.fileno())],
            cwd=directory, log=log, pass_fds=[listener.fileno()],
        )  # fmt: skip
    try:
        yield program
    finally:
        process.stop(server)
