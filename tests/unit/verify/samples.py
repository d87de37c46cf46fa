# SPDX-License-Identifier: Apache-2.0
"""Things that several tests need."""

from trove_tools.artifact import manifest as manifests
from trove_tools.catalog import model

HEALTH = model.Health(
    protocol="mysql",
    port=3306,
    query="SELECT VERSION()",
    expect="MariaDB",
    setup=("make {user} {password}",),
)


def manifest(size: int = 1, sha256: str = "") -> manifests.Manifest:
    """Return the manifest of an image."""
    return manifests.Manifest(
        build_id="b1",
        created="2026-01-01T00:00:00Z",
        image=manifests.File("x", "qcow2", size, sha256=sha256),
        guest={},
        series={},
        agent={},
        datastores=(),
    )
