# SPDX-License-Identifier: Apache-2.0
"""Finds the image of an earlier build that has the name of a plan's image."""

import pathlib

from trove_tools import errors
from trove_tools.artifact import manifest
from trove_tools.artifact import sbom
from trove_tools.artifact import signature
from trove_tools.host import trust
from trove_tools.plan import plan as _plan


def find_current(
    plan: _plan.Plan,
    output: pathlib.Path,
    trusted: signature.TrustedKeys | None = None,
    patched: bool = False,
) -> manifest.Manifest | None:
    """Return the manifest of the existing image if it is up to date.

    :param trusted: an image that is not signed with one of these keys is not
        up to date; None accepts any image.
    :param patched: accept an image whose agent was replaced.
    :returns: None if there is no image, or if it was built from another plan.
    """
    found = read_manifest(plan, output, trusted)
    if found is None or found.plan_digest != plan.digest():
        return None
    if found.patched and not patched:
        return None
    return found if is_intact(found, output / plan.file) else None


def read_manifest(
    plan: _plan.Plan,
    output: pathlib.Path,
    trusted: signature.TrustedKeys | None,
) -> manifest.Manifest | None:
    """Return the manifest of the existing image, if it can be read.

    :param trusted: as for :func:`find_current`.
    """
    try:
        return manifest.read(output / plan.file, trusted)
    except (errors.ImageError, OSError):
        # other steps report errors such as a path that is too long
        return None


def is_intact(found: manifest.Manifest, image: pathlib.Path) -> bool:
    """Return whether an image is the one that its manifest describes.

    :returns: false also if another user may have written one of them.
    """
    record = manifest.path(image)
    if not all(map(trust.is_own, (image, record.parent, record))):
        return False
    # the image file may have changed since its manifest was written
    return sbom.is_manifest_of(found, image)
