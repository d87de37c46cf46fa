# SPDX-License-Identifier: Apache-2.0
"""The parts that all manifests of the OCI image specification have."""

import hashlib
import typing

#: The annotations for a name, and for the time of the creation.
TITLE = "org.opencontainers.image.title"
CREATED = "org.opencontainers.image.created"

#: The errors that JSON of an unexpected structure causes.
UNEXPECTED = (AttributeError, LookupError, TypeError, ValueError)


def compute_digest(content: bytes) -> str:
    """Return the digest of a content, with the algorithm's name."""
    return f"sha256:{hashlib.sha256(content).hexdigest()}"


def describe(kind: str, content: bytes) -> dict[str, typing.Any]:
    """Return the descriptor of a content.

    :param kind: its media type.
    """
    return {
        "mediaType": kind,
        "digest": compute_digest(content),
        "size": len(content),
    }
