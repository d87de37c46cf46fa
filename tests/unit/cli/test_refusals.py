# SPDX-License-Identifier: Apache-2.0
"""Wrong inputs: every command refuses the same in the same way."""

import collections.abc
import importlib
import shlex
import typing

import ddt

from tests import base
from tests import commands
from trove_tools import errors
from trove_tools.cli import exit_status
from trove_tools.host import process
from trove_tools.host import requirements

USAGE, FAILED = errors.EXIT_USAGE, errors.EXIT_FAILED

#: Commands that read a file, where FILE is.
READERS = (
    "trove-image-builder verify FILE",
    "trove-image-builder verify FILE --level boot",
    "trove-image-builder verify FILE --datastore mariadb",
    "trove-image-builder inspect FILE",
    "trove-image-builder diff FILE FILE",
    "trove-image-builder diff --files FILE FILE",
    "trove-image-builder plan mariadb --dev FILE",
    "trove-image-builder plan mariadb --locked FILE",
    "trove-image-builder plan mariadb --constraints FILE",
    "trove-image-builder plan mysql --container-source archive:FILE",
    "trove-image-builder plan couchbase --package FILE",
    "trove-image-builder plan couchdb --repository-key couchdb=FILE",
    "load-trove-image FILE",
    "load-trove-image FILE --datastore mariadb --version 11.8",
    "trove-devstack images FILE",
)

#: Commands that take an image, and the status for what is none.
IMAGES = tuple(
    line for line in READERS
    if line.split()[1] in ("verify", "inspect", "diff", "FILE")
)  # fmt: skip

#: Commands that write to a directory, where DIR is.
WRITERS = (
    "trove-image-builder build mariadb --output-dir DIR",
    "trove-image-builder build mariadb --work-dir DIR",
    "trove-image-builder build mariadb --cache-dir DIR",
    "trove-image-builder backup-container mariadb --output-dir DIR",
)

#: What is mistyped: the command line, and the hint.
NAMES = (
    ("trove-image-builder biuld mariadb", "did you mean build?"),
    ("trove-image-builder cache prnue", "did you mean prune?"),
    ("trove-image-builder list mariabd", "did you mean mariadb?"),
    ("trove-image-builder show postgres", "did you mean postgresql?"),
    ("trove-image-builder build mariadb:11.9", "did you mean 11.8?"),
    ("trove-image-builder build mariadb:12",
     "known versions of mariadb: 10.6, 10.11, 11.8"),
    ("trove-image-builder plan mariadb --guest debain-13",
     "did you mean debian-13?"),
    ("trove-image-builder plan mariadb --runtime contaner",
     "did you mean container?"),
    ("trove-image-builder plan mariadb --compression zstb",
     "did you mean zstd?"),
    ("trove-image-builder plan mariadb --image-format qcow",
     "did you mean qcow2?"),
    ("trove-image-builder plan mariadb -f jsn", "did you mean json?"),
    ("trove-image-builder verify x --level bot", "did you mean boot?"),
    ("trove-image-builder plan mariadb --outptu-dir x", "unknown option"),
    ("trove-image-builder backup-container redis",
     "redis does not run in a container"),
    ("trove-image-builder cache push localhost/x",
     "trove-image-builder cache: unexpected argument localhost/x"),
    ("trove-devstack chekc mysql", "did you mean check?"),
    ("trove-devstack settings mysqll", "did you mean mysql?"),
    ("load-trove-image x --visibility publik", "did you mean public?"),
    ("minicloud strat x", "did you mean start?"),
)  # fmt: skip


class RefusalCase(base.TestCase):
    def setUp(self) -> None:
        super().setUp()
        self.set_env(HOME=str(self.temp_dir()), XDG_CACHE_HOME=None)
        # the handlers would outlive the test
        self.patch_object(exit_status, "_unwind_on_signals", lambda: None)
        self.place = self.temp_dir()

    def refused(self, status: int, line: str) -> str:
        """Run a command line that must fail; return what it said."""
        name, *words = shlex.split(line)
        module: typing.Any = importlib.import_module(
            commands.MODULES[name]
        )
        out, err = self.capture()
        found = module.main(words)
        for stream in (out, err):
            stream.seek(0)
        said = err.read()
        self.assertEqual((status, ""), (found, out.read()), f"{line}: {said}")
        self.assertIn("error: ", said)
        self.assertIn("\nhint: ", said)
        for word in ("Traceback", "defect", "[Errno"):
            self.assertNotIn(word, said, line)
        return said


def each(
    lines: collections.abc.Iterable[str], **values: str
) -> collections.abc.Iterator[str]:
    """Yield command lines with a path in them."""
    for line in lines:
        for word, value in values.items():
            line = line.replace(word, shlex.quote(value))
        yield line


@ddt.ddt
class NamesTest(RefusalCase):
    @ddt.data(*NAMES)
    @ddt.unpack
    def test_name(self, line: str, hint: str) -> None:
        self.assertIn(hint, self.refused(USAGE, line))


class FilesTest(RefusalCase):
    def test_none(self) -> None:
        file = str(self.place / "x.qcow2")
        for line in each(READERS, FILE=file):
            said = self.refused(USAGE, line)
            self.assertIn("cannot be read: there is no such file", said)

    def test_a_directory(self) -> None:
        for line in each(READERS, FILE=str(self.place)):
            said = self.refused(USAGE, line)
            self.assertIn("cannot be read: it is a directory", said)

    def test_what_is_no_image(self) -> None:
        file = self.place / "README.rst"
        file.write_text("=====\nTitle\n=====\n" * 40)
        if process.find("qemu-img") is None:
            self.skipTest("qemu-img is not installed")
        self.patch_object(requirements, "may_be_root", lambda: True)
        for line in each(IMAGES, FILE=str(file)):
            if "--level" not in line and "--datastore" in line:
                # the agent's level looks at what it needs first
                continue
            said = self.refused(FAILED, line)
            self.assertIn("README.rst", said)
            self.assertNotIn("name what it", said)

    def test_who_may_not_be_root_is_told_of_the_file_first(self) -> None:
        self.patch_object(requirements, "may_be_root", lambda: False)
        self.refused(USAGE, f"trove-image-builder inspect {self.place}/x")
        file = self.place / "x"
        file.touch()
        said = self.refused(
            errors.EXIT_MISSING, f"trove-image-builder inspect {file}"
        )
        self.assertIn("reading the files in an image needs root", said)

    def test_directories_to_write_to(self) -> None:
        file = self.place / "file"
        file.touch()
        for place in (str(file), str(file / "x"), "/proc/x"):
            for line in each(WRITERS, DIR=place):
                said = self.refused(USAGE, line)
                self.assertNotIn("disk space", said)
                self.assertIn(place, said)

    def test_a_catalog_that_is_a_file(self) -> None:
        file = self.place / "x.yaml"
        file.touch()
        said = self.refused(
            USAGE, f"trove-image-builder list --catalog {file}"
        )
        self.assertIn(f"{file} cannot be read: it is not a directory", said)
        self.assertIn(str(self.place), said.partition("hint: ")[2])
