# SPDX-License-Identifier: Apache-2.0
"""Keeps a program working whatever its caller gave it as standard streams.

A caller may close them (``COMMAND >&-``), or name a file on a full disk.
"""

import contextlib
import errno
import os
import sys
import typing

from trove_tools import errors

# what only writing meets, on a file that was opened before
_WRITING = {
    errno.EBADF, errno.EDQUOT, errno.EFBIG, errno.EIO, errno.ENOSPC,
}  # fmt: skip


def open_missing() -> None:
    """Open the standard streams that the caller has closed.

    Otherwise the next file that is opened takes the number of a stream, and
    gets what is printed.  What is printed on a closed stderr is lost; on a
    closed stdout it is an error, as it is for any other command.
    """
    for number in range(3):
        try:
            os.fstat(number)
        except OSError:
            # the lowest free number is taken; writing to it fails
            os.open(os.devnull, os.O_WRONLY if number == 2 else os.O_RDONLY)
    if sys.stdout is None:
        sys.stdout = open(os.open(os.devnull, os.O_RDONLY), "w")
    if sys.stderr is None:
        sys.stderr = open(os.devnull, "w")


def settle(stream: typing.TextIO) -> None:
    """Write what a stream still holds, or forget it.

    Python would try again when it ends, and change the exit status.
    """
    try:
        stream.flush()
    except (OSError, ValueError):
        with contextlib.suppress(OSError, ValueError):
            sink = os.open(os.devnull, os.O_WRONLY)
            os.dup2(sink, stream.fileno())
            os.close(sink)


def explain(failure: OSError) -> errors.TroveToolsError:
    """Return what to tell the user about an error of the system.

    :param failure: one that no other code has handled.
    """
    reason = failure.strerror or str(failure)
    if failure.filename is None and failure.errno in _WRITING:
        return errors.TroveToolsError(
            f"the output cannot be written: {reason}",
            hint="is stdout closed, or the disk full? make room, or name"
            " another file",
        )
    try:
        os.getcwd()
    except OSError:
        return errors.TroveToolsError(
            f"the current directory cannot be used: {reason}",
            hint="it was deleted or closed to this user; change to another:"
            " cd /",
        )
    where = "" if failure.filename is None else f"{failure.filename}: "
    return errors.TroveToolsError(
        f"the system refused something: {where}{reason}",
        hint="correct that, then run again; --debug shows where it happened",
    )
