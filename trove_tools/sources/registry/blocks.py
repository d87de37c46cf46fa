# SPDX-License-Identifier: Apache-2.0
"""Sends and receives large content in blocks."""

import collections.abc
import pathlib
import queue
import threading

_BLOCK = 1024 * 1024
# blocks that are received before they are used
_AHEAD = 4


class Body:
    """The body of a request: a file in blocks.

    It has a length and can be iterated several times, so that a request can
    be repeated.

    :param advance: called with the number of bytes of each block.
    """

    def __init__(
        self,
        path: pathlib.Path,
        advance: collections.abc.Callable[[int], object] | None = None,
    ) -> None:
        self._path = path
        self._size = path.stat().st_size
        self._advance = advance or (lambda number: None)

    def __len__(self) -> int:
        return self._size

    def __iter__(self) -> collections.abc.Iterator[bytes]:
        with open(self._path, "rb") as stream:
            while block := stream.read(_BLOCK):
                yield block
                self._advance(len(block))


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
