# SPDX-License-Identifier: Apache-2.0
"""A vendor's repository: what is taken from it, and what is not believed."""

import dataclasses

import ddt

from tests.standins import packages
from tests.unit.sources.native import base
from trove_tools import errors
from trove_tools.sources.native import apt


class TrustedTest(base.TestCase):
    def test_what_the_elements_get(self) -> None:
        key = self.key()
        self.publish(key)
        place = self.prepare(self.native(key))
        self.assertIn(
            "Signed-By: /usr/share/keyrings/trove-mysql.gpg\n",
            (place / "build.sources").read_text(),
        )
        self.assertIn(
            "Package: mysql-community-server\nPin: version 8.4.9-1\n",
            (place / "pin").read_text(),
        )
        self.assertIn(
            "Package: *\nPin: release o=Stand-in,l=Stand-in\n"
            "Pin-Priority: -1\n",
            (place / "pin").read_text(),
        )
        self.assertEqual(
            "mysql-community-server\nopenjdk\n",
            (place / "packages").read_text(),
        )
        # the mirror is this host's, not the guests'
        self.assertFalse((place / "guest.sources").exists())
        self.assertEqual(
            self.debs[0].read_bytes(),
            (self.place / "cache" / self.debs[0].name).read_bytes(),
        )

    def test_the_vendors_own_stays_in_the_guest(self) -> None:
        key = self.key()
        self.publish(key)
        native = self.native(key, vendor=self.server.url)
        kept = (self.prepare(native) / "guest.sources").read_text()
        self.assertIn(f"URIs: {self.server.url}\n", kept)

    def test_signature_in_a_file_of_its_own(self) -> None:
        key = self.key()
        self.publish(key, detached=True)
        self.prepare(self.native(key))

    def test_one_of_several_keys(self) -> None:
        key, other = self.key(), self.key()
        self.publish(key)
        both = key.file.read_bytes() + other.file.read_bytes()
        key.file.write_bytes(both)
        place = self.prepare(
            self.native(key, fingerprints=(key.fingerprint, "0" * 40))
        )
        # what is not pinned is not for apt either
        self.assertLess((place / "key.gpg").stat().st_size, len(both) / 2)

    def test_the_newest_of_the_version(self) -> None:
        for version in ("8.4.10-1", "9.0.1-1"):
            self.debs.append(
                packages.deb(self.place, "mysql-community-server", version, {})
            )
        key = self.key()
        self.publish(key)
        self.prepare(self.native(key))
        self.assertIn("8.4.10-1", "".join(self.logged))

    def test_second_build_downloads_nothing(self) -> None:
        key = self.key()
        self.publish(key)
        self.prepare(self.native(key))
        for file in self.www.glob("pool/**/*.deb"):
            file.unlink()
        self.prepare(self.native(key))


class RefusedTest(base.TestCase):
    """Each of these ends before anything is built."""

    def refused(self, native: base.sources.Native) -> str:
        error = self.assertRaises(errors.BuildError, self.prepare, native)
        self.assertTrue(error.hint, error.message)
        return error.message

    def test_wrong_key(self) -> None:
        key, other = self.key(), self.key()
        self.publish(other)
        said = self.refused(self.native(other, key=str(key.file)))
        self.assertIn(f"has {key.fingerprint}", said)
        self.assertIn(f"pinned is {other.fingerprint}", said)

    def test_signed_by_another_key(self) -> None:
        key, other = self.key(), self.key()
        self.publish(other)
        said = self.refused(self.native(key))
        self.assertIn("is signed by another key", said)
        self.assertIn(other.fingerprint[-16:], said)

    def test_signed_by_a_key_that_came_along(self) -> None:
        key, other = self.key(), self.key()
        self.publish(other)
        key.file.write_bytes(
            key.file.read_bytes() + other.file.read_bytes()
        )
        self.refused(self.native(key))

    def test_expired_key(self) -> None:
        key = self.key(expired=True)
        self.publish(key)
        self.assertIn(
            f"key {key.fingerprint} from {key.file} expired on 2020-01-02",
            self.refused(self.native(key)),
        )

    def test_not_signed(self) -> None:
        self.publish(None)
        said = self.refused(self.native(self.key()))
        self.assertIn("Release is not signed", said)

    def test_no_signature_around_it(self) -> None:
        key = self.key()
        self.publish(None)
        release = self.www / "dists" / base.SUITE / "Release"
        release.rename(release.with_name("InRelease"))
        self.assertIn("is not signed", self.refused(self.native(key)))

    def test_release_changed_afterwards(self) -> None:
        key = self.key()
        self.publish(key)
        release = self.www / "dists" / base.SUITE / "InRelease"
        text = release.read_text().replace("Label: Stand-in", "Label: Mine")
        release.write_text(text)
        self.assertIn(
            "was changed after it had been signed",
            self.refused(self.native(key)),
        )

    def test_index_changed_afterwards(self) -> None:
        key = self.key()
        self.publish(key)
        (index,) = self.www.glob("dists/**/Packages.xz")
        index.write_bytes(index.read_bytes() + b"x")
        self.assertIn(
            "is not what the repository's signed Release file says",
            self.refused(self.native(key)),
        )

    def test_package_changed_afterwards(self) -> None:
        key = self.key()
        self.publish(key)
        (package,) = self.www.glob("pool/**/*.deb")
        package.write_bytes(package.read_bytes() + b"x")
        self.assertIn("is not what was meant", self.refused(self.native(key)))
        self.assertEqual([], list((self.place / "cache").iterdir()))

    def test_out_of_date(self) -> None:
        key = self.key()
        self.publish(key, valid_until=86400)
        self.assertIn(
            "was valid until Fri, 02 Jan 1970", self.refused(self.native(key))
        )

    def test_other_version(self) -> None:
        key = self.key()
        self.publish(key)
        native = dataclasses.replace(self.native(key), version="8.0")
        self.assertIn(
            "has no mysql-community-server 8.0 for amd64, but 8.4.9-1",
            self.refused(native),
        )

    def test_no_component(self) -> None:
        key = self.key()
        self.publish(key, component="other")
        self.assertIn("no component main", self.refused(self.native(key)))

    def test_no_repository(self) -> None:
        self.assertIn(
            "there is no package repository at",
            self.refused(self.native(self.key())),
        )

    def test_no_server(self) -> None:
        self.server.close()
        native = self.native(self.key())
        error = self.assertRaises(errors.BuildError, self.prepare, native)
        self.assertIn("cannot be reached", error.message)
        self.assertIn("--repository DATASTORE=URL", error.hint or "")

    def test_cannot_be_told_from_the_distribution(self) -> None:
        key = self.key()
        self.publish(key, origin="Debian")
        native = self.native(key)
        out = self.temp_dir()
        error = self.assertRaises(
            errors.BuildError,
            base.prepare.prepare,
            native,
            out,
            cache=self.place / "cache",
            mirror=f"{self.server.url}/debian",
            log=self.logged.append,
        )
        self.assertIn("cannot distinguish the packages", error.message)


@ddt.ddt
class VersionsTest(base.base.TestCase):
    @ddt.data(
        ("1.0", "1.0"), ("1.0~rc1", "1.0"), ("1.9", "1.10"), ("9", "1:1"),
        ("1.0", "1.0-1"), ("1.0-1", "1.0-1+b1"), ("1.0a", "1.0+"),
        ("8.4.9-1", "8.4.10-1"), ("1.0~~", "1.0~"),
    )  # fmt: skip
    @ddt.unpack
    def test_order(self, low: str, high: str) -> None:
        found = apt.compare(low, high)
        back = apt.compare(high, low)
        if low == high:
            self.assertEqual((0, 0), (found, back))
        else:
            self.assertLess(found, 0)
            self.assertGreater(back, 0)
