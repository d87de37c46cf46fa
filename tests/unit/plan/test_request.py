# SPDX-License-Identifier: Apache-2.0
"""From the command line to a request."""

import base64
import dataclasses
import datetime
import pathlib
import struct

import ddt

from tests import base
from tests.unit.plan import samples
from trove_tools import errors
from trove_tools.catalog import loader
from trove_tools.host import debian
from trove_tools.plan import mirrors
from trove_tools.plan import plan
from trove_tools.plan import request
from trove_tools.sources.container import skopeo


@ddt.ddt
class RequestTest(base.TestCase):
    def setUp(self) -> None:
        super().setUp()
        self.catalog = loader.load()
        # why the registry does not answer that is asked
        self.silence = ""
        self.patch_object(skopeo, "unreachable", lambda *_: self.silence)

    def make(self, *words: str, **changes: object) -> request.Request:
        return request.make(words, samples.settings(**changes), self.catalog)

    def test_defaults(self) -> None:
        made = self.make("mariadb")
        (choice,) = made.choices
        self.assertEqual("11.8", choice.version.version)
        self.assertEqual("container", choice.runtime.name)
        self.assertEqual("packages", choice.container.source)
        self.assertEqual("debian-13", made.guest.name)
        self.assertEqual("pypi", made.agent.source)
        self.assertEqual(choice.datastore.min_disk, made.disk_size)

    def test_unattended_upgrades(self) -> None:
        self.assertFalse(self.make("mariadb").unattended_upgrades)
        made = self.make("redis", unattended_upgrades=True)
        self.assertTrue(made.unattended_upgrades)
        planned = plan.make(made)
        self.assertTrue(planned.as_dict()["unattended_upgrades"])
        self.assertIn("trove-unattended-upgrades", planned.layers[-1].elements)
        error = self.assertRaises(
            errors.UsageError,
            self.make,
            "redis",
            guest="rocky-9",
            unattended_upgrades=True,
            unsupported=True,
        )
        self.assertIn("guests of rocky-9 do not have", error.message)

    def test_native_needs_no_container(self) -> None:
        (choice,) = self.make("mariadb", runtime="native").choices
        self.assertEqual("native", choice.runtime.name)
        self.assertIsNone(choice.container)

    def test_backups_where_packages_make_the_container(self) -> None:
        for words, changes, expected in (
            (["mariadb"], {}, ["db-backup-mariadb:11.8"]),
            (["mariadb"], {"with_backup": False}, []),
            (["mariadb"], {"container_source": ["registry"]}, []),
            (
                ["mariadb"],
                {"container_source": ["registry"], "with_backup": True},
                ["db-backup-mariadb:11.8"],
            ),
            (["mysql"], {}, []),
            (["mariadb"], {"runtime": "native"}, []),
        ):
            found = [
                name
                for choice in self.make(*words, **changes).choices
                if choice.backup
                for name in choice.backup.names
            ]
            self.assertEqual(expected, found, (words, changes))

    def test_backups_that_no_packages_take(self) -> None:
        error = self.assertRaises(
            errors.UsageError, self.make, "mysql", with_backup=True
        )
        self.assertIn("--with-backup: no packages make", error.message)

    def test_local_manifests_where_there_are_containers(self) -> None:
        self.assertTrue(self.make("mariadb").local_manifests)
        for changes in ({"runtime": "native"}, {"local_manifests": False}):
            self.assertFalse(self.make("mariadb", **changes).local_manifests)

    def test_several(self) -> None:
        made = self.make("mariadb", "postgresql", "mysql")
        self.assertEqual(
            ["packages", "packages", "registry"],
            [each.container.source for each in made.choices],
        )
        self.assertEqual("debian-13", made.guest.name)

    def test_several_share_a_guest(self) -> None:
        for runtime, system in (
            ("native", "debian-12"), ("container", "debian-13"),
        ):  # fmt: skip
            made = self.make("mariadb:10.11", "postgresql:15", runtime=runtime)
            self.assertEqual(system, made.guest.name)

    def test_several_without_a_common_guest(self) -> None:
        error = self.assertRaises(
            errors.UsageError,
            self.make,
            "mariadb:10.11",
            "mariadb:11.8",
            runtime="native",
        )
        self.assertIn("no guest system has mariadb 10.11", error.message)

    def test_same_datastore_twice(self) -> None:
        error = self.assertRaises(
            errors.UsageError, self.make, "mysql:8.0", "mysql:8.4"
        )
        self.assertIn("without --together", error.hint or "")

    def test_source_of_one_of_several(self) -> None:
        layout = self.temp_dir()
        (layout / "index.json").write_text("{}")
        made = self.make(
            "mariadb", "mysql", container_source=[f"mysql=oci:{layout}"]
        )
        self.assertEqual(
            ["packages", "oci"],
            [each.container.source for each in made.choices],
        )

    def test_version_chooses_the_guest(self) -> None:
        made = self.make("mariadb:10.11", runtime="native")
        self.assertEqual("debian-12", made.guest.name)

    def test_packages_of_another_suite_in_the_newest_guest(self) -> None:
        for word, suite in (
            ("mariadb:11.8", "trixie"),
            ("mariadb:10.11", "bookworm"),
            ("mysql:9.7", "sid"),
        ):
            made = self.make(word)
            self.assertEqual("debian-13", made.guest.name)
            container = made.choices[0].container
            assert container is not None
            self.assertEqual(suite, container.suite)

    def test_version_within_reach(self) -> None:
        asks: dict[str, object]
        for word, silence, asks, expected in (
            ("mysql", "", {}, "8.4"),
            ("mysql", "no route", {}, "9.7"),
            ("mysql:8.4", "no route", {}, "8.4"),
            ("mysql", "no route", {"container_source": ["registry"]}, "8.4"),
            ("mysql", "", {"container_source": ["mysql=packages"]}, "9.7"),
            # packages make it for Debian 13 alone
            ("mysql", "no route", {"guest": "debian-12"}, "8.4"),
            ("mysql", "no route", {"runtime": "native"}, "8.4"),
            ("postgresql", "no route", {}, "17"),
        ):
            self.silence = silence
            made = self.make(word, **asks)
            (choice,) = made.choices
            self.assertEqual(expected, choice.version.version, (word, asks))
            reasons = plan.make(made).reasons
            self.assertEqual(expected == "9.7", bool(reasons))
            if silence and reasons:
                (reason,) = reasons
                self.assertIn("instead of 8.4, the default: no route", reason)

    def test_why_a_version_was_chosen_is_not_in_the_digest(self) -> None:
        self.silence = "no route"
        chosen, named = (
            plan.make(self.make(word)) for word in ("mysql", "mysql:9.7")
        )
        self.assertNotEqual(chosen, named)
        self.assertEqual(chosen.digest(), named.digest())

    def test_guest_chooses_the_version(self) -> None:
        made = self.make("mariadb", guest="debian-12")
        self.assertEqual("10.11", made.choices[0].version.version)

    def test_user_values_win_over_the_host(self) -> None:
        made = self.make("mariadb", mirror="http://m", security_mirror="h")
        self.assertEqual("http://m", made.mirrors.archive)
        self.assertEqual("h", made.mirrors.security)

    @ddt.data("mirror", "security_mirror")
    def test_no_passwords_of_mirrors(self, option: str) -> None:
        error = self.assertRaises(
            errors.UsageError,
            self.make,
            "mariadb",
            **{option: "https://me:secret@mirror/debian"},
        )
        self.assertIn(f"--{option.replace('_', '-')}", error.message)
        self.assertNotIn("secret", f"{error.message}{error.hint}")

    def test_no_passwords_in_variables(self) -> None:
        self.set_env(DIB_X="http://me:secret@mirror/")
        error = self.assertRaises(errors.UsageError, self.make, "mariadb")
        self.assertIn("DIB_X", error.message)
        self.assertNotIn("secret", f"{error.message}{error.hint}")

    def test_dib_variables_of_the_user(self) -> None:
        self.set_env(DIB_OFFLINE="1")
        self.assertEqual({"DIB_OFFLINE": "1"}, self.make("mariadb").inherited)

    @ddt.data(
        ("mariabd", {}, "did you mean mariadb?"),
        ("mariadb:11.9", {}, "did you mean 11.8?"),
        ("mariadb:11.8", {"guest": "debian-12"}, "debian-13"),
        ("mariadb", {"guest": "debian-14"}, "did you mean debian-1"),
        ("mariadb", {"runtime": "podman"}, "native"),
        ("mysql:8.4", {"container_source": ["packages"]}, "registry"),
        ("mariadb", {"container_source": ["podman"]}, "archive:PATH"),
        ("mariadb", {"container_source": ["registry:x"]}, "archive:PATH"),
        ("mariadb", {"container_source": ["archive:/no"]}, "docker save"),
        ("mariadb", {"container_source": ["oci:/no"]}, "index.json"),
        ("mysql", {"locked": pathlib.Path("/no")}, "--lock"),
        ("mariadb", {"arch": "sparc"}, "amd64"),
        ("mariadb", {"agent": "/nowhere"}, "git+"),
        ("mariadb", {"constraints": "/nowhere"}, "a file"),
        ("mariadb", {"elements_path": "/nowhere"}, "ELEMENTS_PATH"),
        ("mariadb", {"element": ["trove-gest"]}, "mean trove-guest?"),
        ("mariadb", {"name": "a/b"}, "--output-dir"),
        ("mariadb", {"name": "a\nb"}, "another name"),
        ("mariadb", {"guest_user": "root"}, "small letters"),
        ("mariadb", {"guest_user": "a b"}, "small letters"),
        ("mariadb", {"source_date_epoch": 10**12}, "date +%s"),
        ("mariadb", {"name": " "}, "another name"),
        ("mariadb", {"name": "\u00e9" * 120}, "a shorter name"),
    )
    @ddt.unpack
    def test_wrong(self, word: str, changes: dict, hint: str) -> None:
        error = self.assertRaises(
            errors.UsageError, self.make, word, **changes
        )
        self.assertIn(hint, error.hint or "")

    def test_disk_too_small(self) -> None:
        error = self.assertRaises(
            errors.UsageError, self.make, "mariadb", disk_size=1
        )
        self.assertIn("at least 4 GiB", error.message)

    @ddt.data(("mbr", 2048), ("gpt", 16384))
    @ddt.unpack
    def test_disk_too_large(self, table: str, size: int) -> None:
        changes = {"partition_table": table}
        self.make("mariadb", disk_size=size - 1, **changes)
        error = self.assertRaises(
            errors.UsageError, self.make, "mariadb", disk_size=size, **changes
        )
        self.assertIn(f"at most {size - 1} GiB", error.message)


class TimeTest(base.TestCase):
    """Packages of a day, and the times of files."""

    def make(self, **changes: object) -> request.Request:
        def of(mirror: str, suite: str, wanted: datetime.datetime) -> str:
            self.asked.append((mirror, suite))
            return f"{mirror}/{mirrors.format_date(wanted)}"

        self.asked: list[tuple[str, str]] = []
        self.patch_object(mirrors, "find_snapshot", of)
        settings = samples.settings(
            **{"mirror": "http://m", "security_mirror": "http://s", **changes}
        )
        return request.make(["mariadb"], settings, loader.load())

    def test_no_time_of_its_own(self) -> None:
        made = self.make()
        self.assertIsNone(made.epoch)
        self.assertEqual([], self.asked)
        (environment, *_) = (
            each.environment for each in plan.make(made).layers
        )
        self.assertNotIn("SOURCE_DATE_EPOCH", environment)
        self.assertNotIn("DIB_TROVE_SNAPSHOT", environment)

    def test_snapshot(self) -> None:
        made = self.make(snapshot="2026-01-31")
        self.assertEqual(
            [("http://m", "trixie"), ("http://s", "trixie-security")],
            self.asked,
        )
        for layer in plan.make(made).layers:
            self.assertEqual(
                "1769817600", layer.environment["SOURCE_DATE_EPOCH"]
            )
        base = plan.make(made).layers[0].environment
        self.assertEqual("20260131T000000Z", base["DIB_TROVE_SNAPSHOT"])
        self.assertEqual(
            "http://m/20260131T000000Z", base["DIB_DISTRIBUTION_MIRROR"]
        )
        self.assertEqual(
            "http://s/20260131T000000Z", base["DIB_DEBIAN_SECURITY_MIRROR"]
        )

    def test_the_time_that_is_given_counts(self) -> None:
        made = self.make(snapshot="2026-01-31", source_date_epoch=7)
        self.assertEqual(7, made.epoch)

    def test_no_date(self) -> None:
        error = self.assertRaises(
            errors.UsageError, self.make, snapshot="tomorrow"
        )
        self.assertIn("--snapshot tomorrow: not a date", error.message)

    def test_other_guest_systems(self) -> None:
        found = loader.load().guest("debian-13")
        other = dataclasses.replace(found, distribution="rocky")
        date = mirrors.parse_date("2026-01-31")
        error = self.assertRaises(
            errors.UsageError, mirrors.find_snapshots, debian.Mirrors("http://m"),
            other, date,
        )  # fmt: skip
        self.assertIn("no snapshots of rocky's packages", error.message)
        error = self.assertRaises(
            errors.UsageError,
            mirrors.find_snapshots, debian.Mirrors(), found,
            date,
        )  # fmt: skip
        self.assertIn("name no mirror", error.message)


def a_key(kind: str = "ssh-ed25519", inside: str = "ssh-ed25519") -> str:
    blob = struct.pack(">I", len(inside)) + inside.encode() + bytes(36)
    return f"{kind} {base64.b64encode(blob).decode()}"


@ddt.ddt
class DevKeyTest(base.TestCase):
    def setUp(self) -> None:
        super().setUp()
        self.file = self.temp_dir() / "key"

    def refused(self, text: str) -> errors.UsageError:
        self.file.write_text(text)
        error = self.assertRaises(
            errors.UsageError, request.read_public_key, self.file
        )
        self.assertTrue(error.hint)
        return error

    def test_the_comment_stays_behind(self) -> None:
        self.file.write_text(f"{a_key()} ann@laptop\n")
        self.assertEqual(a_key(), request.read_public_key(self.file))

    def test_a_private_key(self) -> None:
        error = self.refused("-----BEGIN OPENSSH PRIVATE KEY-----\nc2VjcmV0\n")
        self.assertIn("this is a private key", error.message)
        self.assertNotIn("c2VjcmV0", f"{error.message}{error.hint}")

    @ddt.data(
        "", "ssh-ed25519", "ssh-ed25519 !!!", a_key("ssh-rsa"),
        a_key("ssh-x", "ssh-x"), f"{a_key()}\n{a_key()}", "\xff\x00",
    )  # fmt: skip
    def test_no_key(self, text: str) -> None:
        self.assertIn("not a public key", self.refused(text).message)

    def test_no_file(self) -> None:
        error = self.assertRaises(
            errors.UsageError, request.read_public_key, self.file
        )
        self.assertIn("cannot be read: there is no such file", error.message)

    def test_an_image_for_development(self) -> None:
        self.file.write_text(a_key())
        made = plan.make(
            request.make(
                ["mariadb"], samples.settings(dev=self.file), loader.load()
            )
        )
        self.assertTrue(made.dev)
        self.assertTrue(made.name.endswith("-dev"))
        # the layers below are everybody's
        *shared, last = made.layers
        self.assertIn("trove-dev", last.elements)
        self.assertEqual(a_key(), last.environment["DIB_TROVE_DEV_KEY"])
        usual = plan.make(
            request.make(["mariadb"], samples.settings(), loader.load())
        )
        self.assertFalse(usual.dev)
        self.assertEqual(
            [each.digest for each in usual.layers[:-1]],
            [each.digest for each in shared],
        )
        self.assertNotEqual(usual.digest(), made.digest())
