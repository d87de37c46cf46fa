# SPDX-License-Identifier: Apache-2.0
"""Understanding what diskimage-builder prints."""

import pathlib
import typing

import ddt

from tests import base
from tests.unit.image import samples
from trove_tools import console
from trove_tools.image import dib
from trove_tools.image import plan
from trove_tools.image import timeline

STAMP = "2026-01-02 03:04:05.678 | "


class Recorder(console.Progress):
    def __init__(self) -> None:
        self.states: list[str] = []
        self.steps = 0

    def state(self, text: str) -> None:
        self.states.append(text)

    def advance(self, amount: int = 1) -> None:
        self.steps += amount


@ddt.ddt
class LogTest(base.TestCase):
    def follow(self, *lines: str) -> tuple[dib.Log, Recorder]:
        progress = Recorder()
        self.timeline = timeline.Timeline()
        log = dib.Log(progress, self.timeline)
        for line in lines:
            log.line(f"{STAMP}{line}\n")
        return log, progress

    def test_phases(self) -> None:
        log, progress = self.follow(
            "diskimage-builder version 3",
            "dib-run-parts Running /tmp/x/hooks/root.d/08-debootstrap",
            "dib-run-parts Running /tmp/x/hooks/root.d/75-more",
            "dib-run-parts Running /tmp/in_target.d/install.d/50-x",
        )
        self.assertEqual(
            ["base system", "install packages and agent"], progress.states
        )
        self.assertEqual(1, progress.steps)
        log.enter("")
        self.assertEqual(
            [("root", ["08-debootstrap", "75-more"]), ("install", ["50-x"])],
            [
                (each.name, [hook.name for hook in each.spans])
                for each in self.timeline.spans
            ],
        )

    def test_failure_shows_the_failing_hook_only(self) -> None:
        log, _ = self.follow(
            "dib-run-parts Running /tmp/in_target.d/install.d/10-fine",
            "all is well",
            "dib-run-parts Running /tmp/in_target.d/install.d/50-bad",
            *(f"line {number}" for number in range(1000)),
            "it broke",
        )
        error = log.failure(3)
        self.assertIn("status 3 in hook install.d/50-bad", error.message)
        self.assertIn("  | it broke", error.message)
        self.assertNotIn("all is well", error.message)
        self.assertLess(len(error.message.splitlines()), 25)
        self.assertIsNone(error.hint)

    @ddt.data(
        ("E: Failed to fetch http://m/x  404  Not Found", "--mirror"),
        ("E: Failed getting release file http://m/dists/x", "--mirror"),
        ("Err: Could not resolve 'm.example'", "the network"),
        ("cp: error writing: No space left on device", "--work-dir"),
        ("W: GPG error: NO_PUBKEY 0123", "keyring"),
        ("ERROR: No matching distribution found for trove", "--constraints"),
    )
    @ddt.unpack
    def test_known_causes_have_a_remedy(self, line: str, word: str) -> None:
        log, _ = self.follow(
            "dib-run-parts Running /tmp/in_target.d/install.d/50-x", line
        )
        error = log.failure(1)
        self.assertIn(word, error.hint or "")

    def test_failure_before_the_first_hook(self) -> None:
        log, _ = self.follow("Element 'x' not found in '/y'")
        error = log.failure(1)
        self.assertIn("before the first hook", error.message)
        self.assertIn("Element 'x' not found", error.message)


class CommandTest(base.TestCase):
    def test_command_and_environment(self) -> None:
        self.set_env(PATH="/mine", USER=None)
        made = plan.make(samples.a_request(elements_path=("/a", "/b")))
        argv = dib.command(made, pathlib.Path("/out/x"))
        self.assertTrue(argv[0].endswith("/bin/disk-image-create"))
        self.assertEqual(
            ["-n", "-a", "amd64", "-t", "raw", "-o", "/out/x"], argv[1:8]
        )
        self.assertEqual(list(made.elements), argv[8:])
        variables = dib.environment(
            made,
            pathlib.Path("/work"),
            pathlib.Path("/c"),
            pathlib.Path("/n"),
        )
        self.assertEqual("/n", variables["DIB_TROVE_NATIVES"])
        self.assertEqual("/a:/b", variables["ELEMENTS_PATH"])
        self.assertEqual("/work", variables["TMP_DIR"])
        self.assertIn("/usr/sbin", variables["PATH"])
        self.assertTrue(variables["USER"])

    def test_tar(self) -> None:
        made = plan.make(samples.a_request(image_format="tar"))
        self.assertIn("tar", dib.command(made, pathlib.Path("/out/x")))


class RunTest(base.TestCase):
    """The child's side played by a script; the rest is real."""

    def setUp(self) -> None:
        super().setUp()
        self.directory = self.temp_dir()
        self.log = self.directory / "log"

    def run_script(self, script: str) -> list[timeline.Span]:
        program = self.fake_program("disk-image-create", script)

        def command(*_: typing.Any) -> list[str]:
            return [str(program)]

        self.patch_object(dib, "command", command)
        found = timeline.Timeline()
        dib.run(
            plan.make(samples.a_request()),
            self.directory / "x",
            work=self.directory,
            log=self.log,
            progress=console.Progress(),
            timeline=found,
            containers=self.directory,
            natives=self.directory,
        )
        return found.spans

    def test_success(self) -> None:
        (root,) = self.run_script(
            "echo dib-run-parts Running /x/root.d/1; echo $TMP_DIR; pwd"
        )
        self.assertEqual(("phase", "root"), (root.kind, root.name))
        self.assertEqual(["1"], [each.name for each in root.spans])
        self.assertEqual(
            [str(self.directory)] * 2, self.log.read_text().splitlines()[1:]
        )

    def test_failure(self) -> None:
        error = self.assertRaises(
            dib.errors.BuildError,
            self.run_script,
            "echo dib-run-parts Running /x/root.d/1; echo oh; exit 7",
        )
        self.assertIn("status 7 in hook root.d/1", error.message)
        self.assertIn("oh", self.log.read_text())
