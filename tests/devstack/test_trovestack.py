# SPDX-License-Identifier: Apache-2.0
"""The old command lines, as commands of today."""

import re
import shlex
import shutil
import subprocess

from tests import base
from tests.unit.cloud import images
from trove_tools.cli import builder
from trove_tools.cli import devstack
from trove_tools.cli import load

_SCRIPT = "integration/scripts/trovestack"

_PARSERS = {
    "trove-image-builder": builder.parser,
    "load-trove-image": load.parser,
    "trove-devstack": devstack.parser,
}


def table() -> dict[str, str]:
    """Return the documentation's table of commands."""
    text = (base.ROOT / "doc/source/migration.rst").read_text()
    rows: dict[str, str] = {}
    name = ""
    for line in text.partition("Old   ")[2].splitlines()[2:]:
        if line.startswith("=="):
            break
        if match := re.match(r"``([\w-]+)`` +(.*)", line):
            name = match[1]
            rows[name] = match[2]
        else:
            rows[name] += " " + line.strip()
    return rows


class VeneerCase(base.TestCase):
    def setUp(self) -> None:
        super().setUp()
        self.root = self.temp_dir()
        script = self.root / _SCRIPT
        script.parent.mkdir(parents=True)
        shutil.copy(base.ROOT / _SCRIPT, script)
        (script.parent / "redstack").symlink_to("trovestack")
        self.home = self.temp_dir()
        self.image = self.home / "trove mysql.qcow2"
        self.image.write_bytes(b"x")
        images.describe(self.image)
        for name, text in (
            ("trove-image-builder", f"""echo '{{"image": "{self.image}"}}'"""),
            ("trove-devstack",
             f'[ "$1" = prepare ] || echo "load mysql:8 {self.image}"'),
            ("load-trove-image", ""),
            ("run-scenario-tests", ""),
        ):  # fmt: skip
            self.tool(name, text)

    def tool(self, name: str, script: str) -> None:
        program = self.root / "tools" / name
        program.parent.mkdir(exist_ok=True)
        program.write_text(f"#!/bin/sh\n{script}\n")
        program.chmod(0o755)

    def trovestack(
        self, *words: str, name: str = "trovestack", **env: str
    ) -> "subprocess.CompletedProcess[str]":
        return subprocess.run(
            [self.root / "integration/scripts" / name, *words],
            env={"PATH": "/usr/bin:/bin", "HOME": str(self.home), **env},
            capture_output=True, text=True, stdin=subprocess.DEVNULL,
        )  # fmt: skip

    def used(self, *words: str, **env: str) -> list[list[str]]:
        """Return the commands that it says to use, and runs."""
        done = self.trovestack(*words, **env)
        self.assertEqual(0, done.returncode, done.stderr)
        said = re.findall(r"(?m)^trovestack is deprecated; use: (.*)$",
                          done.stderr)  # fmt: skip
        found = [shlex.split(line) for line in said]
        for argv in found:
            # what it says is what today's commands take
            if argv[0] in _PARSERS:
                _PARSERS[argv[0]]().parse_args(argv[1:])
        return found


class CommandsTest(VeneerCase):
    def test_build_image(self) -> None:
        agent = ["--agent", "/opt/stack/trove"]
        images = ["--output-dir", f"{self.home}/images"]
        build = ["trove-image-builder", "build"]
        for words, expected in (
            ("", ["mysql", *agent, *images]),
            ("ubuntu noble", ["mysql", "--guest", "ubuntu-24.04", *agent,
                              *images]),
            ("ubuntu noble false", ["mysql", "--guest", "ubuntu-24.04",
                                    *images]),
            ("ubuntu jammy true me /o/x.qcow2",
             ["mysql", "--guest", "ubuntu-22.04", *agent, "--guest-user",
              "me", "--output-dir", "/o", "--name", "x"]),
            ("debian trixie TRUE debian /o/x.raw",
             ["mysql", "--guest", "debian-13", *agent, "--guest-user",
              "debian", "--output-dir", "/o", "--name", "x",
              "--image-format", "raw"]),
            # Pike's trovestack, and redstack
            ("mariadb ubuntu xenial true",
             ["mariadb", "--guest", "ubuntu-16.04", *agent, *images]),
            (r"redis \/src\/trove stack me",
             ["redis", "--agent", "/src/trove", "--guest-user", "me",
              *images]),
        ):  # fmt: skip
            found = self.used("build-image", *shlex.split(words.replace(
                "\\", "\\\\")))  # fmt: skip
            self.assertEqual([[*build, *expected]], found)

    def test_environment(self) -> None:
        (found,) = self.used(
            "build-image", DATASTORE_TYPE="mariadb", DATASTORE_VERSION="11.8",
            PATH_TROVE="/src/trove", DIB_LOCAL_ELEMENTS_PATH="/e:/f",
        )  # fmt: skip
        self.assertEqual(
            ["mariadb:11.8", "--agent", "/src/trove",
             "--elements-path", "/e:/f"],
            found[2:7],
        )  # fmt: skip

    def test_upload_image(self) -> None:
        found = self.used("upload-image", "ubuntu", "noble")
        self.assertEqual(
            ["trove-image-builder", "trove-devstack", "load-trove-image"],
            [argv[0] for argv in found],
        )
        self.assertEqual(
            [str(self.image), "--activate", "--os-cloud", "trove"],
            found[-1][1:],
        )

    def test_parameters_of_the_trove_that_is_built_from(self) -> None:
        (self.home / "trove/templates").mkdir(parents=True)
        found = self.used("upload-image", PATH_TROVE=str(self.home))
        self.assertEqual(["--parameters", str(self.home)], found[-1][3:5])

    def test_gate_tests(self) -> None:
        found = self.used("gate-tests", "mariadb", "mariadb-supported", "11.8")
        self.assertIn("mariadb:11.8", found[0])
        self.assertEqual(["trove-devstack", "prepare", "--os-cloud",
                          "devstack-admin"], found[-2])  # fmt: skip
        self.assertEqual(["run-scenario-tests", "mariadb"], found[-1])

    def test_tests(self) -> None:
        for words, tested in (
            ("int-tests", "mysql"),
            ("int-tests --group=redis-supported-single", "redis"),
        ):
            self.assertEqual(
                [["run-scenario-tests", tested]], self.used(*words.split())
            )

    def test_failure_of_a_command_is_its_own(self) -> None:
        self.tool("trove-image-builder", "echo 'error: no space' >&2; exit 3")
        done = self.trovestack("upload-image")
        self.assertEqual(3, done.returncode)
        self.assertIn("error: no space", done.stderr.splitlines()[-1])

    def test_command_that_never_was(self) -> None:
        done = self.trovestack("bild-image")
        self.assertEqual(2, done.returncode)
        self.assertIn("never had a command bild-image", done.stderr)

    def test_redstack(self) -> None:
        done = self.trovestack("rd-sql", name="redstack")
        self.assertIn("redstack rd-sql is gone", done.stderr)

    def test_size(self) -> None:
        text = (base.ROOT / _SCRIPT).read_text()
        self.assertLess(len(text.splitlines()), 200)


class TableTest(VeneerCase):
    """The documentation has every command, and says what the veneer says."""

    def test_every_command(self) -> None:
        text = (base.ROOT / _SCRIPT).read_text()
        cases = re.findall(
            r"(?m)^    ([a-z][\w|-]+)\)", text[text.rindex("case $COMMAND") :]
        )
        known = {
            name
            for case in cases
            for name in case.split("|")
            if not name.startswith("-")
        }
        self.assertEqual(known, set(table()))

    def test_says_the_same(self) -> None:
        for name, instead in table().items():
            if name in ("debug", "help"):
                continue
            done = self.trovestack(name)
            told = done.stderr.replace("tools/", "")
            # the first words in the table, as far as they are words
            wanted = instead.replace("tools/", "")
            if match := re.match(r"``([a-z][\w-]*\.?\w*)", wanted):
                self.assertIn(match[1], told, name)
            else:
                self.assertIn("no Docker is needed", told, name)
            self.assertIn(done.returncode, (0, 2), name)


class LinksTest(base.TestCase):
    def test_links(self) -> None:
        scripts = base.ROOT / "integration/scripts"
        self.assertTrue((scripts / "redstack").samefile(base.ROOT / _SCRIPT))
        self.assertTrue((scripts / "files/elements/trove-guest").is_dir())
