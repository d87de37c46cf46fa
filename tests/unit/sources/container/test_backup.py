# SPDX-License-Identifier: Apache-2.0
"""The backup container, without packages and without an index."""

import io
import pathlib
import tarfile
import typing

from tests import base
from trove_tools import errors
from trove_tools.catalog import loader
from trove_tools.cli import builder
from trove_tools.host import process
from trove_tools.inspection import provenance
from trove_tools.inspection import rootfile
from trove_tools.sources.container import backup
from trove_tools.sources.container import recipes
from trove_tools.sources.container import sources


class RecipeTest(base.TestCase):
    def test_the_version_is_in_it(self) -> None:
        found = recipes.read_backup("postgresql", "15")
        assert found is not None
        self.assertIn("postgresql-client-15", found.packages)
        config = found.configuration("15")
        self.assertIn("/usr/lib/postgresql/15/bin", config["Env"][0])
        self.assertEqual(
            "/opt/trove/site-packages/backup", config["WorkingDir"]
        )

    def test_what_every_program_runs_with(self) -> None:
        for name in ("mariadb", "postgresql"):
            found = recipes.read_backup(name, "17")
            assert found is not None
            # greenlet of the package index is linked with the third; only
            # mariadb-backup brings it by itself
            for package in ("python3", "dumb-init", "libstdc++6"):
                self.assertIn(package, found.packages)

    def test_a_datastore_that_no_packages_bring(self) -> None:
        self.assertIsNone(recipes.read_backup("", "8.4"))


class SourceTest(base.TestCase):
    def make(self, name: str, guest: str, constraints: str = "") -> typing.Any:
        catalog = loader.load()
        datastore = catalog.datastore(name)
        return sources.make_backup(
            datastore, datastore.default_version,
            datastore.runtime("container").container, catalog.guest(guest),
            requirement="trove>=26", constraints=constraints,
        )  # fmt: skip

    def test_name_and_digest(self) -> None:
        made = self.make("mariadb", "debian-13")
        self.assertEqual(("db-backup-mariadb:11.8",), made.names)
        self.assertEqual("mariadb-backup.tar", made.file)
        file = self.temp_dir() / "constraints"
        file.write_text("six==1\n")
        other = self.make("mariadb", "debian-13", str(file))
        self.assertEqual(made.digest, other.digest)
        self.assertEqual(str(file), other.constraints)
        self.assertEqual(64, len(other.constraints_digest))

    def test_constraints_that_were_replaced(self) -> None:
        file = self.temp_dir() / "constraints"
        file.write_text("six==1\n")
        made = self.make("mariadb", "debian-13", str(file))
        file.write_text("six==2\n")
        error = self.assertRaises(
            errors.BuildError, backup._requirements, made, file, "amd64",
            "3.13", self.temp_dir(),
        )  # fmt: skip
        self.assertIn(f"--constraints {file}", error.message)

    def test_refused(self) -> None:
        for name, guest, said in (
            ("mysql", "debian-13", "no packages make a backup container"),
            ("mariadb", "debian-12", "no packages of mariadb 11.8 to make a"
                                     " backup container for debian-12"),
        ):
            error = self.assertRaises(
                errors.UsageError, self.make, name, guest
            )
            self.assertIn(said, error.message)


class ProgramTest(base.TestCase):
    def setUp(self) -> None:
        super().setUp()
        self.place = self.temp_dir()

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
        place, version = backup.fetch_program("trove>=26", self.place)
        self.assertEqual("26.0.1", version)
        found = [file.name for file in self.place.rglob("*.py")]
        self.assertEqual(["main.py"], found)
        self.assertTrue((place / "main.py").is_file())

    def test_a_release_without_it(self) -> None:
        self.index("trove/x.py")
        error = self.assertRaises(
            errors.BuildError, backup.fetch_program, "trove>=26", self.place
        )
        self.assertIn("has no program that takes backups", error.message)

    def test_an_index_that_is_not_reached(self) -> None:
        def run(*args: object, **options: object) -> None:
            raise errors.CommandError(
                "pip", status=1, output="ERROR: no such host"
            )

        self.patch_object(process, "run", run)
        error = self.assertRaises(
            errors.BuildError, backup.fetch_program, "trove>=26", self.place
        )
        self.assertIn("no such host", error.message)
        self.assertIn("PIP_INDEX_URL", error.hint or "")

    def test_the_program_is_recorded(self) -> None:
        self.index("backup/main.py", "backup/drivers/x.py")
        source, version = backup.fetch_program("trove>=26", self.place)
        (source / "main.py").write_text("print(db_password='x')\n")
        root = self.place / "root"
        libraries = root / recipes.LIBRARIES
        libraries.mkdir(parents=True)
        backup._install(source, libraries, version)
        known = provenance.Provenance([root])

        def published(name: str) -> bool:
            path = libraries / "backup" / name
            found = rootfile.File(
                path, str(path.relative_to(root)), path.lstat()
            )
            return known.is_published(found)

        self.assertTrue(published("main.py"))
        self.assertTrue(published("drivers/x.py"))
        (libraries / "backup/added.py").write_text("")
        self.assertFalse(published("added.py"))

    def test_the_containers_own_python(self) -> None:
        root = self.place / "root.tar"
        with tarfile.open(root, "w") as made:
            for name in ("./usr/bin/python3", "./usr/bin/python3.13"):
                made.addfile(tarfile.TarInfo(name))
        self.assertEqual("3.13", backup._python(root))

    def test_the_same_files_are_the_same_bytes(self) -> None:
        tree = self.place / "tree"
        (tree / "bin").mkdir(parents=True)
        (tree / "x.dist-info").mkdir()
        (tree / "tests").mkdir()
        for name in ("b.py", "a.py", "bin/script", "tests/private.key"):
            (tree / name).write_text(name)
        record = tree / "x.dist-info/RECORD"
        record.write_text("a.py,,\n../../bin/script,,\n")
        layers = []
        for name in ("one", "two"):
            with tarfile.open(self.place / name, "w") as layer:
                backup._add(layer, tree, "opt/x", 0)
            layers.append((self.place / name).read_bytes())
            (tree / "a.py").touch()
        self.assertEqual(*layers)
        with tarfile.open(self.place / "one") as layer:
            *files, last = layer.getnames()
            self.assertEqual(["./opt/x/a.py", "./opt/x/b.py"], files)
            # not the script, whose first line names the build host's Python
            stream = layer.extractfile(last)
            assert stream is not None
            self.assertEqual(b"a.py,,\n", stream.read())


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
        self.assertIn("for debian-12", said)
        self.assertIn("debian-13", said)
