# SPDX-License-Identifier: Apache-2.0
"""Remembers which catalog files have been found to be valid.

Checking against a schema takes longer than all the rest of ``list``.  A file
that was valid stays so as long as neither it nor the schemas change, so
their digest is noted in the user's cache, and only there: a cache that
cannot be written, or is lost, costs time and nothing else.
"""

import contextlib
import hashlib
import pathlib

from trove_tools.host import paths
from trove_tools.host import trust


class Approved:
    """The digests of files that are known to be valid.

    :param schemas: the content of the schemas; other schemas, other record.
    :param directory: the cache; the user's own when not given.
    """

    def __init__(
        self, schemas: bytes, directory: pathlib.Path | None = None
    ) -> None:
        self._schemas = schemas
        self._directory = directory or paths.user_cache() / "catalog"

    def has(self, kind: str, content: bytes) -> bool:
        """Tell whether this content was valid before."""
        return trust.is_own(self._directory) and trust.is_own(
            self._file(kind, content)
        )

    def add(self, kind: str, content: bytes) -> None:
        """Note that this content is valid."""
        with contextlib.suppress(OSError):
            self._directory.mkdir(parents=True, exist_ok=True)
            if trust.is_own(self._directory):
                self._file(kind, content).touch()

    def _file(self, kind: str, content: bytes) -> pathlib.Path:
        total = hashlib.sha256(self._schemas)
        total.update(f"\0{kind}\0".encode())
        total.update(content)
        return self._directory / total.hexdigest()
