# SPDX-License-Identifier: Apache-2.0
"""A package that the user brings: looked into before anything is built."""

import pathlib
import typing

import ddt

from tests import base
from tests.standins import packages
from tests.unit.plan import samples
from trove_tools import errors
from trove_tools.catalog import loader
from trove_tools.host import digests
from trove_tools.plan import plan
from trove_tools.plan import request


@ddt.ddt
class PackageTest(base.TestCase):
    def setUp(self) -> None:
        super().setUp()
        self.place = self.temp_dir()
        self.catalog = loader.load()

    def deb(self, name: str, version: str, arch: str = "amd64") -> str:
        return str(packages.deb(self.place, name, version, {}, arch=arch))

    def request(
        self, word: str, package: str | None, **more: typing.Any
    ) -> request.Request:
        settings = samples.settings(
            package=[package] if package else [], unsupported=True, **more
        )
        return request.make([word], settings, self.catalog)

    def refused(
        self, word: str, package: str | None, **more: typing.Any
    ) -> str:
        error = self.assertRaises(
            errors.UsageError, self.request, word, package, **more
        )
        self.assertTrue(error.hint)
        return f"{error.message}\n{error.hint}"

    def test_right_one(self) -> None:
        file = self.deb("couchbase-server-community", "7.6.2-1")
        digest = digests.compute(pathlib.Path(file))["sha256"]
        made = plan.make(
            self.request("couchbase", file, package_sha256=[digest.upper()])
        )
        self.assertEqual(
            "couchbase-server-community", made.datastores[0]["packages"][0]
        )
        self.assertIn("trove-package-file", made.layers[2].elements)

    def test_where_it_lies_does_not_change_the_digest(self) -> None:
        first = self.deb("vertica", "24.4.0-1")
        other = self.temp_dir() / "other.deb"
        other.write_bytes(pathlib.Path(first).read_bytes())
        self.assertEqual(
            plan.make(self.request("vertica", first)).digest(),
            plan.make(self.request("vertica", f"vertica={other}")).digest(),
        )

    def test_none(self) -> None:
        said = self.refused("couchbase", None)
        self.assertIn("--package couchbase=FILE|URL", said)
        self.assertIn("https://www.couchbase.com", said)

    def test_no_such_file(self) -> None:
        self.assertIn(
            "there is no such file", self.refused("vertica", "/nowhere.deb")
        )

    def test_wrong_digest(self) -> None:
        said = self.refused(
            "vertica", self.deb("vertica", "24.4.0-1"),
            package_sha256=["0" * 64],
        )  # fmt: skip
        self.assertIn("is not what was meant", said)

    def test_no_digest_at_all(self) -> None:
        said = self.refused(
            "vertica", self.deb("vertica", "24.4.0-1"), package_sha256=["12"]
        )
        self.assertIn("64 hexadecimal digits", said)

    def test_url_without_digest(self) -> None:
        said = self.refused("vertica", "https://vendor.example/x.deb")
        self.assertIn("--package-sha256 vertica=DIGEST", said)

    def test_wrong_architecture(self) -> None:
        said = self.refused("vertica", self.deb("vertica", "24.4.0", "arm64"))
        self.assertIn("is for architecture arm64, and the image for", said)

    def test_other_package(self) -> None:
        said = self.refused("vertica", self.deb("mariadb-server", "24.4.0"))
        self.assertIn("is a package of mariadb-server, not of vertica", said)

    def test_other_version(self) -> None:
        said = self.refused("vertica", self.deb("vertica", "24.40.1"))
        self.assertIn("has vertica 24.40.1, not 24.4", said)

    @ddt.data(b"", b"<html>please log in</html>", b"!<arch>\n" + b"x" * 60)
    def test_no_package(self, content: bytes) -> None:
        file = self.place / "vertica.deb"
        file.write_bytes(content)
        said = self.refused("vertica", str(file))
        self.assertIn("is not an intact deb package", said)

    def test_cut_short(self) -> None:
        file = pathlib.Path(self.deb("vertica", "24.4.0"))
        file.write_bytes(file.read_bytes()[:200])
        said = self.refused("vertica", str(file))
        self.assertIn("is not an intact deb package", said)

    def test_archive(self) -> None:
        file = packages.db2(self.place, "11.5.9")
        made = plan.make(self.request("db2", str(file)))
        self.assertNotIn("trove-package-file", made.layers[2].elements)

    @ddt.data(
        ({"top": "client"}, "is a package of client, not of server_dec"),
        ({"machine": "linuxppc64le"}, "for architecture another one"),
        ({"version": "12.1.0"}, "has db2 12.1.0, not 11.5"),
    )
    @ddt.unpack
    def test_wrong_archive(self, what: dict[str, str], said: str) -> None:
        version = what.pop("version", "11.5.9")
        file = packages.db2(self.place, version, **what)
        self.assertIn(said, self.refused("db2:11.5", str(file)))

    def test_archive_of_something_else(self) -> None:
        file = self.place / "v11.5.9_linuxx64_x.tar.gz"
        file.write_bytes(b"no archive")
        said = self.refused("db2", str(file))
        self.assertIn("is not an intact archive", said)

    def test_for_one_that_needs_none(self) -> None:
        said = self.refused("redis", "redis=/x.deb")
        self.assertIn("redis is not installed from a file", said)

    def test_rpm(self) -> None:
        lead = b"\xed\xab\xee\xdb\x03\x00\x00\x00\x00\x01"
        lead += b"vertica-24.4.0-1".ljust(66, b"\0") + bytes(20)
        file = self.place / "vertica.rpm"
        file.write_bytes(lead)
        self.request("vertica", str(file), guest="rocky-9")
        said = self.refused("vertica", str(file), guest="debian-12")
        self.assertIn("is not an intact deb package", said)


@ddt.ddt
class OptionsTest(base.TestCase):
    @ddt.data(
        ({"repository": ["http://x"]}, "--repository DATASTORE=http://x"),
        ({"repository": ["mysl=http://x"]}, "did you mean mysql?"),
        ({"repository": ["mysql=/srv/x"]}, "not an http or https URL"),
        ({"repository": ["mysql=http://a:b@x"]}, "credentials"),
        ({"repository": ["mysql=http://token@x"]}, "credentials"),
        ({"repository": ["redis=http://x"]}, "--mirror"),
        ({"repository_key": ["mysql=/nowhere"]}, "there is no such file"),
        ({"repository_fingerprint": ["mysql=12"]}, "40 hexadecimal digits"),
    )
    @ddt.unpack
    def test_refused(self, option: dict[str, list[str]], said: str) -> None:
        datastore = "redis" if "redis" in str(option) else "mysql"
        settings = samples.settings(runtime="native", **option)
        error = self.assertRaises(
            errors.UsageError,
            request.make, [datastore], settings, loader.load(),
        )  # fmt: skip
        self.assertIn(said, f"{error.message}\n{error.hint}")

    def test_a_mirror_takes_the_vendors_place(self) -> None:
        settings = samples.settings(
            runtime="native",
            repository=["mysql=http://mirror.example/mysql/"],
            repository_fingerprint=["mysql=" + "ab " * 20],
        )
        made = request.make(["mysql"], settings, loader.load())
        native = made.choices[0].native
        assert native is not None and native.repository is not None
        self.assertEqual(
            "http://mirror.example/mysql", native.repository.base
        )
        self.assertEqual("https://repo.mysql.com", native.repository.vendor)
        self.assertEqual(("AB" * 20,), native.repository.fingerprints)
