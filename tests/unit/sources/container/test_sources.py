# SPDX-License-Identifier: Apache-2.0
"""Where a container comes from, as users say it."""

import ddt

from tests import base
from trove_tools import errors
from trove_tools.catalog import loader
from trove_tools.sources.container import lock
from trove_tools.sources.container import sources

_KNOWN = ("mariadb", "mysql", "postgresql")


@ddt.ddt
class ChooseTest(base.TestCase):
    @ddt.data(
        ([], None),
        (["registry"], "registry"),
        (["mysql=oci:/a", "registry"], "oci:/a"),
        (["registry", "mysql=oci:/a"], "oci:/a"),
        (["mariadb=packages"], None),
        (["archive:/a=b"], "archive:/a=b"),
    )
    @ddt.unpack
    def test_choose(self, words: list[str], expected: str | None) -> None:
        found = sources.choose(words, ["mariadb", "mysql"], _KNOWN)
        self.assertEqual(expected, found["mysql"])

    def test_of_none(self) -> None:
        for words, datastores in (
            (["redis=registry"], ["mariadb"]),
            (["registry"], []),
        ):
            error = self.assertRaises(
                errors.UsageError, sources.choose, words, datastores, _KNOWN
            )
            self.assertIn(words[0], error.message)


    def test_of_another_image_of_the_command(self) -> None:
        words = ["mysql=archive:/a", "mariadb=packages"]
        for name, expected in (("mysql", "archive:/a"),
                               ("mariadb", "packages")):  # fmt: skip
            self.assertEqual(
                {name: expected}, sources.choose(words, [name], _KNOWN)
            )


class MakeTest(base.TestCase):
    def make(
        self,
        name: str = "mariadb",
        version: str = "11.8",
        guest: str = "debian-13",
        source: str | None = None,
        locked: dict[str, str] | None = None,
        mirror: str | None = None,
    ) -> sources.Container:
        catalog = loader.load()
        datastore = catalog.datastore(name)
        container = datastore.runtime("container").container
        assert container is not None
        return sources.make(
            datastore, version, container, catalog.guest(guest),
            source=source, mirror=mirror, locked=locked,
        )  # fmt: skip

    def test_packages_where_there_are_some(self) -> None:
        made = self.make()
        self.assertEqual("packages", made.source)
        self.assertEqual("mariadb-server-core", made.packages[0])
        self.assertIn("mariadb:11.8", made.names)
        self.assertRegex(made.digest, "^sha256:")

    def test_suite(self) -> None:
        for version, guest, suite in (
            ("11.8", "debian-13", "trixie"),
            ("10.11", "debian-13", "bookworm"),
            ("10.11", "debian-12", "bookworm"),
        ):
            made = self.make(version=version, guest=guest)
            self.assertEqual(suite, made.suite)

    def test_registry_else(self) -> None:
        made = self.make(guest="ubuntu-24.04")
        self.assertEqual("registry", made.source)
        self.assertEqual("", made.digest)
        self.assertRegex(made.reference, "/mariadb:11.8$")

    def test_digest_of_an_archive_is_its_content(self) -> None:
        file = self.temp_dir() / "a.tar"
        digests = []
        for content in ("1", "1", "2"):
            file.write_text(content)
            digests.append(self.make(source=f"archive:{file}").digest)
        self.assertEqual(digests[0], digests[1])
        self.assertNotEqual(digests[0], digests[2])

    def test_an_archive_that_was_replaced(self) -> None:
        file = self.temp_dir() / "a.tar"
        file.write_text("1")
        made = self.make(source=f"archive:{file}")
        sources.require_unchanged(made)
        file.write_text("2")
        error = self.assertRaises(
            errors.BuildError, sources.require_unchanged, made
        )
        self.assertIn(made.digest, error.message)
        self.assertIn("build again", error.hint or "")

    def test_colon_in_the_path_of_an_archive(self) -> None:
        file = self.temp_dir() / "a:1.tar"
        file.touch()
        error = self.assertRaises(
            errors.UsageError, self.make, source=f"archive:{file}"
        )
        self.assertIn("colon", error.hint or "")

    def test_locked(self) -> None:
        reference = self.make("mysql", "8.4").reference
        made = self.make("mysql", "8.4", locked={reference: "sha256:1"})
        self.assertEqual("sha256:1", made.digest)

    def test_locked_knows_nothing_of_it(self) -> None:
        error = self.assertRaises(
            errors.UsageError, self.make, "mysql", "8.4", locked={}
        )
        self.assertIn("mysql:8.4", error.message)
        self.assertIn("--lock", error.hint or "")

    def test_credentials_are_for_skopeo(self) -> None:
        error = self.assertRaises(
            errors.UsageError, self.make, "mysql", "8.4",
            mirror="https://ann:secret@m.example",
        )  # fmt: skip
        self.assertNotIn("secret", f"{error.message}{error.hint}")
        self.assertIn("skopeo login", error.hint or "")

    def test_no_packages(self) -> None:
        error = self.assertRaises(
            errors.UsageError, self.make, "mysql", "8.4", source="packages"
        )
        self.assertIn("no packages of mysql 8.4", error.message)

    def test_packages_of_others_are_named(self) -> None:
        error = self.assertRaises(
            errors.UsageError,
            self.make,
            guest="ubuntu-24.04",
            source="packages",
        )
        self.assertIn("mariadb:11.8 on debian-13", error.hint or "")


class LockTest(base.TestCase):
    def test_adds(self) -> None:
        file = self.temp_dir() / "lock.json"
        lock.write(file, {"b": "2"})
        lock.write(file, {"a": "1"})
        self.assertEqual({"a": "1", "b": "2"}, lock.read(file))

    def test_no_lock_file(self) -> None:
        file = self.temp_dir() / "lock.json"
        for text in ("", "[]", '{"lock_version": 2}'):
            file.write_text(text)
            error = self.assertRaises(errors.UsageError, lock.read, file)
            self.assertIn(str(file), error.message)
