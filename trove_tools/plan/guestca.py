# SPDX-License-Identifier: Apache-2.0
"""The certificate authorities of ``--guest-ca``, which guests trust."""

import collections.abc
import dataclasses
import pathlib

from trove_tools import errors
from trove_tools.sources.network import authorities

#: The element's variable with the files of certificates, separated by colons.
VARIABLE = "DIB_TROVE_GUEST_CA"


@dataclasses.dataclass(frozen=True)
class GuestCA:
    """Certificate authorities, and the files with their certificates."""

    files: tuple[str, ...] = ()
    trusted: tuple[authorities.Authority, ...] = ()

    def environment(self) -> dict[str, str]:
        """Return the environment of the element trove-guest-ca."""
        return {VARIABLE: ":".join(self.files)} if self.files else {}

    def places(self) -> dict[str, str]:
        """Return the fingerprints, which replace the paths in a digest."""
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
    """Return the fingerprints of authorities, separated by colons."""
    return ":".join(each.sha256 for each in known.trusted)


def read(files: collections.abc.Iterable[pathlib.Path]) -> GuestCA:
    """Return the certificate authorities in some files.

    :raises UsageError: a file contains no certificate of an authority.
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
