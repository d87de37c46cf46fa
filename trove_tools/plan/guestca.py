# SPDX-License-Identifier: Apache-2.0
"""The authorities of ``--guest-ca``, which guests are to trust."""

import collections.abc
import dataclasses
import pathlib

from trove_tools import errors
from trove_tools.sources.network import authorities

#: Tells the element the files with their certificates, with : between them.
VARIABLE = "DIB_TROVE_GUEST_CA"


@dataclasses.dataclass(frozen=True)
class GuestCA:
    """Authorities, and the files with their certificates."""

    files: tuple[str, ...] = ()
    trusted: tuple[authorities.Authority, ...] = ()

    def environment(self) -> dict[str, str]:
        """Return the variable that tells the element."""
        return {VARIABLE: ":".join(self.files)} if self.files else {}

    def places(self) -> dict[str, str]:
        """Return what decides, in place of where the files lie."""
        if not self.files:
            return {}
        return {VARIABLE: join_fingerprints(self)}

    def as_dicts(self) -> tuple[dict[str, str], ...]:
        """Return the authorities for a plan and a manifest."""
        return tuple(
            {
                "subject": each.subject,
                "sha256": each.sha256,
                "expires": each.expires,
            }
            for each in self.trusted
        )


def join_fingerprints(known: GuestCA) -> str:
    """Return the fingerprints of authorities, as one text."""
    return ":".join(each.sha256 for each in known.trusted)


def read(files: collections.abc.Iterable[pathlib.Path]) -> GuestCA:
    """Return the authorities in some files.

    :raises UsageError: a file holds none, or something else.
    """
    found: list[authorities.Authority] = []
    paths = []
    for file in files:
        path = str(file.resolve())
        if ":" in path:
            raise errors.UsageError(
                f"--guest-ca {file}: there is a colon in the path {path}",
                hint="give a copy of the file whose path has none",
            )
        found += authorities.read(file, "--guest-ca")
        paths.append(path)
    return GuestCA(tuple(paths), tuple(found))
