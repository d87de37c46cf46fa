# SPDX-License-Identifier: Apache-2.0
"""A file on its way into the cloud."""

import collections.abc
import pathlib

from trove_tools import console
from trove_tools import errors

_BLOCK = 1024 * 1024


class Sending:
    """The body of a request: a file, in blocks.

    It has a length and can be iterated, but has no ``read``: so requests
    announces the length and takes our blocks as they are, and when
    keystoneauth repeats the request, because the token expired or the
    server redirected, the iteration begins again at the first byte.  A
    file object would go on from where it stood, at its end.

    :param path: the file.
    :param size: its length when it was looked at.
    :param progress: is told of every block.
    """

    def __init__(
        self,
        path: pathlib.Path,
        size: int,
        progress: console.Progress,
    ) -> None:
        self._path = path
        self._size = size
        self._progress = progress
        self._sent = 0

    def __len__(self) -> int:
        return self._size

    def __iter__(self) -> collections.abc.Iterator[bytes]:
        if self._sent:
            self._progress.advance(-self._sent)
        self._sent = 0
        with open(self._path, "rb") as stream:
            while block := stream.read(min(_BLOCK, self._size - self._sent)):
                yield block
                self._sent += len(block)
                self._progress.advance(len(block))
        if self._sent != self._size:
            raise errors.ImageError(
                f"{self._path} became shorter while it was being sent",
                hint="load it again when nothing writes to it any more",
            )
