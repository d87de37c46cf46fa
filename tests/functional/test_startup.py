# SPDX-License-Identifier: Apache-2.0
"""The commands answer at once.

What is measured is processor time, the least of some runs: unlike the time
on the clock, it does not tell how busy the machine is with other things.
``tools/benchmark`` shows both.
"""

import os
import pathlib
import subprocess
import sys

from tests import base

#: Seconds that a question about the catalog, or for help, may take.
LIMIT = 0.2
RUNS = 5

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
    def test_processor_time(self) -> None:
        programs = pathlib.Path(sys.executable).parent
        for name, *rest in COMMANDS:
            argv = [programs / name, *rest]
            took = min(self.time(*argv) for _ in range(RUNS))
            self.assertLess(took, LIMIT, f"{name} {' '.join(rest)}")

    def time(self, *argv: str | pathlib.Path) -> float:
        before = os.times()
        subprocess.run(
            argv, check=True, stdin=subprocess.DEVNULL, capture_output=True
        )
        after = os.times()
        return (after.children_user + after.children_system) - (
            before.children_user + before.children_system
        )

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
                 f"from trove_tools.cmd import {modules[name]} as command\n"
                 f"sys.exit(command.main({rest!r}))"],
                check=True, stdin=subprocess.DEVNULL, capture_output=True,
                text=True,
            )  # fmt: skip
            imported = {word.split(".")[0] for word in done.stderr.split()}
            self.assertIn("trove_tools", imported)
            self.assertEqual(set(), imported & HEAVY, f"{name} {rest}")
