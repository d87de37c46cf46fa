# SPDX-License-Identifier: Apache-2.0
"""Adds up how much is in the directories of a root."""

import os
import pathlib
import stat

#: A directory with less, bytes, is not worth telling.
LEAST = 512 * 1024
#: What is below has names that mean nothing, others in each build.
_NAMELESS = "/var/lib/docker/"


def directories(root: pathlib.Path, least: int = LEAST) -> dict[str, int]:
    """Return the bytes in each directory, with all below it.

    A file with several names counts once, where it is met first.

    :param least: bytes; directories with less are left out.
    :returns: by the path as the guest sees it; always with ``/``.
    """
    totals: dict[str, int] = {}
    met: set[tuple[int, int]] = set()
    top = os.fspath(root)
    # the deepest first, so that each finds what is below it added up
    for place, below, files in os.walk(top, topdown=False):
        total = 0
        for name in sorted(files):
            status = os.lstat(os.path.join(place, name))
            if stat.S_ISREG(status.st_mode) and status.st_nlink > 1:
                if (status.st_dev, status.st_ino) in met:
                    continue
                met.add((status.st_dev, status.st_ino))
            total += status.st_size
        total += sum(totals.get(os.path.join(place, name), 0)
                     for name in below)  # fmt: skip
        totals[place] = total
    found = {
        "/" + os.path.relpath(place, top) if place != top else "/": total
        for place, total in sorted(totals.items())
        if total >= least or place == top
    }
    return {
        path: total for path, total in found.items()
        if not path.startswith(_NAMELESS)
    }  # fmt: skip
