# SPDX-License-Identifier: Apache-2.0
"""What is built twice is the same, and nothing is newer than it may be.

No image is built for this.  The images that other tests need have the guest
agent in common, whose environment was made separately for each.
"""

import os

from tests.image import base
from trove_tools.image import host
from trove_tools.inspection import diff
from trove_tools.inspection import files
from trove_tools.inspection import inspect
from trove_tools.inspection import reproducible
from trove_tools.inspection import venv

_TIME_ONLY = True


class ReproducibleTest(base.TestCase):
    def setUp(self) -> None:
        super().setUp()
        if not host.may_be_root():
            self.skipTest("reading a root needs root, or passwordless sudo")

    def test_two_images(self) -> None:
        named = (base.VARIABLE, base.CONTAINER_VARIABLE)
        if any(name in os.environ for name in named):
            self.skipTest("who knows when the image that was named was built")
        one, other = (
            inspect.every_file(image)
            for image in (self.image(), self.container_image())
        )
        found = diff.every_file(self.agent(one), self.agent(other))
        self.assertEqual([], [each for each in found if not each.where])
        # a few of thousands
        self.assertLess(len(found), 50, found)
        self.assertEqual([], self.newer(one) + self.newer(other))

    def agent(self, found: dict[str, files.File]) -> dict[str, files.File]:
        """Return the agent's environment, of which there is some."""
        inside = f"/{venv.AGENT}/"
        of_agent = {
            path: each
            for path, each in found.items()
            if path.startswith(inside)
        }
        self.assertGreater(len(of_agent), 1000)
        return of_agent

    def newer(self, found: dict[str, files.File]) -> list[str]:
        """Return what is newer than it may be, and not known to be."""
        return [
            f"{path}: {each.time}"
            for path, each in found.items()
            if each.time > int(base.EPOCH)
            and not reproducible.reason(path, _TIME_ONLY)
        ]
