# SPDX-License-Identifier: Apache-2.0
"""The lock file: the digests of container images by reference."""

import collections.abc
import json
import pathlib

from trove_tools import errors
from trove_tools.host import bounds
from trove_tools.host import files
from trove_tools.host import paths

VERSION = 1


def read(file: pathlib.Path) -> dict[str, str]:
    """Return the digests of a lock file, by reference.

    :raises UsageError: the file cannot be read, or is no lock file.
    """
    paths.require_file(file, "--locked", "write one with --lock")
    try:
        data = bounds.read_json(file)
        if data["lock_version"] != VERSION:
            raise ValueError(f"lock_version {data['lock_version']}")
        containers = dict(data["containers"])
        if not bounds.is_list_of(list(containers.values()), str):
            raise ValueError("a digest is not a text")
        return containers
    except (OSError, ValueError, KeyError, TypeError) as exc:
        raise errors.UsageError(
            f"--locked {file}: this is no lock file: {exc}",
            hint="write one with --lock",
        ) from exc


def write(
    file: pathlib.Path, found: collections.abc.Mapping[str, str]
) -> None:
    """Add digests to a lock file; create it if it does not exist.

    :param found: the digests by reference.
    :raises UsageError: the file cannot be written.
    """
    known = read(file) if file.exists() else {}
    data = {
        "lock_version": VERSION,
        "containers": dict(sorted({**known, **found}.items())),
    }
    try:
        files.write_file(file, json.dumps(data, indent=2) + "\n")
    except OSError as exc:
        raise errors.UsageError(
            f"--lock {file} cannot be written: {exc.strerror}"
        ) from exc
