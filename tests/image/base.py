# SPDX-License-Identifier: Apache-2.0
"""The base of the tests that look at a real image.

They share one image, which the real command builds.  Whoever runs them may
have built it and names it in ``TROVE_TOOLS_TEST_IMAGE``.  Otherwise the
first test that needs it builds it; a later one, also in another process,
finds it there, because building the same again does nothing.
"""

import functools
import os
import pathlib
import tempfile

import fasteners

from tests import base
from tests.functional import base as functional
from tests.standins import vendors
from trove_tools.catalog import gate
from trove_tools.catalog import loader

VARIABLE = "TROVE_TOOLS_TEST_IMAGE"
CONTAINER_VARIABLE = "TROVE_TOOLS_TEST_CONTAINER_IMAGE"
OUTPUT = "TROVE_TOOLS_TEST_OUTPUT"

#: What no file in the images is newer than.
EPOCH = "1785542400"

_BUILD_TIMEOUT = 2400.0


def output() -> pathlib.Path:
    """Return the directory that all tests of a run share."""
    place = os.environ.get(OUTPUT)
    if place is None:
        # this user's, and the same one for each process of a run
        shared = f"trove-tools-images-{os.getuid()}"
        place = os.path.join(tempfile.gettempdir(), shared)
    return pathlib.Path(place)


def builder(
    *args: str | os.PathLike[str], timeout: float = 1800.0
) -> functional.Outcome:
    """Run trove-image-builder as a process of its own."""
    return functional.run("trove-image-builder", *args, timeout=timeout)


def natives() -> list[str]:
    """Return what to build: all native datastores of the gate in one."""
    catalog = loader.load()
    system = gate.system(catalog)
    return [
        *gate.natives(catalog, system).values(),
        "--guest", system, "--runtime", "native", "--together",
    ]  # fmt: skip


@functools.cache
def _built(variable: str, *words: str) -> tuple[pathlib.Path | None, str]:
    """Return an image, or what went wrong; tried once a process.

    :param variable: may name one that was built already.
    :param words: what to build.
    """
    named = os.environ.get(variable)
    if named:
        return pathlib.Path(named), ""
    images = output() / "images"
    images.mkdir(parents=True, exist_ok=True)
    catalog = loader.load()
    with (
        fasteners.InterProcessLock(images / ".lock"),
        tempfile.TemporaryDirectory() as scratch,
        vendors.Vendors(
            pathlib.Path(scratch),
            catalog,
            [word for word in words if word in catalog.datastores],
            home=output() / "vendors",
        ) as standins,
    ):
        more = standins.options() if "native" in words else []
        built = builder(
            "build", *words, *more, "--output-dir", images,
            "--format", "json", "--cache-dir", output() / "cache",
            "--source-date-epoch", EPOCH, timeout=_BUILD_TIMEOUT,
        )  # fmt: skip
    if built.status != 0:
        return None, built.stderr
    return pathlib.Path(built.json()["image"]), ""


class TestCase(base.TestCase):
    """A test with real images."""

    # builds and boots have limits of their own
    timeout = None

    def image(self) -> pathlib.Path:
        """Return the image; it is everybody's, so look, do not touch.

        It has MariaDB, and what else the gate is to boot: one datastore of
        each kind.  Stand-ins take the place of their vendors.
        """
        return self._built(VARIABLE, *natives())

    def container_image(self) -> pathlib.Path:
        """Return one whose datastores Trove's agent runs; as above."""
        return self._built(
            CONTAINER_VARIABLE, "mariadb", "postgresql", "--together"
        )

    def _built(self, variable: str, *words: str) -> pathlib.Path:
        image, problem = _built(variable, *words)
        if image is None:
            self.fail(f"the image cannot be built:\n{problem}")
        return image
