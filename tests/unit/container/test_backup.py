# SPDX-License-Identifier: Apache-2.0
"""The backup container, without packages and without an index."""

import io
import pathlib
import tarfile

from tests import base
from trove_tools import errors
from trove_tools import process
from trove_tools.catalog import loader
from trove_tools.cmd import builder
from trove_tools.container import backup


class RecipeTest(base.TestCase):
    def test_the_version_is_in_it(self) -> None:
        postgresql = loader.load().datastore("postgresql")
        found = backup.recipe(postgresql, "15")
        self.assertIn("postgresql-client-15", found.packages)
        self.assertIn("/usr/lib/postgresql/15/bin", found.environment["PATH"])

    def test_a_datastore_that_no_packages_bring(self) -> None:
        mysql = loader.load().datastore("mysql")
        error = self.assertRaises(
            errors.UsageError, backup.recipe, mysql, "8.4"
        )
        self.assertIn("no packages make a backup container", error.message)


class ProgramTest(base.TestCase):
    def setUp(self) -> None:
        super().setUp()
        self.place = self.temp_dir()
        self.wanted = backup.Wanted(
            loader.load().datastore("mariadb"), "11.8", "x:1",
            {"arch": "amd64"}, "trove>=26", "",
        )  # fmt: skip

    def index(self, *names: str) -> None:
        """Have pip download an archive with such files."""

        def run(argv: list[str], **options: object) -> None:
            place = pathlib.Path(argv[argv.index("--dest") + 1])
            place.mkdir()
            with tarfile.open(place / "trove-26.0.1.tar.gz", "w:gz") as made:
                for name in names:
                    made.addfile(
                        tarfile.TarInfo(f"trove-26.0.1/{name}"), io.BytesIO()
                    )

        self.patch_object(process, "run", run)

    def test_only_the_program_is_taken(self) -> None:
        self.index("backup/main.py", "backup/tests/x.py", "trove/backup/y.py",
                   "backup/../../z.py")  # fmt: skip
        place, version = backup._source(self.wanted, self.place)
        self.assertEqual("26.0.1", version)
        found = [file.name for file in self.place.rglob("*.py")]
        self.assertEqual(["main.py"], found)
        self.assertTrue((place / "main.py").is_file())

    def test_a_release_without_it(self) -> None:
        self.index("trove/x.py")
        error = self.assertRaises(
            errors.BuildError, backup._source, self.wanted, self.place
        )
        self.assertIn("has no program that takes backups", error.message)

    def test_an_index_that_is_not_reached(self) -> None:
        def run(*args: object, **options: object) -> None:
            raise errors.CommandError(
                "pip", status=1, output="ERROR: no such host"
            )

        self.patch_object(process, "run", run)
        error = self.assertRaises(
            errors.BuildError, backup._source, self.wanted, self.place
        )
        self.assertIn("no such host", error.message)
        self.assertIn("PIP_INDEX_URL", error.hint or "")

    def test_the_containers_own_python(self) -> None:
        root = self.place / "root.tar"
        with tarfile.open(root, "w") as made:
            for name in ("./usr/bin/python3", "./usr/bin/python3.13"):
                made.addfile(tarfile.TarInfo(name))
        self.assertEqual("3.13", backup._python(root))

    def test_the_same_files_are_the_same_bytes(self) -> None:
        tree = self.place / "tree"
        (tree / "bin").mkdir(parents=True)
        for name in ("b.py", "a.py", "bin/script"):
            (tree / name).write_text(name)
        layers = []
        for name in ("one", "two"):
            with tarfile.open(self.place / name, "w") as layer:
                backup._add(layer, tree, "opt/x")
            layers.append((self.place / name).read_bytes())
            (tree / "a.py").touch()
        self.assertEqual(*layers)
        with tarfile.open(self.place / "one") as layer:
            self.assertEqual(
                ["./opt/x/a.py", "./opt/x/b.py"], layer.getnames()
            )


class CommandTest(base.TestCase):
    def refused(self, *words: str) -> str:
        _, err = self.capture()
        self.assertEqual(2, builder.main(["backup-container", *words]))
        err.seek(0)
        return str(err.read())

    def test_a_datastore_without(self) -> None:
        self.assertIn("no packages make a backup", self.refused("mysql"))

    def test_a_guest_system_without(self) -> None:
        said = self.refused("mariadb:11.8", "--guest", "debian-12")
        self.assertIn("debian-12 lacks packages of mariadb 11.8", said)
        self.assertIn("debian-13", said)
