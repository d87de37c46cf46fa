# SPDX-License-Identifier: Apache-2.0
"""What tests of the shell scripts share: a checkout that is not set up.

The scripts under test are the real ones.  What they call can be stood in
for, so that a test of a script takes no longer than the script itself.
"""

import os
import pathlib
import shutil
import subprocess
import sys

from tests import base

Done = subprocess.CompletedProcess[str]

#: What a script needs of a checkout to set it up.
_FILES = (
    "bindep.txt",
    "lint-requirements.txt",
    "zuul-requirements.txt",
    "pyproject.toml",
    "requirements.txt",
    "setup.cfg",
    "setup.py",
    "test-requirements.txt",
    "unlisted-requirements.txt",
    "doc/requirements.txt",
)


class ScriptCase(base.TestCase):
    """A test of scripts in a checkout of its own."""

    def setUp(self) -> None:
        super().setUp()
        self.checkout = self.temp_dir() / "a checkout"
        for name in ("tools", "trove_tools/catalog/datastores"):
            shutil.copytree(
                base.ROOT / name, self.checkout / name, symlinks=True
            )
        for name in _FILES:
            target = self.checkout / name
            target.parent.mkdir(exist_ok=True)
            shutil.copy(base.ROOT / name, target)
        self.calls = self.temp_dir() / "calls"
        self.calls.touch()

    def run_script(
        self,
        script: str | pathlib.Path,
        *args: str | pathlib.Path,
        cwd: str | pathlib.Path = "/",
    ) -> Done:
        """Run one of the checkout's scripts and return what it did."""
        return subprocess.run(
            [self.checkout / script, *args],
            cwd=cwd,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
        )

    def run_lib(self, commands: str) -> Done:
        """Run shell commands with tools/lib/setup.sh at hand."""
        return subprocess.run(
            ["/bin/bash", "-c", 'set -eu -o pipefail\nROOT=$1\n'
             'source "$ROOT/tools/lib/setup.sh"\n' + commands,
             "test", self.checkout],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
        )  # fmt: skip

    def recorded(self) -> list[str]:
        """Return what the stand-ins were called with, one line each."""
        return self.calls.read_text().splitlines()

    def stand_in(self, name: str, script: str = "") -> pathlib.Path:
        """Put a program into .venv/bin that records how it is called.

        :param script: shell lines that it runs afterwards.
        """
        directory = self.checkout / ".venv" / "bin"
        directory.mkdir(parents=True, exist_ok=True)
        return self.fake_program(
            name,
            f'echo "{name} $*" >>"{self.calls}"\n{script}',
            directory,
        )

    def set_up(self) -> None:
        """Make a .venv that looks as after a finished set-up."""
        self.stand_in("bindep")
        # not a link: Python finds its environment by where it lies
        self.fake_program(
            "python",
            f'exec "{sys.executable}" "$@"',
            self.checkout / ".venv" / "bin",
        )
        done = self.run_lib(
            'for one in project client tests; do'
            ' up_to_date() { return 1; }; pip_install() { :; };'
            ' setup_$one; done'
        )
        self.assertEqual((0, ""), (done.returncode, done.stdout))

    def assert_refused(
        self,
        done: Done,
        status: int,
        message: str,
        hint: str,
    ) -> None:
        """One clear message with a hint, and the documented status."""
        self.assertEqual(status, done.returncode, done.stderr)
        errors, hints = (
            [line for line in done.stderr.splitlines() if line[: len(p)] == p]
            for p in ("error: ", "hint: ")
        )
        self.assertEqual([f"error: {message}"], errors)
        self.assertEqual(1, len(hints))
        self.assertIn(hint, hints[0])
        self.assertEqual("", done.stdout)


def only_path(case: base.TestCase, *programs: str) -> pathlib.Path:
    """Make a PATH with nothing but a few of the host's programs."""
    directory = case.temp_dir()
    for name in programs:
        found = shutil.which(name)
        assert found is not None, name
        (directory / name).symlink_to(found)
    case.set_env(PATH=os.fspath(directory))
    return directory
