# SPDX-License-Identifier: Apache-2.0
"""Which packages an image gets, by diskimage-builder's own resolvers."""

import json
import os
import pathlib
import re
import subprocess
import sys

import diskimage_builder

from trove_tools.catalog import model
from trove_tools.plan import elements

DIBS = pathlib.Path(diskimage_builder.__path__[0], "elements")
PATH = f"{elements.DIRECTORY}:{DIBS}"


def all_elements(catalog: model.Catalog, guest: model.Guest) -> set[str]:
    """Return our elements that images of a guest system have."""
    wanted = {"trove-guest", "trove-guest-agent"}
    for datastore in catalog.datastores.values():
        for name, runtime in datastore.runtimes.items():
            if datastore.version_for(name, guest.name, unsupported=True):
                wanted.update(runtime.elements)
    found: set[str] = set()
    queue = sorted(wanted)
    while queue:
        name = queue.pop()
        directory = elements.DIRECTORY / name
        # those of diskimage-builder itself are not ours to test
        if name in found or not directory.is_dir():
            continue
        found.add(name)
        needed = directory / "element-deps"
        if needed.exists():
            queue.extend(needed.read_text().split())
    return found


def packages(
    names: set[str], guest: model.Guest, scratch: pathlib.Path
) -> dict[str, tuple[set[str], set[str]]]:
    """Return what elements ask for, and what the guest system calls it.

    :param names: the elements.
    :returns: both sets of packages, by element.
    """
    file = scratch / "package-installs.json"
    _run(
        DIBS / "package-installs/bin/package-installs-squash",
        f"--elements={' '.join(sorted(names))}", f"--path={PATH}", file,
        **_conditions(names),
    )  # fmt: skip
    asked: dict[str, set[str]] = {}
    for phase in json.loads(file.read_text()).values():
        for name, element in phase.get("install", ()):
            asked.setdefault(element, set()).add(name)
    return {
        element: (wanted, _mapped(element, wanted, guest))
        for element, wanted in asked.items()
    }


def _conditions(names: set[str]) -> dict[str, str]:
    """Return variables with which all is installed that may be."""
    return {
        variable: value
        for name in names
        for file in [elements.DIRECTORY / name / "package-installs.yaml"]
        if file.exists()
        for variable, value in re.findall(
            r"when: *(\w+) *= *(\S+)", file.read_text()
        )
    }


def _mapped(element: str, names: set[str], guest: model.Guest) -> set[str]:
    table = elements.DIRECTORY / element / "pkg-map"
    if not table.exists():
        return names
    # a name that the map does not have stays as it is
    found = _run(
        DIBS / "pkg-map/bin/pkg-map", "--pkg-map", table,
        "--distro", guest.distribution, "--release", guest.release,
        "--missing-ok", *names,
    )  # fmt: skip
    return set(found.split())


def _run(*words: str | os.PathLike[str], **variables: str) -> str:
    done = subprocess.run(
        [sys.executable, *words],
        env={**os.environ, "ARCH": "amd64", "DIB_PYTHON_VERSION": "3",
             **variables},
        capture_output=True, text=True,
    )  # fmt: skip
    if done.returncode != 0:
        raise AssertionError(done.stdout + done.stderr)
    return done.stdout
