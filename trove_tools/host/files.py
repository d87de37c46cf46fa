# SPDX-License-Identifier: Apache-2.0
"""Files that are written wholly or not at all."""

import collections.abc
import contextlib
import os
import pathlib
import secrets
import typing

#: What a new file may be used for, less what the umask takes away.
_USUAL = 0o666


def write_text(path: pathlib.Path, text: str, mode: int = _USUAL) -> None:
    """Write a file; whoever reads it sees the old text or the new one.

    :param mode: of the file, as open(2) takes it.
    :raises OSError: it cannot be written; the old file is as it was.
    """
    with replaced(path, mode) as stream:
        stream.write(text.encode())


@contextlib.contextmanager
def replaced(
    path: pathlib.Path, mode: int = _USUAL
) -> collections.abc.Iterator[typing.BinaryIO]:
    """Open a file whose content takes the place of another one at the end.

    Nothing changes if the block ends with an exception.

    :param mode: of the file, as open(2) takes it.
    :raises OSError: it cannot be written.
    """
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC
    descriptor = os.open(temporary, flags, mode)
    try:
        with open(descriptor, "wb") as stream:
            yield stream
        temporary.replace(path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
