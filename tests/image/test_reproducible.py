# SPDX-License-Identifier: Apache-2.0
"""What is built twice is the same, but for a list of files with reasons.

No image is built for this: two that other tests need have much in common.
The agent's environment, its code, the boot loader and the initial RAM disk
were made separately for each; so was all that both have installed above the
base system.  What is in both under one name is to be the same, but for what
the documentation lists, and for what their plans differ in.
"""

import re

from tests.image import base
from trove_tools.inspection import diff

#: What an image with other packages must have otherwise.
OF_OTHER_PACKAGES = (
    # who and what is installed
    r"/etc/(passwd|group|shadow|gshadow|subuid|subgid)-?",
    r"/var/lib/dpkg/(status|diversions|statoverride|triggers/.*)",
    r"/var/lib/apt/extended_states",
    r"/var/cache/debconf/(config|templates)\.dat",
    r"/etc/dib-manifests/.*",
    r"/etc/ld\.so\.cache",
    r"/var/lib/systemd/catalog/database",
)


class ReproducibleTest(base.TestCase):
    def test_what_two_images_have_in_common_is_the_same(self) -> None:
        done = base.builder(
            "diff", "--files", self.image(), self.container_image(),
            "--format", "json",
        )  # fmt: skip
        self.assertEqual(0, done.status, done.stderr)
        found = [
            diff.Difference(**each) for each in done.json()["differences"]
        ]
        common = [each for each in found if each.change == "changed"]
        unexpected = [
            f"{each.name}: {each.old} {each.new}"
            for each in common
            if not each.where
            and not any(
                re.fullmatch(pattern, each.name)
                for pattern in OF_OTHER_PACKAGES
            )
        ]
        self.assertEqual([], unexpected)
