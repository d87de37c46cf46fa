# SPDX-License-Identifier: Apache-2.0
"""Where diskimage-builder's elements are: ours and the user's."""

import collections.abc
import hashlib
import pathlib

from trove_tools import errors

#: Inside the package, so that a wheel and an editable install both have it.
DIRECTORY = pathlib.Path(__file__).parent.parent / "elements"


def path(further: str | None = None) -> tuple[str, ...]:
    """Return the directories with elements, the strongest first.

    :param further: directories of the user's, with ``:`` between them.
    :raises UsageError: one of them does not exist.
    """
    named = [part for part in (further or "").split(":") if part]
    for directory in named:
        if not pathlib.Path(directory).is_dir():
            raise errors.UsageError(
                f"--elements-path: there is no directory {directory}",
                hint="correct --elements-path or ELEMENTS_PATH",
            )
    resolved = [str(pathlib.Path(part).resolve()) for part in named]
    return (*resolved, str(DIRECTORY))


def digest(
    directories: collections.abc.Iterable[str | pathlib.Path],
) -> str:
    """Return a digest of all files below some directories.

    It changes with a file's path below its directory, its content, and
    whether it can be executed: all that a build could notice.
    """
    total = hashlib.sha256()
    for directory in map(pathlib.Path, directories):
        for file in sorted(directory.rglob("*")):
            if not file.is_file() or "__pycache__" in file.parts:
                continue
            run = "x" if file.stat().st_mode & 0o100 else "-"
            name = file.relative_to(directory)
            content = hashlib.sha256(file.read_bytes()).hexdigest()
            total.update(f"{name} {run} {content}\n".encode())
    return total.hexdigest()
