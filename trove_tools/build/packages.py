# SPDX-License-Identifier: Apache-2.0
"""Reads the list of installed packages from diskimage-builder.

Its element ``manifests`` writes the output of the guest's package manager to a
file beside the image.
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
    """Return a server's installed version after checking it.

    The mirror decides which version is installed; without this check, only the
    users of a cloud would notice that an image called 11.8 contains 11.4.

    :param packages: the versions of installed packages, by package.
    :param package: the package of the server.
    :param version: the version in the catalog, such as ``11.8``.
    :param mirror: the source of the package, for the error.
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
        hint=(
             "build the version that it has, or name another mirror with"
             " --mirror"
             ),
    )
