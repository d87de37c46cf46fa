# SPDX-License-Identifier: Apache-2.0
"""Reads the description of an image from the files beside it.

The files may be wrong or forged; :mod:`trove_tools.inspection` inspects the
image itself.
"""

import pathlib

from trove_tools import errors
from trove_tools.artifact import manifest
from trove_tools.artifact import sbom
from trove_tools.host import digests
from trove_tools.inspection import contents


def read(image: pathlib.Path) -> contents.Contents | None:
    """Return the image's description from its manifest and bill of materials.

    :returns: None unless both files exist and their digests match this image.
    :raises ImageError: one of them is broken.
    """
    made = manifest.read(image)
    if made is None or not is_of(made, image):
        return None
    return told(image, made)


def told(
    image: pathlib.Path, made: manifest.Manifest
) -> contents.Contents | None:
    """Return the description in the files beside an image, without checking
    the image's digest.

    :returns: None unless both files exist.
    :raises ImageError: the bill of materials is damaged, or its digest is not
        the one in the manifest.
    """
    bill = sbom.path(image)
    if made.contents is None or not bill.exists():
        return None
    if made.sbom is not None and made.sbom["sha256"] != digests.sha256(bill):
        raise errors.ImageError(
            f"{bill} is not the bill of materials that the manifest names: it"
            " was changed after the build",
            hint="copy the image and its .d directory again, or build it"
            " again",
        )
    packages, agent, containers = sbom.read(image)
    return contents.Contents(
        system=made.contents["system"],
        packages=packages,
        python=agent,
        containers=containers,
        directories=made.contents["directories"],
        configuration=made.contents["configuration"],
    )


def is_of(made: manifest.Manifest, image: pathlib.Path) -> bool:
    """Return whether a manifest describes an image file, by its digest."""
    return digests.is_same(image, made.image.get("sha256", ""))
