# SPDX-License-Identifier: Apache-2.0
"""Says in a word what each file of a root's configuration is."""

import hashlib
import os
import pathlib
import stat

from trove_tools.inspection import reading

_PLACE = "etc"
# links to the certificates of a package: they change with it
_DERIVED = {"etc/ssl/certs", "etc/ld.so.cache"}
_DIGITS = 16


def read(root: pathlib.Path) -> dict[str, str]:
    """Return what each file in ``/etc`` is, by its path.

    :returns: mode, owner and the beginning of the content's sha256, such as
        ``0644 0:0 sha256:0123456789abcdef``; ``-> TARGET`` for a link.
    """
    found = {}
    for place, below, files in os.walk(root / _PLACE):
        links = {
            each for each in below
            if os.path.islink(os.path.join(place, each))
        }  # fmt: skip
        for name in (*files, *links):
            file = pathlib.Path(place, name)
            path = str(file.relative_to(root))
            if path not in _DERIVED:
                found[f"/{path}"] = _word(file)
        below[:] = [
            each for each in below
            if str(pathlib.Path(place, each).relative_to(root))
            not in _DERIVED
        ]  # fmt: skip
    return dict(sorted(found.items()))


def _word(file: pathlib.Path) -> str:
    status = file.lstat()
    if stat.S_ISLNK(status.st_mode):
        return f"-> {os.readlink(file)}"
    who = f"{stat.S_IMODE(status.st_mode):04o} {status.st_uid}:{status.st_gid}"
    content = reading.content(file, 16 * 1024 * 1024)
    if content is None:
        return f"{who} {status.st_size} bytes"
    return f"{who} sha256:{hashlib.sha256(content).hexdigest()[:_DIGITS]}"
