# SPDX-License-Identifier: Apache-2.0
"""Locks between processes of this host, which end with their process."""

import collections.abc
import contextlib
import fcntl
import os
import pathlib


@contextlib.contextmanager
def locked(
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
