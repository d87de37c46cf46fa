# SPDX-License-Identifier: Apache-2.0
"""The directory that one verify works in, and what a killed one leaves.

A verify that is killed leaves its files and, of a container, empty control
groups; the kernel takes all else.

The logs of a failed verify are kept in ``NAME.d/verify`` beside the image.  If
that cannot be written, or the image has no ``NAME.d``, they are kept in
``verify/NAME`` in the user's directory for state
(``~/.local/state/trove-tools``).  A failure replaces the logs of the one
before; a success removes them.
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
from trove_tools.verify import cgroups
from trove_tools.verify import outcome

_PREFIX = "trove-verify-"


@contextlib.contextmanager
def open_workspace(
    found: outcome.Report, image: pathlib.Path
) -> collections.abc.Iterator[pathlib.Path]:
    """Give a verify a directory to work in, and keep its logs if it fails.

    A :class:`report.CheckError` ends it: that stands in the report.
    """
    parent = pathlib.Path(tempfile.gettempdir())
    place, lock = cleanup.new_directory(parent, _PREFIX)
    try:
        with _keeping_logs(found, image, place):
            yield place
    finally:
        shutil.rmtree(place)
        os.close(lock)


@contextlib.contextmanager
def _keeping_logs(
    found: outcome.Report, image: pathlib.Path, place: pathlib.Path
) -> collections.abc.Iterator[None]:
    try:
        yield
    except outcome.CheckError:
        pass
    except errors.VerifyError as exc:
        kept = keep_logs(place, image)
        if kept is not None:
            where = f"all logs are in {kept}"
            exc.hint = f"{exc.hint}; {where}" if exc.hint else where
        raise
    if found.ok:
        remove_logs(image)
    else:
        kept = keep_logs(place, image)
        found.logs = str(kept) if kept else None


def remove_abandoned(warn: cleanup.Warn) -> list[pathlib.Path]:
    """Remove the leftovers of this user's killed verifications.

    :param warn: takes what cannot be removed, and why.
    :returns: what was removed.
    """
    removed = []
    for place in pathlib.Path(tempfile.gettempdir()).glob(f"{_PREFIX}*"):
        if place.is_symlink() or place.lstat().st_uid != os.geteuid():
            continue
        with contextlib.suppress(FileNotFoundError):
            if cleanup.take_down(place, _remove, warn):
                removed.append(place)
    return [*removed, *cgroups.remove_left()]


def _remove(place: pathlib.Path) -> list[str]:
    shutil.rmtree(place)
    return []


def logs_directory(image: pathlib.Path) -> pathlib.Path:
    """Return where the logs of an image belong."""
    beside, in_state = _log_places(image)
    if trust.is_own(beside.parent) and os.access(beside.parent, os.W_OK):
        return beside
    return in_state


def _log_places(image: pathlib.Path) -> tuple[pathlib.Path, pathlib.Path]:
    sidecar = manifest.sidecar(image.absolute())
    return sidecar / "verify", paths.user_state() / "verify" / sidecar.stem


def keep_logs(work: pathlib.Path, image: pathlib.Path) -> pathlib.Path | None:
    """Keep all logs that a verify has written.

    :param work: the directory it worked in; logs are called ``*.log``.
    :returns: where they are now; nothing if there are none.
    :raises OSError: they cannot be written.
    """
    found = [
        log
        for log in sorted(work.rglob("*.log"))
        if log.is_file() and log.stat().st_size
    ]
    if not found:
        return None
    kept = logs_directory(image)
    kept.parent.mkdir(parents=True, exist_ok=True)
    # others may read the image, but not what a guest said of itself
    made = pathlib.Path(
        tempfile.mkdtemp(prefix=f".{kept.name}-", dir=kept.parent)
    )
    for log in found:
        copy = made / log.relative_to(work)
        copy.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(log, copy)
    # another verify of the image may do the same now: one of both stays
    shutil.rmtree(kept, ignore_errors=True)
    try:
        made.rename(kept)
    except OSError:
        shutil.rmtree(made)
    return kept


def remove_logs(image: pathlib.Path) -> None:
    """Remove the logs of an earlier failure."""
    for place in _log_places(image):
        # another user can have made a link in the place of the directory
        if trust.is_own(place.parent):
            with contextlib.suppress(OSError):
                shutil.rmtree(place)
