# SPDX-License-Identifier: Apache-2.0
"""What is wrong in a file, and how quickly that is found."""

import subprocess
import sys

from tests import base


class ViolationsTest(base.TestCase):
    def test_nothing_is_imported_for_formats_that_no_schema_has(self) -> None:
        done = subprocess.run(
            [sys.executable, "-c",
             "import sys\n"
             "from trove_tools.catalog import validation\n"
             "print(validation.find_violations(1, {'type': 'string'}))\n"
             "print(*sys.modules)"],
            cwd=base.ROOT, stdin=subprocess.DEVNULL, capture_output=True,
            text=True, check=True,
        )  # fmt: skip
        self.assertIn("1 is not of type 'string'", done.stdout)
        modules = done.stdout.split()
        self.assertIn("jsonschema", modules)
        self.assertNotIn("lark", modules)
        self.assertNotIn("rfc3987_syntax", modules)
