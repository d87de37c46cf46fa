# SPDX-License-Identifier: Apache-2.0
"""Reads files of a foreign root without being led out of it.

Only regular files are read, only up to a size, and no link is followed that
leads out of the root: absolute ones would lead into the host's own files.
"""

import pathlib
import stat

#: No key, and hardly any file of configuration, is larger.
SMALL = 256 * 1024


def content(file: pathlib.Path, largest: int = SMALL) -> bytes | None:
    """Return a regular file's content; nothing for anything else.

    :param largest: bytes; a larger file counts as anything else.
    """
    try:
        status = file.lstat()
        if not stat.S_ISREG(status.st_mode) or status.st_size > largest:
            return None
        return file.read_bytes()
    except OSError:
        return None


def text(
    root: pathlib.Path, name: str | pathlib.Path, largest: int = SMALL
) -> str:
    """Return what is in a file of the root; nothing where there is none.

    :param name: its path in the root, without a leading slash.
    :param largest: bytes; as with :func:`content`.
    """
    file = inside(root, name)
    if file is None:
        return ""
    return (content(file, largest) or b"").decode(errors="replace")


def inside(
    root: pathlib.Path, name: str | pathlib.Path
) -> pathlib.Path | None:
    """Return where a file of the root is; nothing if a link leads out."""
    file = root / name
    if not file.parent.resolve().is_relative_to(root.resolve()):
        return None
    return file
