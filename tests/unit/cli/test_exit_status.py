# SPDX-License-Identifier: Apache-2.0
"""Standard streams that are closed or full, and a directory that is gone."""

import subprocess
import sys

import ddt

from tests import base

RUN = """\
import sys
from trove_tools.cli import exit_status
from trove_tools import console, errors
exit_status.open_missing_streams()
end = exit_status.Ending(console.Console())
with end.reported():
    %s
sys.exit(end.status)
"""


@ddt.ddt
class StreamsTest(base.TestCase):
    def run_in_shell(
        self, work: str, redirection: str
    ) -> subprocess.CompletedProcess[str]:
        """Run a program whose work is a line of Python."""
        return subprocess.run(
            ["sh", "-c", f'exec "$0" -c "$1" {redirection}',
             sys.executable, RUN % work],
            cwd=base.ROOT, capture_output=True, text=True, check=False,
        )  # fmt: skip

    @ddt.data(">&-", ">/dev/full", "<&- >&-")
    def test_a_result_that_cannot_be_written(self, redirection: str) -> None:
        for size in (1, 100_000):
            done = self.run_in_shell(f"print('x' * {size})", redirection)
            self.assertEqual(1, done.returncode)
            self.assertIn("error: the output cannot be written", done.stderr)
            self.assertNotIn("Traceback", done.stderr)
            self.assertNotIn("defect", done.stderr)

    @ddt.data("2>&-", "2>/dev/full", "<&- 2>&-")
    def test_messages_that_cannot_be_written(self, redirection: str) -> None:
        done = self.run_in_shell("print('x')", redirection)
        self.assertEqual((0, "x\n"), (done.returncode, done.stdout))
        done = self.run_in_shell("raise errors.UsageError('x')", redirection)
        self.assertEqual(2, done.returncode)

    def test_no_stream_at_all(self) -> None:
        done = self.run_in_shell(
            "raise errors.UsageError('x')", "<&- >&- 2>&-"
        )
        self.assertEqual(2, done.returncode)

    def test_current_directory_that_is_gone(self) -> None:
        done = self.run_in_shell(
            "import os, tempfile, pathlib; d = tempfile.mkdtemp();"
            " os.chdir(d); os.rmdir(d); pathlib.Path('x').absolute()",
            "",
        )
        self.assertEqual(1, done.returncode)
        self.assertIn("error: the current directory cannot", done.stderr)
        self.assertIn("hint: ", done.stderr)

    def test_what_the_system_refuses(self) -> None:
        done = self.run_in_shell("open('/' + 'x' * 300)", "")
        self.assertEqual(1, done.returncode)
        self.assertIn("File name too long", done.stderr)
        self.assertNotIn("defect", done.stderr)

    def test_a_defect_and_its_notes(self) -> None:
        done = self.run_in_shell(
            "exc = KeyError('k'); exc.add_note('a log is in x'); raise exc", ""
        )
        self.assertEqual(1, done.returncode)
        self.assertIn("error: unexpected KeyError: 'k'", done.stderr)
        self.assertIn("a log is in x", done.stderr)
