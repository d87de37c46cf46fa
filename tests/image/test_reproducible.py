# SPDX-License-Identifier: Apache-2.0
"""What is built twice is the same, and nothing is newer than it may be.

Twice is the last layer, with all that makes a disk of it; those below come
from the cache both times.
"""

import os
import typing

from tests.image import base
from trove_tools.host import requirements
from trove_tools.inspection import diff
from trove_tools.inspection import inspect
from trove_tools.inspection import rootfile

_TIME_ONLY = True


class ReproducibleTest(base.TestCase):
    def setUp(self) -> None:
        super().setUp()
        if not requirements.may_be_root():
            self.skipTest("reading a root needs root, or passwordless sudo")

    def test_one_plan_twice(self) -> None:
        if base.CONTAINER_VARIABLE in os.environ:
            self.skipTest("who knows how the image that was named was built")
        one, other = (
            inspect.read_files(image)
            for image in (self.container_image(), self.container_image_again())
        )
        self.assertGreater(len(one), 10000)
        found = diff.compare_files(one, other)
        self.none([each for each in found if not each.where])
        # the boot loader's at least, or nothing was built anew
        self.assertTrue(found)
        self.none(self.newer(one) + self.newer(other))

    def none(self, found: list[typing.Any]) -> None:
        # thousands are more than a report of a test's failure can hold
        self.assertEqual([], found[:20], f"{len(found)} in all")

    def newer(self, found: dict[str, rootfile.FileState]) -> list[str]:
        """Return what is newer than it may be, and not known to be."""
        return [
            f"{path}: {each.time}"
            for path, each in found.items()
            if each.time > int(base.EPOCH)
            and not diff.explain_file(path, _TIME_ONLY)
        ]
