# SPDX-License-Identifier: Apache-2.0
"""A root directory in which tests of findings write files."""

import pathlib

from tests import base


class RootCase(base.TestCase):
    def setUp(self) -> None:
        super().setUp()
        self.root = self.temp_dir()

    def write(self, name: str, text: str) -> pathlib.Path:
        """Write a file that only its owner may change."""
        file = self.root / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)
        file.chmod(0o644)
        return file
