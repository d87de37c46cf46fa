# SPDX-License-Identifier: Apache-2.0
"""The files of the tree, as git knows them."""

import subprocess

import testtools

from tests import base


def files(test: testtools.TestCase) -> list[str]:
    """Return all paths from the tree's top; skips a test without git."""
    if not (base.ROOT / ".git").exists():
        test.skipTest("only git knows which files are part of the tree")
    done = subprocess.run(
        ["git", "-c", f"safe.directory={base.ROOT}", "ls-files", "-z",
         "--cached", "--others", "--exclude-standard"],
        cwd=base.ROOT, capture_output=True, text=True, check=True,
    )  # fmt: skip
    return sorted(filter(None, done.stdout.split("\0")))
