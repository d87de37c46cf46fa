# SPDX-License-Identifier: Apache-2.0
"""Checks files and directories from the command line.

It also returns the user's directories (XDG Base Directory Specification).
All commands report the same mistake with the same message and exit status,
before they change anything.
"""

import errno
import os
import pathlib
import stat

from trove_tools import errors


def require_file(
    path: pathlib.Path, what: str, hint: str, *, by_root: bool = False
) -> None:
    """Raise an error unless a regular file exists and can be read.

    :param what: the kind of the file, such as ``image``, or the option that
        names it; the message begins with it.
    :param hint: what to do if there is no file of a similar name.
    :param by_root: root reads the file, so this user need not be able to.
    :raises UsageError: the file does not exist, cannot be read, or is not a
        regular file.
    """
    try:
        mode = path.stat().st_mode
        if stat.S_ISDIR(mode):
            why = "it is a directory"
        elif not stat.S_ISREG(mode):
            # opening a FIFO would wait until a writer opens it
            why = "it is not a regular file"
        else:
            if not by_root:
                with open(path, "rb"):
                    pass
            return
    except FileNotFoundError:
        why = "there is no such file"
        hint = _near(path) + hint
    except OSError as exc:
        if exc.errno == errno.EACCES:
            if by_root:
                return
            hint = "let this user read it, or run as a user who may"
        why = str(exc.strerror)
    raise errors.UsageError(f"{what} {path} cannot be read: {why}", hint=hint)


def _near(path: pathlib.Path) -> str:
    """Return a question that suggests a file of a similar name, or ""."""
    import difflib

    try:
        names = [entry.name for entry in path.parent.iterdir()]
    except OSError:
        return ""
    near = difflib.get_close_matches(path.name, names, n=1, cutoff=0.8)
    return f"did you mean {path.with_name(near[0])}? " if near else ""


def require_directory(path: pathlib.Path, what: str, hint: str) -> None:
    """Raise an error unless a directory exists.

    :param what: as for :func:`require_file`.
    :param hint: what the user can do.
    :raises UsageError: it does not exist, or is not a directory.
    """
    if path.is_dir():
        return
    why = "there is no such directory"
    if path.exists():
        why = "it is not a directory"
        hint = f"name a directory, such as {path.absolute().parent}; {hint}"
    raise errors.UsageError(f"{what} {path} cannot be read: {why}", hint=hint)


def find_existing(directory: pathlib.Path) -> pathlib.Path:
    """Return a directory, or its nearest parent that exists."""
    directory = directory.absolute()
    while not directory.exists():
        directory = directory.parent
    return directory


def require_writable(directory: pathlib.Path, flag: str) -> None:
    """Raise an error unless a directory can be written to, or created.

    :param flag: the option that names the directory.
    :raises UsageError: it cannot be written to or created.
    """
    # imported here because it takes longer than the rest of this module
    import tempfile

    try:
        existing = find_existing(directory)
        if not existing.is_dir():
            raise NotADirectoryError(0, f"{existing} is not a directory")
        try:
            with tempfile.TemporaryFile(dir=existing):
                pass
        except FileNotFoundError as exc:
            # the kernel reports this error in /proc and /sys
            text = f"no file can be made in {existing}"
            raise FileNotFoundError(0, text) from exc
    except OSError as exc:
        raise _not_writable(directory, flag, exc) from exc


def make_directory(directory: pathlib.Path, flag: str) -> pathlib.Path:
    """Create a writable directory if it does not exist.

    :param flag: the option that names the directory.
    :returns: its path with all symbolic links resolved.
    :raises UsageError: it cannot be created or written to.
    """
    require_writable(directory, flag)
    directory = directory.absolute()
    try:
        directory.mkdir(parents=True, exist_ok=True)
    except OSError as exc:
        raise _not_writable(directory, flag, exc) from exc
    return directory.resolve()


def _not_writable(
    directory: pathlib.Path, flag: str, exc: OSError
) -> errors.UsageError:
    return errors.UsageError(
        f"cannot write to {directory}: {exc.strerror}",
        hint=f"give {flag} a directory that you may write to",
    )


def user_cache() -> pathlib.Path:
    """Return the user's directory for data that can be created again."""
    home = os.environ.get("XDG_CACHE_HOME") or "~/.cache"
    return pathlib.Path(home).expanduser() / "trove-tools"


def user_state() -> pathlib.Path:
    """Return the user's directory for data to keep after a run: logs."""
    home = os.environ.get("XDG_STATE_HOME") or "~/.local/state"
    return pathlib.Path(home).expanduser() / "trove-tools"


def is_url(text: str) -> bool:
    """Return whether a text is an HTTP or HTTPS URL, and not a path."""
    return text.startswith(("http://", "https://"))
