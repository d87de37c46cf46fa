# SPDX-License-Identifier: Apache-2.0
"""What mmdebstrap is told, and what is made of its failures."""

import collections.abc
import contextlib
import dataclasses
import io
import os
import pathlib
import tarfile
import typing

from tests import base
from trove_tools import errors
from trove_tools.host import debian
from trove_tools.host import process
from trove_tools.sources import fetch
from trove_tools.sources.container import recipes
from trove_tools.sources.container import rootfs
from trove_tools.sources.network import session

CONDITIONS = rootfs.Conditions(
    "debian", "amd64", debian.Mirrors("http://m.example", "http://s.example")
)


class RecipesTest(base.TestCase):
    def test_all_are_whole(self) -> None:
        for directory in recipes.DIRECTORY.iterdir():
            if not directory.is_dir():
                continue
            recipe = recipes.read(directory.name)
            config = recipe.configuration("17")
            self.assertEqual("1001:1001", config["User"])
            places = dict(recipe.files())
            entrypoint = places["usr/local/bin/docker-entrypoint.sh"]
            self.assertTrue(entrypoint.stat().st_mode & 0o100)

    def test_version_in_the_environment(self) -> None:
        config = recipes.read("postgresql").configuration("17")
        self.assertIn("/usr/lib/postgresql/17/bin", config["Env"][0])

    def test_of_one_command(self) -> None:
        recipe = recipes.plain(("valkey-server", "--dir", "/d"), "/d", 6379)
        self.assertEqual([], list(recipe.files()))
        config = recipe.configuration("9.1")
        self.assertEqual(
            ["valkey-server", "--dir", "/d"], config["Entrypoint"]
        )
        self.assertEqual({"6379/tcp": {}}, config["ExposedPorts"])
        self.assertEqual("1001:1001", config["User"])
        self.assertNotIn("Cmd", config)

    def test_unknown(self) -> None:
        error = self.assertRaises(errors.UsageError, recipes.read, "mariabd")
        self.assertIn("did you mean mariadb?", error.hint or "")


class RootfsTest(base.TestCase):
    # whether this host's apt takes an index past its date
    old = False

    def make(self, run: typing.Any, **changes: typing.Any) -> typing.Any:
        self.patch_object(process, "run", run)
        self.patch_object(debian, "takes_old_index", lambda: self.old)
        recipe = changes.pop("recipe", recipes.read("mariadb"))
        suite = changes.pop("suite", "trixie")
        return rootfs.make(
            recipe,
            suite,
            ["server-core"],
            dataclasses.replace(CONDITIONS, **changes),
            self.temp_dir(),
        )

    def argv(self, **changes: typing.Any) -> list[str]:
        return self.calls(**changes)[-1]

    def calls(self, **changes: typing.Any) -> list[list[str]]:
        seen: list[list[str]] = []

        def run(argv: list[str], **_: typing.Any) -> process.Completed:
            seen.append([str(word) for word in argv])
            return process.Completed(0, "", "")

        self.patch_object(debian, "_KEYRINGS", self.keyrings())
        self.make(run, **changes)
        return seen

    def keyrings(self) -> pathlib.Path:
        directory = self.temp_dir()
        (directory / "debian-archive-keyring.gpg").touch()
        return directory

    def test_a_users_programs_are_not_found(self) -> None:
        self.set_env(PATH="/home/me/.pyenv/shims:/usr/bin")
        (path,) = [word for word in self.argv() if word.startswith("PATH=")]
        self.assertNotIn("/home", path)
        self.assertIn("/usr/sbin", path)

    def test_signed_sources(self) -> None:
        lines = [word for word in self.argv() if word.startswith("deb ")]
        self.assertEqual(3, len(lines))
        for line in lines:
            self.assertIn("debian-archive-keyring.gpg", line)
        self.assertTrue(lines[0].endswith("http://m.example trixie main"))
        self.assertTrue(
            lines[2].endswith("http://s.example trixie-security main")
        )

    def test_a_suite_that_is_never_released(self) -> None:
        argv = self.argv(suite="sid")
        (line,) = [word for word in argv if word.startswith("deb ")]
        self.assertTrue(line.endswith("http://m.example sid main"))
        self.assertIn("sid", argv)
        self.assertNotIn("trixie", argv)

    def test_directories_of_data(self) -> None:
        self.assertIn("TROVE_DATA=var/lib/mysql", self.argv())
        recipe = recipes.plain(("x",), "", 1)
        self.assertIn("TROVE_DATA=", self.argv(recipe=recipe))

    def test_the_caller_may_change_the_root(self) -> None:
        for user, owned in ((1000, True), (0, False)):
            seen: list[list[str]] = []

            def run(
                argv: list[str],
                seen: list[list[str]] = seen,
                **_: typing.Any,
            ) -> process.Completed:
                seen.append([str(word) for word in argv])
                return process.Completed(0, "", "")

            self.patch_object(os, "geteuid", lambda user=user: user)
            self.patch_object(os, "getegid", lambda user=user: user)
            self.patch_object(debian, "_KEYRINGS", self.keyrings())
            root, _ = self.make(run)
            self.assertEqual(
                [["sudo", "-n", "chown", "1000:1000", str(root)]]
                if owned
                else [],
                seen[1:],
            )

    def test_without_a_mirror_mmdebstrap_knows(self) -> None:
        argv = self.argv(mirrors=debian.Mirrors())
        self.assertTrue(argv[-1].endswith("root.tar"))

    def test_without_security_updates_of_its_own(self) -> None:
        argv = self.argv(mirrors=debian.Mirrors("http://m.example"))
        lines = [word for word in argv if word.startswith("deb ")]
        self.assertEqual(2, len(lines))

    def test_time(self) -> None:
        self.assertIn("SOURCE_DATE_EPOCH=42", self.argv(epoch=42))

    def test_packages_of_an_earlier_day(self) -> None:
        self.assertNotIn("Valid-Until", " ".join(self.argv()))
        self.assertIn(
            "Check-Valid-Until", " ".join(self.argv(is_snapshot=True))
        )
        self.old = True
        self.assertIn("Check-Valid-Until", " ".join(self.argv()))

    def test_no_keyring(self) -> None:
        self.patch_object(debian, "_KEYRINGS", self.temp_dir())
        error = self.assertRaises(
            errors.MissingToolError, self.make, lambda *a, **k: None
        )
        self.assertIn("debian-archive-keyring", error.hint or "")

    def test_failure_tells_the_reason_only(self) -> None:
        def run(argv: typing.Any, **_: typing.Any) -> typing.NoReturn:
            raise errors.CommandError(
                "mmdebstrap", status=25,
                output="I: so far\nE: Unable to locate package x\nI: bye",
            )  # fmt: skip

        self.patch_object(debian, "_KEYRINGS", self.keyrings())
        error = self.assertRaises(errors.BuildError, self.make, run)
        self.assertIn("server-core of trixie", error.message)
        self.assertIn("  | E: Unable to locate package x", error.message)
        self.assertNotIn("so far", error.message)

    def test_failure_tells_the_cause(self) -> None:
        cause = "  Certificate verification failed: it is NOT trusted."

        def run(argv: typing.Any, **_: typing.Any) -> typing.NoReturn:
            raise errors.CommandError(
                "mmdebstrap", status=25,
                output=f"Ign:1 https://m trixie\n{cause}\nE: no such file",
            )  # fmt: skip

        self.patch_object(debian, "_KEYRINGS", self.keyrings())
        error = self.assertRaises(errors.BuildError, self.make, run)
        self.assertIn(f"  | {cause}\n  | E: no such file", error.message)
        self.assertIn("--ca-certificate", error.hint or "")

    def test_how_mirrors_are_reached(self) -> None:
        place = self.temp_dir()
        (place / "special").touch()
        option = f"--setup-hook=upload {place}/apt.conf {session.APT_CONF}"
        self.assertNotIn(option, self.argv())
        self.set_env(TROVE_BUILD_NETWORK=str(place))
        self.assertIn(option, self.argv())

    def kept(self, **changes: typing.Any) -> list[list[str]]:
        """Return mmdebstrap's calls if the shared archive has to be made."""
        self.inputs: list[dict[str, typing.Any]] = []

        @contextlib.contextmanager
        def keep(
            name: str,
            inputs: dict[str, typing.Any],
            make: collections.abc.Callable[[pathlib.Path], None],
        ) -> collections.abc.Iterator[pathlib.Path]:
            self.inputs.append({"name": name, **inputs})
            make(pathlib.Path("/cache/a b.tar.zst"))
            yield pathlib.Path("/cache/a b.tar.zst")

        return self.calls(keep=keep, **changes)

    def index(self, content: bytes | Exception) -> None:
        def read(location: str, *_: typing.Any, **__: typing.Any) -> bytes:
            self.read.append(location)
            if isinstance(content, Exception):
                raise content
            return content

        self.read: list[str] = []
        self.patch_object(fetch, "read", read)

    def test_containers_share_the_essential_packages(self) -> None:
        self.index(b"index")
        below, own = self.kept()
        self.assertIn("/cache/a b.tar.zst", below)
        # nothing of this container is in what others share
        for word in below:
            self.assertNotIn("server-core", word)
            self.assertNotIn("innochecksum", word)
            self.assertNotIn("TROVE_", word)
        self.assertIn("--include=server-core", own)
        (unpack,) = [word for word in own if "zstd" in word]
        self.assertIn("'/cache/a b.tar.zst'", unpack)
        # mirrors and options are the same in both
        for word in below:
            if word.startswith(("deb ", "--dpkgopt", "--aptopt")):
                self.assertIn(word, own)
        self.assertEqual(
            [
                "http://m.example/dists/trixie/InRelease",
                "http://m.example/dists/trixie-updates/InRelease",
                "http://s.example/dists/trixie-security/InRelease",
            ],
            self.read,
        )

    def test_another_index_makes_other_essential_packages(self) -> None:
        found = []
        for content in (b"index", b"index", b"another"):
            self.index(content)
            self.kept()
            found += self.inputs
        self.assertEqual(found[0], found[1])
        self.assertNotEqual(found[0], found[2])
        self.kept(epoch=1)
        self.assertNotEqual(found[2], self.inputs[0])

    def test_nothing_shared_without_a_known_index(self) -> None:
        self.index(fetch.AbsentError("x"))
        self.assertEqual(1, len(self.kept()))
        self.index(b"index")
        for archive in ("file:/srv/debian", None):
            mirrors = debian.Mirrors(archive)
            self.assertEqual(1, len(self.kept(mirrors=mirrors)))
        self.assertEqual([], self.read)

    def test_installed(self) -> None:
        status = (
            b"Package: a\nStatus: install ok installed\nVersion: 1:2.3\n"
            b"Description: x\n more: of it\n\n"
            b"Package: b\nStatus: deinstall ok config-files\nVersion: 1\n"
        )
        file = self.temp_dir() / "root.tar"
        with tarfile.open(file, "w") as archive:
            member = tarfile.TarInfo("./var/lib/dpkg/status")
            member.size = len(status)
            archive.addfile(member, io.BytesIO(status))
        self.assertEqual({"a": "1:2.3"}, rootfs.installed(file))
