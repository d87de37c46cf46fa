# SPDX-License-Identifier: Apache-2.0
"""Writes files atomically, and locks them for one process of this host."""

import collections.abc
import contextlib
import fcntl
import os
import pathlib
import secrets
import typing

#: Of a new file, less what the umask takes away.
_MODE = 0o644


def write_file(
    path: pathlib.Path, content: str | bytes, mode: int = _MODE
) -> None:
    """Write a file; whoever reads it sees the old content or the new one.

    No link is followed, neither in its place nor in that of its directory:
    another user may have made one there for root.

    :param content: text is written in UTF-8.
    :param mode: of the file, as open(2) takes it.
    :raises OSError: it cannot be written, or the directory is a link.
    """
    if isinstance(content, str):
        content = content.encode()
    with replace_file(path, mode) as stream:
        stream.write(content)
        stream.flush()
        # a crash must not leave an empty file where the old one was
        os.fsync(stream.fileno())


@contextlib.contextmanager
def replace_file(
    path: pathlib.Path, mode: int = _MODE
) -> collections.abc.Iterator[typing.BinaryIO]:
    """Open a file whose content takes the place of another one at the end.

    Nothing changes if the block ends with an exception.  Links are followed
    as little as by :func:`write_file`.

    :param mode: of the file, as open(2) takes it.
    :raises OSError: it cannot be written, or the directory is a link.
    """
    directory = os.open(
        path.parent, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW
    )
    # two processes may write the same file at a time
    partial = f".{path.name}.{secrets.token_hex(8)}"
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC
    try:
        file = os.open(partial, flags, mode, dir_fd=directory)
        try:
            with open(file, "wb") as stream:
                yield stream
            os.replace(
                partial, path.name, src_dir_fd=directory, dst_dir_fd=directory
            )
        except BaseException:
            with contextlib.suppress(FileNotFoundError):
                os.unlink(partial, dir_fd=directory)
            raise
    finally:
        os.close(directory)


@contextlib.contextmanager
def hold_lock(
    path: pathlib.Path,
    waiting: collections.abc.Callable[[], object] = lambda: None,
) -> collections.abc.Iterator[None]:
    """Hold a lock (flock(2)) that one process can have at a time.

    :param path: the file that stands for it; made if it is not there.
    :param waiting: called once if another process has the lock.
    :raises OSError: the file cannot be opened.
    """
    flags = os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW
    descriptor = os.open(path, flags, 0o644)
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            waiting()
            fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)
