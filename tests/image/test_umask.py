# SPDX-License-Identifier: Apache-2.0
"""The umask of who builds reaches neither the image nor what is kept.

Three tiny builds run at the same time, each with another umask, from
elements that were written with that umask, as a checkout is.
"""

import concurrent.futures
import os
import pathlib
import stat
import subprocess
import tarfile

from tests import base
from tests import commands
from tests.image import tiny
from trove_tools.host import requirements

UMASKS = (0o022, 0o077, 0o000)
NAME = "trove-mariadb-11.8-debian-13-amd64"


class UmaskTest(base.TestCase):
    timeout = 300

    def setUp(self) -> None:
        super().setUp()
        if not requirements.may_be_root():
            self.skipTest("building needs root, or sudo without a password")

    def build(self, umask: int) -> pathlib.Path:
        """Build with an umask; return the directory with all it made."""
        place = self.temp_dir()
        # umask(2) is one for all threads of a process: a shell sets it
        self.run_with(umask, *tiny.COMMAND, str(place / "elements"))
        self.run_with(
            umask,
            *commands.command_line(
                "trove-image-builder", "build", "mariadb",
                "--runtime", "native", "--image-format", "tar",
                "--elements-path", place / "elements",
                "--cache-dir", place / "cache",
                "--output-dir", place / "output",
            ),
        )  # fmt: skip
        return place

    def run_with(self, umask: int, *argv: str) -> None:
        done = subprocess.run(
            ["sh", "-c", f'umask {umask:03o}; exec "$@"', "sh", *argv],
            env={**os.environ, "PYTHONPATH": str(base.ROOT)},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
        )
        self.assertEqual(0, done.returncode, done.stderr)

    def in_image(self, place: pathlib.Path) -> dict[str, str]:
        """Return the mode of every file in the image.

        Of this host's devices as well, which diskimage-builder has in reach
        while it packs: they are left out, as other builds come and go.
        """
        with tarfile.open(place / "output" / f"{NAME}.tar") as archive:
            return {
                member.name: stat.filemode(member.mode)
                for member in archive
                if not member.issym() and not member.name.startswith("./dev")
            }

    def on_host(self, place: pathlib.Path) -> dict[str, str]:
        """Return the mode of everything that the build keeps."""
        return {
            str(path.relative_to(place)): stat.filemode(path.stat().st_mode)
            for name in ("cache", "output")
            for path in [place / name, *(place / name).rglob("*")]
        }

    def test_modes(self) -> None:
        with concurrent.futures.ThreadPoolExecutor() as pool:
            usual, *others = pool.map(self.build, UMASKS)
        inside, outside = self.in_image(usual), self.on_host(usual)
        self.assertEqual("?rwxr-xr-x", inside[f"./{tiny.PROGRAM}"])
        self.assertEqual("?rw-r--r--", inside[f"./{tiny.FILE}"])
        self.assertEqual("?rwxr-xr-x", inside[f"./{tiny.DIRECTORY}"])
        self.assertEqual("-rw-r--r--", outside[f"output/{NAME}.tar"])
        self.assertEqual(
            "-rw-r--r--", outside[f"output/{NAME}.d/manifest.json"]
        )
        for mode in outside.values():
            self.assertNotIn("w", mode[5:])
        for place in others:
            self.assert_same(inside, self.in_image(place))
            self.assert_same(outside, self.on_host(place))

    def assert_same(self, one: dict[str, str], other: dict[str, str]) -> None:
        self.assertEqual(
            set(), set(one.items()).symmetric_difference(other.items())
        )
