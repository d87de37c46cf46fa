# SPDX-License-Identifier: Apache-2.0
"""The logs of a failed verify, in one place for each image.

That is ``NAME.d/verify`` beside the image.  Where nobody may write there, or
the image has no ``NAME.d``, it is ``verify/NAME`` in the user's directory
for state (``~/.local/state/trove-tools``).  A failure replaces the logs of
the one before; a success removes them.
"""

import contextlib
import os
import pathlib
import shutil
import tempfile

from trove_tools.artifact import manifest
from trove_tools.host import paths
from trove_tools.host import trust


def directory(image: pathlib.Path) -> pathlib.Path:
    """Return where the logs of an image belong."""
    beside, in_state = _places(image)
    if trust.is_own(beside.parent) and os.access(beside.parent, os.W_OK):
        return beside
    return in_state


def _places(image: pathlib.Path) -> tuple[pathlib.Path, pathlib.Path]:
    sidecar = manifest.sidecar(image.absolute())
    return sidecar / "verify", paths.user_state() / "verify" / sidecar.stem


def keep(work: pathlib.Path, image: pathlib.Path) -> pathlib.Path | None:
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
    kept = directory(image)
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


def forget(image: pathlib.Path) -> None:
    """Remove the logs of an earlier failure."""
    for place in _places(image):
        # another user can have made a link in the place of the directory
        if trust.is_own(place.parent):
            with contextlib.suppress(OSError):
                shutil.rmtree(place)
