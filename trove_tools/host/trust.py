# SPDX-License-Identifier: Apache-2.0
"""Checks that a file can be trusted: no other user can have written it.

A build has root's rights, and does what the files of its cache say.  So these
must belong to this user or to root, and neither a group nor everybody may
write to them.  The last part of a path is never followed if it is a link.
apt, ssh and sudo keep the same rule for their own files.

Whoever calls sudo can become root, so root trusts the files of that user,
too.  A group that is named as the owner of a file and has no other members
is that user, as most distributions make one for each user.
"""

import grp
import os
import pathlib
import pwd
import stat

from trove_tools import errors


def require_own(path: pathlib.Path, what: str) -> None:
    """Make sure that nobody else can have written a file or a directory.

    :param what: what it is to the user, for the message.
    :raises UsageError: somebody else can, or it is a link.
    :raises OSError: it is not there.
    """
    refuse(path, path.lstat(), what)


def require_own_place(path: pathlib.Path, what: str) -> None:
    """Make sure that nobody else can put something else in a place.

    Besides what :func:`require_own` wants, all directories above must be of
    users who are trusted, and others may write to them only if they cannot
    rename what is not theirs, as in ``/tmp``.

    :param path: has no link in its last part.
    :param what: as for :func:`require_own`.
    :raises UsageError: somebody else can.
    :raises OSError: it is not there.
    """
    require_own(path, what)
    for parent in path.resolve().parents:
        status = parent.stat()
        reason = _reason(status)
        if status.st_mode & stat.S_ISVTX and _is_of_us(status):
            reason = ""
        if reason:
            raise errors.UsageError(
                f"{what} {path} is not used: other users can put something"
                f" else in its place, because of {parent}: {reason}",
                hint="name a directory that is below your home directory, or"
                f" let nobody else write to {parent}",
            )


def is_own(path: pathlib.Path) -> bool:
    """Tell whether nobody else can have written a file or a directory.

    :returns: False where there is none, too.
    """
    try:
        return not _reason(path.lstat())
    except OSError:
        return False


def open_own(path: pathlib.Path, flags: int, what: str) -> int:
    """Open a file or a directory that nobody else can have written.

    :param flags: as os.open() takes them; a file that is made is readable by
        all, and writable by this user.
    :param what: as for :func:`require_own`.
    :returns: the file descriptor.
    :raises UsageError: somebody else can have written it, or it is a link.
    :raises OSError: it cannot be opened.
    """
    # a FIFO or a device in its place must not make anybody wait
    flags |= os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
    try:
        descriptor = os.open(path, flags, 0o644)
    except OSError:
        if path.is_symlink():
            require_own(path, what)
        raise
    try:
        refuse(path, os.fstat(descriptor), what)
    except errors.UsageError:
        os.close(descriptor)
        raise
    return descriptor


def refuse(path: pathlib.Path, status: os.stat_result, what: str) -> None:
    """Refuse a file that somebody else can have written.

    :param status: the file's.
    :param what: as for :func:`require_own`.
    :raises UsageError: somebody else can, or it is a link or no file.
    """
    reason = _reason(status)
    if not reason:
        return
    mend = "remove it"
    if _others_may_write(status) and _is_of_us(status):
        mend += f", or, if you trust what is in it: chmod -R go-w {path}"
    raise errors.UsageError(
        f"{what} {path} is not used: {reason}",
        hint=f"{mend}; or name another one",
    )


def _reason(status: os.stat_result) -> str:
    """Return why a file is not trusted; nothing if it is."""
    if stat.S_ISLNK(status.st_mode):
        return "it is a link"
    if not (stat.S_ISREG(status.st_mode) or stat.S_ISDIR(status.st_mode)):
        return "it is neither a file nor a directory"
    if not _is_of_us(status):
        return f"it belongs to {_name(status.st_uid)}"
    if _others_may_write(status):
        mode = f"{stat.S_IMODE(status.st_mode):o}"
        return f"other users may write to it (its mode is {mode})"
    return ""


def _is_of_us(status: os.stat_result) -> bool:
    trusted = {0, os.geteuid()}
    caller = os.environ.get("SUDO_UID", "")
    if os.geteuid() == 0 and caller.isascii() and caller.isdigit():
        trusted.add(int(caller))
    return status.st_uid in trusted


def _others_may_write(status: os.stat_result) -> bool:
    if stat.S_ISLNK(status.st_mode):
        return False
    if status.st_mode & stat.S_IWOTH:
        return True
    return bool(status.st_mode & stat.S_IWGRP) and not _is_private(status)


def _is_private(status: os.stat_result) -> bool:
    """Tell whether a file's group is its owner and nobody else."""
    try:
        owner = pwd.getpwuid(status.st_uid)
        group = grp.getgrgid(status.st_gid)
    except KeyError:
        return False
    return (
        owner.pw_uid != 0
        and owner.pw_gid == group.gr_gid
        and owner.pw_name == group.gr_name
        and set(group.gr_mem) <= {owner.pw_name}
    )


def _name(uid: int) -> str:
    try:
        return f"the user {pwd.getpwuid(uid).pw_name}"
    except KeyError:
        return f"the user with the id {uid}"
