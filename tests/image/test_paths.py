# SPDX-License-Identifier: Apache-2.0
"""Any character in any path that a build is given."""

import os

from tests import base
from tests import commands
from tests.image import tiny
from trove_tools.artifact import manifest
from trove_tools.host import loopdevice
from trove_tools.host import mounts
from trove_tools.host import requirements

# all that a shell, a list of paths, YAML or mountinfo would stumble over
_ODD = "-a b'\"$(false);&|<>\\*?[x]{y}#~!%,:=@^`\t\n\u00e9\u4e2d"


class PathsTest(base.TestCase):
    timeout = 300

    def test_odd_names(self) -> None:
        if not requirements.may_be_root():
            self.skipTest("building needs root, or sudo without a password")
        place = self.temp_dir()
        odd = place / _ODD
        elements = odd.with_name("elements b")
        tiny.write(elements)
        long = odd.joinpath(*["d" * 100] * 3)
        done = commands.run(
            "trove-image-builder", "build", "mariadb", "--runtime", "native",
            "--elements-path", elements,
            "--output-dir", long / "output",
            "--work-dir", odd / "work",
            "--cache-dir", odd / "cache",
            "--name", "-a 'b' $c;\u00e9", "--format", "json",
        )  # fmt: skip
        self.assertEqual(0, done.status, done.stderr)
        self.assertNotIn("warning: ", done.stderr)
        image = long / "output" / "-a 'b' $c;\u00e9.qcow2"
        self.assertEqual(os.fspath(image), done.json()["image"])
        made = manifest.read(image)
        assert made is not None
        self.assertEqual(image.name, made.image.file)
        self.assertEqual([], mounts.list_below(place))
        self.assertEqual([], loopdevice.find_below(place))
        self.assertEqual(
            ["cache", "d" * 100, "work"], sorted(os.listdir(odd))
        )
        self.assertEqual([], os.listdir(odd / "work"))
        found = commands.run("trove-image-builder", "inspect", image)
        self.assertEqual(0, found.status, found.stderr)
