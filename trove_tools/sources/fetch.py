# SPDX-License-Identifier: Apache-2.0
"""Gets files from where they are, over HTTP or on this host."""

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
    """The server is there, and says that the file is not."""


def read(
    location: str,
    what: str,
    *,
    packages: bool = False,
    timeout: float = _TIMEOUT,
) -> bytes:
    """Return the content of a small file.

    :param location: a URL, or a path.
    :param what: what it is, for the error.
    :param packages: it lies in a package repository.
    :param timeout: seconds that the server gets for each of its answers.
    :raises AbsentError: there is no such file.
    :raises BuildError: it cannot be had.
    """
    return b"".join(_blocks(location, what, packages, timeout))


def save(
    location: str, file: pathlib.Path, what: str, *, packages: bool = False
) -> str:
    """Write the content of a file to another, complete or not at all.

    :param location: a URL, or a path.
    :param packages: it lies in a package repository.
    :returns: its sha256.
    :raises AbsentError: there is no such file.
    :raises BuildError: it cannot be had.
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
            hint=causes.find_remedy(str(exc)),
        ) from exc
    except (OSError, ValueError) as exc:
        reason = getattr(exc, "reason", exc)
        raise errors.BuildError(
            f"{what}: {location} cannot be reached: {reason}",
            hint=causes.find_remedy(str(reason))
            or "check the network and the address; a mirror takes its"
            " place with --repository DATASTORE=URL, a key with"
            " --repository-key DATASTORE=FILE",
        ) from exc
