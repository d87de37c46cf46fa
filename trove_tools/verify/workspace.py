# SPDX-License-Identifier: Apache-2.0
"""The directory that one verify works in, and what a killed one leaves.

A verify that is killed leaves its files and, of a container, empty control
groups; the kernel takes all else.
"""

import collections.abc
import contextlib
import os
import pathlib
import shutil
import tempfile

from trove_tools import errors
from trove_tools.host import cleanup
from trove_tools.verify import cgroups
from trove_tools.verify import logs
from trove_tools.verify import outcome

_PREFIX = "trove-verify-"


@contextlib.contextmanager
def opened(
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
        kept = logs.keep(place, image)
        if kept is not None:
            where = f"all logs are in {kept}"
            exc.hint = f"{exc.hint}; {where}" if exc.hint else where
        raise
    if found.ok:
        logs.forget(image)
    else:
        kept = logs.keep(place, image)
        found.logs = str(kept) if kept else None


def abandoned(warn: cleanup.Warn) -> list[pathlib.Path]:
    """Remove what killed verifies of this user have left.

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
