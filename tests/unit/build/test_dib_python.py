# SPDX-License-Identifier: Apache-2.0
"""The server's answers beside those of diskimage-builder's own programs."""

import os
import pathlib
import stat
import subprocess
import sys
import typing

import diskimage_builder
import yaml

from tests import base
from trove_tools.build import dib_python
from trove_tools.plan import elements

LIBRARY = pathlib.Path(diskimage_builder.__path__[0]) / "lib"
LAYOUT = elements.DIRECTORY / "block-device-trove-gpt"


class DibPythonTest(base.TestCase):
    def setUp(self) -> None:
        super().setUp()
        self.directory = self.temp_dir()
        self.log = self.directory / "log"

    def answers(
        self, python: str | pathlib.Path, name: str
    ) -> list[typing.Any]:
        """Return what calls print and end with, and what they leave.

        :param name: of the directory of the calls.
        """
        place = self.directory / name
        place.mkdir()
        params = place / "params.yaml"
        params.write_text(
            yaml.safe_dump(
                {
                    "config": str(LAYOUT / "block-device-default.yaml"),
                    "image-dir": str(place),
                    "root-fs-type": "ext4",
                    "root-label": "a label",
                    "mount-base": str(place / "mnt"),
                    "build-dir": str(place),
                }
            )
        )
        given = {"DIB_BLOCK_DEVICE_PARAMS_YAML": params.name}
        answers: list[typing.Any] = []
        for variables, script, *words in (
            ({}, "dib-block-device.py", "init"),
            (given, "dib-block-device.py", "init"),
            (given, "dib-block-device.py", "getval", "root-label"),
            (given, "dib-block-device.py", "getval", "image-path"),
            ({"ELEMENTS_PATH": str(elements.shipped_path())},
             "element-info.py", "--env", "debian-minimal", "vm"),
        ):  # fmt: skip
            done = subprocess.run(
                [python, LIBRARY / script, *words],
                env={**os.environ, **variables}, cwd=place, umask=0o027,
                capture_output=True, text=True,
            )  # fmt: skip
            # where an exception passed through is not the same
            *_, last = ["", *done.stderr.splitlines()]
            answers.append((done.returncode, done.stdout, last))
        made = [
            (str(file.relative_to(place)), file.stat().st_mode)
            for file in sorted(place.rglob("*"))
        ]
        return [*answers, made]

    def test_the_same_answers(self) -> None:
        real = self.answers(sys.executable, "real")
        with dib_python.serve(self.directory, self.log) as python:
            ours = self.answers(python, "ours")
        text = str(real).replace(f"{self.directory}/real", "/x")
        self.assertEqual(
            text, str(ours).replace(f"{self.directory}/ours", "/x")
        )
        self.assertEqual((0, "a label\n"), real[2][:2])
        self.assertNotEqual(0, real[3][0])
        self.assertEqual("", self.log.read_text())

    def test_who_runs_what(self) -> None:
        """The server runs the scripts that it knows, Python all others."""
        script = "import os; print(os.getppid())"
        known = self.directory / "no_disk.py"
        known.write_text(script)
        with dib_python.serve(self.directory, self.log) as python:
            parents = [
                int(subprocess.check_output([python, *words]))
                for words in (("-c", script), (known,), (known,))
            ]
        self.assertEqual(os.getpid(), parents[0])
        self.assertNotEqual(os.getpid(), parents[1])
        self.assertEqual(parents[1], parents[2])

    def test_a_server_that_has_ended(self) -> None:
        with dib_python.serve(self.directory, self.log) as python:
            pass
        done = subprocess.run(
            [python, LIBRARY / "element-info.py", "--help"],
            capture_output=True, text=True,
        )  # fmt: skip
        self.assertEqual(1, done.returncode)
        self.assertIn("has ended", done.stderr)
        self.assertIn("build again", done.stderr)

    def test_a_call_that_a_signal_ends(self) -> None:
        script = self.directory / "no_disk.py"
        script.write_text("import os; os.kill(os.getpid(), 9)")
        with dib_python.serve(self.directory, self.log) as python:
            status = subprocess.call([python, script])
        self.assertEqual(128 + 9, status)

    def test_a_long_path(self) -> None:
        """A socket's path has 107 bytes, a build's directory may have more."""
        directory = self.directory / ("d" * 150)
        directory.mkdir()
        script = directory / "no_disk.py"
        script.write_text("print('fine')")
        with dib_python.serve(directory, self.log) as python:
            self.assertEqual(
                b"fine\n", subprocess.check_output([python, script])
            )
        mode = (directory / "dib-server").stat().st_mode
        self.assertEqual(0o600, stat.S_IMODE(mode))
