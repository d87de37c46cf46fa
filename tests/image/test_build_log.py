# SPDX-License-Identifier: Apache-2.0
"""What takes seconds is done once in a build."""

import collections
import pathlib

from tests.image import base
from trove_tools.artifact import manifest

#: What programs print when they do it.  Layers that came from the cache are
#: not in a log.
_ONCE = {
    "initramfs": "update-initramfs: Generating /boot/",
    "locale": "UTF-8... done",
    "certificates": "Updating certificates in /etc/ssl/certs...",
    "lists": " trixie/main amd64 Packages [",
}
# before each line of a guest; those of containers are without
_STAMP = " | "


class BuildLogTest(base.TestCase):
    def test_containers(self) -> None:
        found = self.count(self.container_image())
        self.assertLessEqual(found["initramfs"], 1, found)
        self.assertLessEqual(found["locale"], 1, found)
        self.assertLessEqual(found["certificates"], 1, found)
        self.assertLessEqual(found["lists"], 1, found)

    def test_natives(self) -> None:
        found = self.count(self.image())
        self.assertLessEqual(found["initramfs"], 1, found)
        self.assertLessEqual(found["locale"], 1, found)
        # and that of --guest-ca
        self.assertLessEqual(found["certificates"], 2, found)
        self.assertLessEqual(found["lists"], 1, found)

    def count(self, image: pathlib.Path) -> collections.Counter[str]:
        """Count the lines of a build's log that tell of something costly."""
        log = manifest.sidecar(image) / "build.log"
        found: collections.Counter[str] = collections.Counter()
        for line in log.read_text().splitlines():
            if _STAMP in line:
                found.update(
                    name for name, text in _ONCE.items() if text in line
                )
        return found
