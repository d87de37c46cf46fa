# SPDX-License-Identifier: Apache-2.0
"""Checks that a file can be trusted: no other user can have written it.

A build runs as root and depends on the files of its cache.  So these files
must belong to this user or to root, and neither a group nor everybody may
write to them.  A symbolic link in the last part of a path is not followed.
apt, ssh and sudo apply the same rule to their files.

A user who may call sudo can become root, so root trusts the files of the user
who called sudo.  Write access for a private group is allowed: most
distributions create for each user a group with the user's name and no other
members.
"""

import grp
import os
import pathlib
import pwd
import stat

from trove_tools import errors


def require_own(path: pathlib.Path, what: str) -> None:
    """Raise an error if another user can have written a file or directory.

    :param what: the kind of the file, for the message.
    :raises UsageError: another user can, or the path is a symbolic link.
    :raises OSError: the path does not exist.
    """
    refuse(path, path.lstat(), what)


def require_own_place(path: pathlib.Path, what: str) -> None:
    """Raise an error if another user can write or replace a file.

    In addition to the rule of :func:`require_own`, all parent directories
    must belong to trusted users.  Other users may write to a parent only if
    it has the sticky bit, as ``/tmp`` does: they cannot rename the file.

    :param path: a file or a directory; not a symbolic link.
    :param what: as for :func:`require_own`.
    :raises UsageError: another user can.
    :raises OSError: the path does not exist.
    """
    require_own(path, what)
    for parent in path.resolve().parents:
        status = parent.stat()
        reason = _reason(status)
        if status.st_mode & stat.S_ISVTX and _is_of_us(status):
            reason = ""
        if reason:
            raise errors.UsageError(
                f"{what} {path} is not used: other users can replace it,"
                f" because of {parent}: {reason}",
                hint="name a directory in your home directory, or let nobody"
                f" else write to {parent}",
            )


def is_own(path: pathlib.Path) -> bool:
    """Return whether no other user can have written a file or directory.

    :returns: False also if the path does not exist.
    """
    try:
        return not _reason(path.lstat())
    except OSError:
        return False


def open_own(path: pathlib.Path, flags: int, what: str) -> int:
    """Open a file or a directory that no other user can have written.

    :param flags: flags for os.open(); a file that is created is readable by
        all users, and writable by this user.
    :param what: as for :func:`require_own`.
    :returns: the file descriptor.
    :raises UsageError: another user can have written it, or it is a link.
    :raises OSError: it cannot be opened.
    """
    # opening must not block if the path is a FIFO or a device
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
    """Raise an error if another user can have written a file.

    :param status: the file's status, from stat(2).
    :param what: as for :func:`require_own`.
    :raises UsageError: another user can, or it is neither a regular file
        nor a directory.
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
    """Return why a file is not trusted; empty if it is trusted."""
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
    """Return whether a file's group has only the file's owner as member."""
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
