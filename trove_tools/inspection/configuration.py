# SPDX-License-Identifier: Apache-2.0
"""Says in a word what each file of a root's configuration is."""

import os
import pathlib

from trove_tools.inspection import files

_PLACE = "etc"
# made of the packages' own, and changing with them
_DERIVED = {"/etc/ssl/certs", "/etc/ld.so.cache"}
_DIGITS = 16


def read(root: pathlib.Path) -> dict[str, str]:
    """Return what each file in ``/etc`` is, by its path.

    :returns: as :func:`trove_tools.inspection.files.word` says it, with the
        beginning of the digest.
    """
    found = {}
    for place, below, names in os.walk(root / _PLACE):
        links = [
            each for each in below if os.path.islink(os.path.join(place, each))
        ]
        for name in (*names, *links):
            file = pathlib.Path(place, name)
            path = f"/{file.relative_to(root)}"
            if path not in _DERIVED:
                found[path] = files.word(file, _DIGITS)
        below[:] = [
            each for each in below
            if f"/{pathlib.Path(place, each).relative_to(root)}"
            not in _DERIVED
        ]  # fmt: skip
    return dict(sorted(found.items()))
