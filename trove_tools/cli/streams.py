# SPDX-License-Identifier: Apache-2.0
"""Handles missing and broken standard streams.

A caller may close them (``COMMAND >&-``), or redirect them to a full disk.
"""

import contextlib
import errno
import os
import sys
import typing

from trove_tools import errors

# errors that only occur when writing to an open file
_WRITING = {
    errno.EBADF, errno.EDQUOT, errno.EFBIG, errno.EIO, errno.ENOSPC,
}  # fmt: skip


def open_missing() -> None:
    """Open the standard streams that the caller has closed.

    Otherwise the next opened file would get the file descriptor of a stream,
    and messages would be written into it. Output to a closed stderr is lost;
    output to a closed stdout is an error, as with other commands.
    """
    for number in range(3):
        try:
            os.fstat(number)
        except OSError:
            # open() returns the lowest free descriptor; writing to it fails
            os.open(os.devnull, os.O_WRONLY if number == 2 else os.O_RDONLY)
    if sys.stdout is None:
        sys.stdout = open(os.open(os.devnull, os.O_RDONLY), "w")
    if sys.stderr is None:
        sys.stderr = open(os.devnull, "w")


def settle(stream: typing.TextIO) -> None:
    """Flush a stream, or discard its buffer.

    Otherwise Python would flush it again at exit and change the exit status.
    """
    try:
        stream.flush()
    except (OSError, ValueError):
        with contextlib.suppress(OSError, ValueError):
            sink = os.open(os.devnull, os.O_WRONLY)
            os.dup2(sink, stream.fileno())
            os.close(sink)


def explain(failure: OSError) -> errors.TroveToolsError:
    """Return the error for an OSError that no other code has handled.

    :param failure: the exception.
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
            hint="it was deleted or is not accessible; change to another one:"
            " cd /",
        )
    where = "" if failure.filename is None else f"{failure.filename}: "
    return errors.TroveToolsError(
        f"a system call failed: {where}{reason}",
        hint=(
            "correct this and run the command again; --debug shows where it"
            " happened"
        ),
    )
