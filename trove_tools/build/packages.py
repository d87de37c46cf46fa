# SPDX-License-Identifier: Apache-2.0
"""Which packages an image really has, as diskimage-builder listed them.

Its element ``manifests`` has the guest's package manager list all that is
installed, in a file beside the image.
"""

import json
import pathlib

from trove_tools import errors
from trove_tools.build import workspace


def installed(sidecar: pathlib.Path) -> dict[str, str]:
    """Return the versions of the packages in an image, by package.

    :param sidecar: the directory beside the image.
    :raises BuildError: the build left no list.
    """
    file = sidecar / "dib-manifests" / f"dib-manifest-dpkg-{workspace.STEM}"
    try:
        listed = json.loads(file.read_text())["packages"]
        return {
            entry["package"].partition(":")[0]: entry["version"]
            for entry in listed
        }
    except (OSError, ValueError, KeyError, TypeError) as exc:
        raise errors.BuildError(
            f"the build left no list of its packages: {file.name}: {exc}"
        ) from exc


def of_version(
    packages: dict[str, str], package: str, version: str, mirror: str
) -> str:
    """Return a server's installed version, if it is the one asked for.

    What a mirror serves decides what is installed; an image that is called
    11.8 and holds 11.4 would be found out only by the users of a cloud.

    :param version: as the catalog names it, such as ``11.8``.
    :param mirror: where it came from, for the error.
    :raises BuildError: another version is installed, or none.
    """
    found = packages.get(package)
    if found is None:
        raise errors.BuildError(f"package {package} was not installed")
    # deb-version(7): [epoch:]upstream[-revision]
    upstream = found.rpartition(":")[2]
    if upstream == version or upstream.startswith((f"{version}.",
                                                   f"{version}-")):
        return found
    raise errors.BuildError(
        f"{mirror} has {package} {found}, not {version}",
        hint="ask for the version it has, or give --mirror with another",
    )
