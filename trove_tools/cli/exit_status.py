# SPDX-License-Identifier: Apache-2.0
"""Handles the end of a program: exit status, signals, broken streams.

A caller may close the standard streams (``COMMAND >&-``), or redirect them to
a file on a full disk.
"""

import collections.abc
import contextlib
import dataclasses
import errno
import os
import signal
import sys
import types
import typing

from trove_tools import console
from trove_tools import errors
from trove_tools.host import credentials
from trove_tools.host import liveness

# errors that only occur when writing to an open file
_WRITING = {
    errno.EBADF, errno.EDQUOT, errno.EFBIG, errno.EIO, errno.ENOSPC,
}  # fmt: skip


def open_missing_streams() -> None:
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


def _settle(stream: typing.TextIO) -> None:
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


def _explain(failure: OSError) -> errors.TroveToolsError:
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


def _unwind_on_signals() -> None:
    """Make the first Ctrl-C or SIGTERM unwind the stack.

    Unwinding removes mounts and ends processes; a second Ctrl-C would
    interrupt that, so it is ignored. The third one ends the process.
    """
    received = 0

    def interrupt(number: int, frame: types.FrameType | None) -> None:
        nonlocal received
        received += 1
        if received != 2:
            raise KeyboardInterrupt
        print("undoing what was begun; once more to stop at once",
              file=sys.stderr)  # fmt: skip

    for number in (signal.SIGINT, signal.SIGTERM):
        # the caller ignores the signal, as nohup does: leave it ignored
        if signal.getsignal(number) is not signal.SIG_IGN:
            signal.signal(number, interrupt)


def _traceback() -> None:
    import traceback

    print(credentials.hide(traceback.format_exc()), file=sys.stderr, end="")


@dataclasses.dataclass
class Ending:
    """Reports errors, and holds the exit status of a program.

    :param screen: the console for errors.
    :param debug: whether tracebacks are shown.
    :param status: the exit status.
    """

    screen: console.Console
    debug: bool = False
    status: int = errors.EXIT_OK

    @contextlib.contextmanager
    def reported(self) -> collections.abc.Iterator[None]:
        """Convert exceptions and signals to an exit status.

        A program must enter this context first, in the main thread, because it
        installs signal handlers; and :func:`open_missing_streams` comes before
        the console is made.
        """
        _unwind_on_signals()
        liveness.follow()
        try:
            yield
            # detect a full disk while it can still be reported
            sys.stdout.flush()
        except errors.TroveToolsError as exc:
            self._fail(exc, exc.exit_status)
        except KeyboardInterrupt as exc:
            # the text of the exception says what could not be undone
            left = str(exc) or "unfinished work was undone"
            self.screen.warn(f"interrupted; {left}")
            self.status = errors.EXIT_INTERRUPTED
        except BrokenPipeError:
            # the reader of stdout has exited, as with `list | head`
            self.status = errors.EXIT_OK
        except OSError as exc:
            self._fail(_explain(exc))
        except Exception as exc:
            advice = (
                "this is a defect of the tool: run again with --debug and"
                " report what it prints"
            )
            notes = getattr(exc, "__notes__", [])
            defect = errors.TroveToolsError(
                f"unexpected {type(exc).__name__}: {exc}",
                hint="\n".join([advice, *notes]),
            )
            self._fail(None if self.debug else defect)
        finally:
            _settle(sys.stdout)
            _settle(sys.stderr)

    def _fail(
        self,
        error: errors.TroveToolsError | None,
        status: int = errors.EXIT_FAILED,
    ) -> None:
        if self.debug:
            _traceback()
        if error is not None:
            self.screen.error(error)
        self.status = status
