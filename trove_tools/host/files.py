# SPDX-License-Identifier: Apache-2.0
"""Writes files atomically, and holds lock files."""

import collections.abc
import contextlib
import fcntl
import os
import pathlib
import secrets
import typing

#: The mode of a new file, before the umask is applied.
_MODE = 0o644


def write_file(
    path: pathlib.Path, content: str | bytes, mode: int = _MODE
) -> None:
    """Write a file atomically: readers see the old or the new content.

    Symbolic links are not followed, neither for the file nor for its
    directory: another user may have created one to mislead root.

    :param content: a string is encoded in UTF-8.
    :param mode: the mode of the file, before the umask is applied.
    :raises OSError: the file cannot be written, or its directory is a link.
    """
    if isinstance(content, str):
        content = content.encode()
    with replace_file(path, mode) as stream:
        stream.write(content)
        stream.flush()
        # a crash must not replace the old file with an empty one
        os.fsync(stream.fileno())


@contextlib.contextmanager
def replace_file(
    path: pathlib.Path, mode: int = _MODE
) -> collections.abc.Iterator[typing.BinaryIO]:
    """Open a new file that replaces another file when the block ends.

    Nothing changes if the block ends with an exception.  Symbolic links are
    not followed, as in :func:`write_file`.

    :param mode: the mode of the file, before the umask is applied.
    :raises OSError: the file cannot be written, or its directory is a link.
    """
    directory = os.open(
        path.parent, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW
    )
    # a random name, as two processes may write the same file at a time
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
    """Hold an exclusive flock(2) lock on a file.

    :param path: the lock file; created if it does not exist.
    :param waiting: called once if another process holds the lock.
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
