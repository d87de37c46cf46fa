# SPDX-License-Identifier: Apache-2.0
"""Runs diskimage-builder's Python scripts without their start-up time.

diskimage-builder calls ``dib-block-device.py`` about ten times in a run, and
each call imports networkx and loads every plugin, half a second, for some
milliseconds of work.  The server, ``dib_server.py``, imports all that once a
build, and forks for each call; the child gets the caller's arguments,
variables, directory, umask and standard streams.

diskimage-builder starts Python as ``DIB_PYTHON_EXEC`` says.  That is a script
of ours here, which hands the calls that are worth it to the server, and
starts Python itself for all others.  A call fails when the server has ended.
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
# none of them runs through sudo: the server has this user's rights.  The last
# one is of the element trove-layer-end.
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

    :param directory: the build's own; it gets the program, and a socket to
        which only this user can connect.
    :param log: takes what the server itself prints.
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
            # a socket's own path must be short, see unix(7)
            listener.bind(f"/proc/self/fd/{place}/{address.name}")
        finally:
            os.close(place)
        address.chmod(0o600)
        listener.listen()
        server = process.start(
            # without the directory of the file among those of modules
            [sys.executable, "-P", _DIRECTORY / "dib_server.py",
             str(listener.fileno())],
            cwd=directory, log=log, pass_fds=[listener.fileno()],
        )  # fmt: skip
    try:
        yield program
    finally:
        process.stop(server)
