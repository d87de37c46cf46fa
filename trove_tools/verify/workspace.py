# SPDX-License-Identifier: Apache-2.0
"""Manages the work directory of a verification, its logs and its leftovers.

A killed verify leaves its files and, if it ran a container, empty control
groups; the kernel removes everything else.

The logs of a failed verify are kept in ``NAME.d/verify`` beside the image.  If
this directory cannot be written, or the image has no ``NAME.d``, they are kept
in ``verify/NAME`` in the user's directory for state
(``~/.local/state/trove-tools``).  A failure replaces the logs of an earlier
failure; a success removes them.
"""

import collections.abc
import contextlib
import os
import pathlib
import shutil
import tempfile

from trove_tools import errors
from trove_tools.artifact import manifest
from trove_tools.host import cleanup
from trove_tools.host import paths
from trove_tools.host import trust
from trove_tools.verify import isolation
from trove_tools.verify import outcome

_PREFIX = "trove-verify-"


@contextlib.contextmanager
def open_workspace(
    report: outcome.Report, image: pathlib.Path
) -> collections.abc.Iterator[pathlib.Path]:
    """Make a work directory and remove it later; keep the logs of a failure.

    A :class:`outcome.CheckError` ends the context but is not passed on,
    because the report contains it already.
    """
    parent = pathlib.Path(tempfile.gettempdir())
    work, lock = cleanup.new_directory(parent, _PREFIX)
    try:
        with _keeping_logs(report, image, work):
            yield work
    finally:
        shutil.rmtree(work)
        os.close(lock)


@contextlib.contextmanager
def _keeping_logs(
    report: outcome.Report, image: pathlib.Path, work: pathlib.Path
) -> collections.abc.Iterator[None]:
    try:
        yield
    except outcome.CheckError:
        pass
    except errors.VerifyError as exc:
        kept = keep_logs(work, image)
        if kept is not None:
            where = f"all logs are in {kept}"
            exc.hint = f"{exc.hint}; {where}" if exc.hint else where
        raise
    if report.ok:
        remove_logs(image)
    else:
        kept = keep_logs(work, image)
        report.logs = str(kept) if kept else None


def remove_abandoned(warn: cleanup.Warn) -> list[pathlib.Path]:
    """Remove the leftovers of this user's killed verifications.

    :param warn: called for each leftover that cannot be removed.
    :returns: the directories and control groups that were removed.
    """
    removed = []
    for directory in pathlib.Path(tempfile.gettempdir()).glob(f"{_PREFIX}*"):
        if directory.is_symlink() or directory.lstat().st_uid != os.geteuid():
            continue
        with contextlib.suppress(FileNotFoundError):
            if cleanup.take_down(directory, _remove, warn):
                removed.append(directory)
    return [*removed, *isolation.remove_left()]


def _remove(directory: pathlib.Path) -> list[str]:
    shutil.rmtree(directory)
    return []


def logs_directory(image: pathlib.Path) -> pathlib.Path:
    """Return the directory for the logs of an image."""
    beside, in_state = _log_places(image)
    if trust.is_own(beside.parent) and os.access(beside.parent, os.W_OK):
        return beside
    return in_state


def _log_places(image: pathlib.Path) -> tuple[pathlib.Path, pathlib.Path]:
    sidecar = manifest.sidecar(image.absolute())
    return sidecar / "verify", paths.user_state() / "verify" / sidecar.stem


def keep_logs(work: pathlib.Path, image: pathlib.Path) -> pathlib.Path | None:
    """Copy all logs of a verification to the directory for its image's logs.

    :param work: the work directory; its logs are named ``*.log``.
    :returns: the directory of the copies; None if there are no logs.
    :raises OSError: the copies cannot be written.
    """
    logs = [
        log
        for log in sorted(work.rglob("*.log"))
        if log.is_file() and log.stat().st_size
    ]
    if not logs:
        return None
    kept = logs_directory(image)
    kept.parent.mkdir(parents=True, exist_ok=True)
    # other users may read the image, but not the guest's logs
    copies = pathlib.Path(
        tempfile.mkdtemp(prefix=f".{kept.name}-", dir=kept.parent)
    )
    for log in logs:
        copy = copies / log.relative_to(work)
        copy.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(log, copy)
    # another verify of the image may do the same now; one copy remains
    shutil.rmtree(kept, ignore_errors=True)
    try:
        copies.rename(kept)
    except OSError:
        shutil.rmtree(copies)
    return kept


def remove_logs(image: pathlib.Path) -> None:
    """Remove the logs of an earlier failure."""
    for directory in _log_places(image):
        # another user may have put a link in place of the directory
        if trust.is_own(directory.parent):
            with contextlib.suppress(OSError):
                shutil.rmtree(directory)
