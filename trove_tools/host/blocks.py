# SPDX-License-Identifier: Apache-2.0
"""Sends and receives large content in blocks."""

import collections.abc
import pathlib
import queue
import threading

from trove_tools import errors

#: Returns the blocks of a content from the first one.
Reader = collections.abc.Callable[[], collections.abc.Iterator[bytes]]

_BLOCK = 1024 * 1024
# blocks that are received before they are used
_AHEAD = 4


class Body:
    """The body of a request: a file in blocks.

    It has a length and can be iterated, but has no ``read``. So requests sends
    the length and our blocks; when a request is repeated, because the token
    expired or the server redirected it, the iteration starts again at the
    first byte. A file object would continue at its end.

    :param path: the file.
    :param size: the number of bytes to send.
    :param advance: called with the number of bytes of each block, and with
        a negative number if all is sent again.
    :param read: reads the file if it is not on this host.
    :raises ImageError: while it is iterated: the file has become shorter.
    """

    def __init__(
        self,
        path: pathlib.Path,
        size: int,
        advance: collections.abc.Callable[[int], object] | None = None,
        read: Reader | None = None,
    ) -> None:
        self._path = path
        self._size = size
        self._advance = advance or (lambda number: None)
        self._read = read or (lambda: read_file(path, size))
        self._sent = 0

    def __len__(self) -> int:
        return self._size

    def __iter__(self) -> collections.abc.Iterator[bytes]:
        if self._sent:
            self._advance(-self._sent)
        self._sent = 0
        for block in self._read():
            yield block
            self._sent += len(block)
            self._advance(len(block))
        if self._sent != self._size:
            raise errors.ImageError(
                f"{self._path} became shorter while it was being sent",
                hint="try again when no program writes to it any more",
            )


def read_file(
    path: pathlib.Path, size: int
) -> collections.abc.Iterator[bytes]:
    """Yield at most ``size`` bytes of a file in blocks."""
    with open(path, "rb") as stream:
        while block := stream.read(min(_BLOCK, size)):
            yield block
            size -= len(block)


def read_ahead(
    blocks: collections.abc.Iterator[bytes],
) -> collections.abc.Iterator[bytes]:
    """Yield blocks that a thread receives while earlier ones are used."""
    waiting: queue.Queue[bytes | BaseException | None] = queue.Queue(_AHEAD)
    ended = threading.Event()

    def receive() -> None:
        last: BaseException | None = None
        try:
            for block in blocks:
                waiting.put(block)
                if ended.is_set():
                    return
        except BaseException as exc:
            last = exc
        waiting.put(last)

    thread = threading.Thread(target=receive, daemon=True)
    thread.start()
    try:
        while (block := waiting.get()) is not None:
            if isinstance(block, BaseException):
                raise block
            yield block
    finally:
        ended.set()
        # the thread may wait for room
        while not waiting.empty():
            waiting.get_nowait()
