# SPDX-License-Identifier: Apache-2.0
"""Reads files from a URL or from a path on this host."""

import collections.abc
import hashlib
import pathlib
import urllib.error

from trove_tools import errors
from trove_tools.host import causes
from trove_tools.host import files
from trove_tools.host import paths
from trove_tools.sources.network import session

_TIMEOUT = 60.0
_BLOCK = 1 << 20
_NOT_FOUND = 404


class AbsentError(errors.BuildError):
    """The file does not exist at its URL or path."""


def read(
    location: str,
    what: str,
    *,
    packages: bool = False,
    timeout: float = _TIMEOUT,
) -> bytes:
    """Return the content of a small file.

    :param location: a URL, or a path.
    :param what: a name of the file, for the error.
    :param packages: the file is in a package repository.
    :param timeout: seconds to wait for each answer of the server.
    :raises AbsentError: there is no such file.
    :raises BuildError: the file cannot be read.
    """
    return b"".join(_blocks(location, what, packages, timeout))


def save(
    location: str, file: pathlib.Path, what: str, *, packages: bool = False
) -> str:
    """Copy a file from a URL or a path atomically.

    :param location: a URL, or a path.
    :param file: the copy.
    :param what: a name of the file, for the error.
    :param packages: the file is in a package repository.
    :returns: the sha256 of the content.
    :raises AbsentError: there is no such file.
    :raises BuildError: the file cannot be read.
    """
    total = hashlib.sha256()
    with files.replace_file(file) as stream:
        for block in _blocks(location, what, packages):
            total.update(block)
            stream.write(block)
    return total.hexdigest()


def _blocks(
    location: str, what: str, packages: bool, timeout: float = _TIMEOUT
) -> collections.abc.Iterator[bytes]:
    try:
        if not paths.is_url(location):
            with open(location, "rb") as stream:
                while block := stream.read(_BLOCK):
                    yield block
            return
        with session.open_url(
            location, timeout, packages=packages
        ) as answer:
            while block := answer.read(_BLOCK):
                yield block
    except (urllib.error.HTTPError, FileNotFoundError) as exc:
        if getattr(exc, "code", _NOT_FOUND) == _NOT_FOUND:
            raise AbsentError(f"{what}: there is no {location}") from exc
        raise errors.BuildError(
            f"{what}: {location} cannot be had: {exc}",
            hint=causes.find_remedy(str(exc), mirror=False),
        ) from exc
    except (OSError, ValueError) as exc:
        reason = getattr(exc, "reason", exc)
        raise errors.BuildError(
            f"{what}: {location} cannot be reached: {reason}",
            hint=causes.find_remedy(str(reason), mirror=False)
            or "check the network and the address; --mirror and"
            " --security-mirror name other mirrors of the guest system,"
            " --repository DATASTORE=URL one of a vendor, and"
            " --repository-key DATASTORE=FILE the vendor's key",
        ) from exc
