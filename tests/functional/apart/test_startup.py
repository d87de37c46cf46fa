# SPDX-License-Identifier: Apache-2.0
"""The commands answer at once, because they import nothing heavy for it.

How long they take is measured by ``tools/benchmark start``.
"""

import subprocess
import sys

from tests import base

COMMANDS = (
    ("trove-image-builder", "--help"),
    ("trove-image-builder", "list"),
    ("load-trove-image", "--help"),
    ("activate-trove-image", "--help"),
)

#: Packages that cost more to import than such an answer may take.
HEAVY = {
    "diskimage_builder",
    "jsonschema",
    "keystoneauth1",
    "openstack",
    "oslo_config",
    "pkg_resources",
    "requests",
    "troveclient",
}


class StartupTest(base.TestCase):
    def test_nothing_heavy_is_imported(self) -> None:
        modules = {
            "trove-image-builder": "builder",
            "load-trove-image": "load",
            "activate-trove-image": "activate",
        }
        for name, *rest in COMMANDS:
            # as it ends, print what it has imported
            done = subprocess.run(
                [sys.executable, "-c",
                 "import atexit, sys\n"
                 "atexit.register(lambda: print(*sys.modules,"
                 " file=sys.stderr))\n"
                 f"from trove_tools.cli import {modules[name]} as command\n"
                 f"sys.exit(command.main({rest!r}))"],
                check=True, stdin=subprocess.DEVNULL, capture_output=True,
                text=True,
            )  # fmt: skip
            imported = {word.split(".")[0] for word in done.stderr.split()}
            self.assertIn("trove_tools", imported)
            self.assertEqual(set(), imported & HEAVY, f"{name} {rest}")
