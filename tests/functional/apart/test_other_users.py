# SPDX-License-Identifier: Apache-2.0
"""What another user of the host can make root do: nothing.

The other user is a real one: what it plants, a process with its id plants,
in directories that are open to everybody, as ``/tmp`` or as what an old
release left with umask 000.  After each attack the files and the process of
root's that it was about are as they were.
"""

import collections.abc
import hashlib
import os
import pathlib
import shutil
import subprocess
import time
import typing

import ddt
import fixtures

from tests import base
from tests import commands
from tests.unit.cloud import images
from tests.unit.plan import samples
from trove_tools import errors
from trove_tools.artifact import manifest
from trove_tools.build import cache
from trove_tools.build import previous
from trove_tools.build import workspace
from trove_tools.host import cleanup
from trove_tools.host import files
from trove_tools.host import trust
from trove_tools.plan import plan

USER = 54321
AS_USER = (
    "setpriv", f"--reuid={USER}", f"--regid={USER}", "--clear-groups", "--",
    "sh", "-euc",
)  # fmt: skip
NAME = "image-1.0.qcow2"


class AttackCase(base.TestCase):
    def setUp(self) -> None:
        super().setUp()
        if os.geteuid() != 0 or not shutil.which("setpriv"):
            self.skipTest("becoming another user needs root, and setpriv")
        self.set_env(SUDO_UID=None, HOME=str(self.temp_dir()))
        self.set_env(XDG_CACHE_HOME=None, XDG_STATE_HOME=None)
        #: Where everybody may write, as in /tmp.
        self.shared = self.directory(0o1777)
        #: What root has, and an attack is about.
        self.precious = self.directory(0o755) / "trove-image-precious"
        (self.precious / "verify").mkdir(parents=True)
        self.file = self.precious / "verify/data"
        self.file.write_text("precious\n")
        self.process = subprocess.Popen(
            ["sleep", "60"], cwd=self.precious / "verify"
        )
        self.addCleanup(self.process.wait)
        self.addCleanup(self.process.kill)
        self.before = self.state()
        self.warnings: list[str] = []

    def directory(self, mode: int) -> pathlib.Path:
        place = self.temp_dir()
        place.chmod(0o755)
        place = place / "place"
        place.mkdir()
        place.chmod(mode)
        return place

    def state(self) -> list[tuple[str, bytes, int]]:
        return [
            (str(path), path.read_bytes() if path.is_file() else b"",
             path.lstat().st_mode)
            for path in sorted(self.precious.parent.rglob("*"))
        ]  # fmt: skip

    def assert_untouched(self) -> None:
        """Fail where something of root's was changed, made or ended."""
        self.assertEqual(self.before, self.state())
        self.assertIsNone(self.process.poll())

    def attack(self, script: str, *args: object) -> None:
        """Run a script of the other user's; $0 is the precious directory."""
        subprocess.run(
            [*AS_USER, script, self.precious, *map(str, args)],
            check=True, cwd="/", stdin=subprocess.DEVNULL,
        )  # fmt: skip

    def builder(self, *args: typing.Any) -> commands.Outcome:
        done = commands.run("trove-image-builder", *args, timeout=50)
        self.assertNotIn("Traceback", done.stderr)
        self.assertNotIn("defect", done.stderr)
        return done


class CacheCase(AttackCase):
    def setUp(self) -> None:
        super().setUp()
        self.place = self.shared / "cache"
        self.cache = cache.Cache(self.place)
        for digest in ("good", "bad"):
            self.put(digest)

    def put(self, digest: str) -> None:
        with self.cache.locked(digest), self.cache.partial() as place:
            (place / cache.ARCHIVE).write_bytes(b"x")
            self.cache.put(
                place, name="base", digest=digest,
                inputs={"elements": ["x"]}, facts={}, timeline={},
            )  # fmt: skip

    def open(self) -> None:
        """Make the cache as an old release made it with umask 000."""
        subprocess.run(["chmod", "-R", "go+rwX", self.place], check=True)

    def mend(self) -> None:
        """Do what the message about it says."""
        subprocess.run(["chmod", "-R", "go-w", self.place], check=True)

    def run_cache(self, *words: str) -> commands.Outcome:
        return self.builder("cache", *words, "--cache-dir", self.place)

    def prune(self) -> commands.Outcome:
        """Remove all layers; make sure that the good one went."""
        done = self.run_cache("prune", "--cache-size", "0")
        self.assertIn("removed", done.stderr)
        self.assertEqual(0, done.status, done.stderr)
        self.assertFalse((self.cache.layers / "good").exists())
        self.assert_untouched()
        return done


@ddt.ddt
class CacheTest(CacheCase):
    @ddt.data(
        ("list",), ("verify",), ("prune", "--cache-size", "0"),
    )  # fmt: skip
    def test_one_that_others_may_write(self, words: tuple[str, ...]) -> None:
        for place in (
            self.place, self.cache.layers, self.cache.downloads,
            self.place / "locks", self.cache.workspaces,
        ):  # fmt: skip
            place.chmod(0o777)
            done = self.run_cache(*words)
            self.assertEqual(2, done.status)
            self.assertIn(f"the cache {place} is not used: other users may"
                          " write to it", done.stderr)  # fmt: skip
            self.assertIn(f"chmod -R go-w {place}", done.stderr)
            self.mend()
        self.assertTrue((self.cache.layers / "good").exists())

    def test_one_of_another_user(self) -> None:
        self.attack('mkdir "$1"', self.shared / "theirs")
        done = self.builder("cache", "list", "--cache-dir",
                            self.shared / "theirs")  # fmt: skip
        self.assertEqual(2, done.status)
        self.assertIn("belongs to the user with the id", done.stderr)

    def test_a_link_in_its_place(self) -> None:
        # whoever may write there chooses what root uses as its cache
        self.attack('ln -s "$0" "$1"', self.shared / "link")
        self.builder("doctor", "--clean", "--cache-dir", self.shared / "link")
        self.builder("cache", "prune", "--cache-size", "0", "--cache-dir",
                     self.shared / "link")  # fmt: skip
        self.assertEqual(self.before[0][1:], self.state()[0][1:])
        self.assertEqual("precious\n", self.file.read_text())
        self.assertIsNone(self.process.poll())

    @ddt.data((0o777, "mode is 777"), (0o775, "mode is 775"))
    @ddt.unpack
    def test_directories_above(self, mode: int, reason: str) -> None:
        above = self.directory(mode)
        place = above / "cache"
        place.mkdir(mode=0o755)
        done = self.builder("cache", "list", "--cache-dir", place)
        self.assertEqual(2, done.status)
        self.assertIn(f"because of {above}", done.stderr)
        self.assertIn(reason, done.stderr)
        self.assertIn(f"let nobody else write to {above}", done.stderr)

    def test_a_directory_above_of_another_user(self) -> None:
        above = self.shared / "theirs"
        self.attack('mkdir "$1"', above)
        (above / "cache").mkdir()
        done = self.builder("cache", "list", "--cache-dir", above / "cache")
        self.assertEqual(2, done.status)
        self.assertIn(f"because of {above}: it belongs to", done.stderr)

    def test_below_a_sticky_directory(self) -> None:
        self.assertEqual(0, self.run_cache("list").status)


class EntriesTest(CacheCase):
    """What is planted while a cache is open to all is no harm later."""

    def setUp(self) -> None:
        super().setUp()
        self.open()

    def test_links_in_the_register(self) -> None:
        names = [
            hashlib.sha256(os.fsencode(path)).hexdigest()[:16]
            for path in (self.precious, self.precious / ".x.partial")
        ]
        self.attack(
            'cd "$1"; ln -s "$0" any; ln -s "$0" "$2";'
            ' ln -s "$0/.x.partial" "$3"; mkfifo fifo; touch file; mkdir d',
            self.cache.workspaces, *names,
        )  # fmt: skip
        self.mend()
        done = self.builder("doctor", "--clean", "--cache-dir", self.place)
        for name in ("any", "fifo", "file", "d", *names):
            self.assertIn(f"{self.cache.workspaces / name} is ignored",
                          done.stderr)  # fmt: skip
        self.assertIn("remove it", done.stderr)
        self.assert_untouched()

    def test_locks_that_are_no_locks(self) -> None:
        self.attack(
            'cd "$1"; rm -f bad good; ln -s "$0/made" bad',
            self.place / "locks",
        )
        self.mend()
        self.prune()
        self.assertFalse((self.precious / "made").exists())

    def test_a_lock_that_is_a_fifo(self) -> None:
        self.attack('cd "$1"; rm -f bad; mkfifo bad', self.place / "locks")
        self.mend()
        self.prune()

    def test_a_lock_that_is_a_hard_link(self) -> None:
        (self.place / "locks/bad").unlink()
        os.link(self.file, self.place / "locks/bad")
        self.mend()
        self.prune()

    def test_a_layer_that_was_rewritten(self) -> None:
        self.attack(
            'cd "$1"; cp -r bad theirs; printf evil >theirs/root.tar.zst;'
            ' sed -i "s/\\"size\\": 1,/\\"size\\": 4,/;'
            ' s/\\"sha256\\": .*,/\\"sha256\\": \\"$2\\",/"'
            " theirs/record.json; rm -r bad; mv theirs bad",
            self.cache.layers, hashlib.sha256(b"evil").hexdigest(),
        )  # fmt: skip
        self.mend()
        again = cache.Cache(self.place)
        self.assertIsNone(again.find("bad"))
        listed = self.run_cache("list", "--format", "json").json()
        self.assertNotIn("bad", [row["digest"] for row in listed])
        done = self.run_cache("verify", "--format", "json")
        self.assertEqual(1, done.status)
        self.assertIn("bad", [row["digest"] for row in done.json()])
        self.assertFalse((self.cache.layers / "bad").exists())
        self.assert_untouched()

    def test_an_archive_that_another_user_may_write(self) -> None:
        self.mend()
        (self.cache.layers / "bad/root.tar.zst").chmod(0o666)
        self.assertIsNone(cache.Cache(self.place).find("bad"))

    def test_records_that_are_no_files(self) -> None:
        for plant in ('mkfifo "$1"', 'ln -s "$0/verify/data" "$1"',
                      'ln -s /dev/zero "$1"', 'mkdir "$1"'):  # fmt: skip
            self.attack(
                'rm -rf "$1"; ' + plant, self.cache.layers / "bad/record.json"
            )
            self.mend()
            self.assertEqual(0, self.run_cache("list").status)
            self.open()
        self.mend()
        self.prune()

    def test_layers_that_are_links(self) -> None:
        self.attack(
            'cd "$1"; ln -s "$0" linked; rm -r bad; ln -s "$0" bad;'
            ' ln -s "$0" .partial-linked',
            self.cache.layers,
        )
        self.mend()
        done = self.run_cache("verify")
        self.assertEqual(1, done.status, done.stderr)
        self.assert_untouched()
        self.prune()

    def test_downloads_that_are_links(self) -> None:
        self.attack('ln -s "$0" "$1"/.run-x', self.cache.downloads)
        self.mend()
        self.prune()


@ddt.ddt
class OutputTest(AttackCase):
    """The directory of the images is one where everybody may write."""

    def setUp(self) -> None:
        super().setUp()
        self.register = self.directory(0o755) / "workspaces"
        self.partial = self.shared / ".image-1.0.partial"
        self.sidecar = self.shared / "image-1.0.d"

    def open_workspace(self) -> typing.Any:
        return workspace.open_workspace(
            self.shared, NAME, None, self.register, self.warnings.append
        )

    @ddt.data(
        ('mkdir -m 777 "$1"', "belongs to"),
        ('mkdir "$1"; ln -s "$0" "$1/work"', "belongs to"),
        ('ln -s "$0" "$1"', "is a link"),
        ('mkdir "$1.d"; ln -s "$1.d" "$1"', "is a link"),
        ('mkfifo "$1"', "neither a file nor"),
    )
    @ddt.unpack
    def test_a_workspace_of_another_user(self, plant: str, said: str) -> None:
        self.attack(plant, self.partial)
        error = self.assertRaises(
            errors.UsageError, self.open_workspace().__enter__
        )
        self.assertIn(said, error.message)
        self.assertIn("remove it", error.hint or "")
        self.assert_untouched()

    @ddt.data('mkdir "$1"; ln -s "$0/log" "$1/build-failed.log"',
              'ln -s "$0" "$1"', 'touch "$1"')  # fmt: skip
    def test_the_log_of_a_failed_build(self, plant: str) -> None:
        self.attack(plant, self.sidecar)
        with self.open_workspace() as space:
            space.log.write_text("why\n")
            kept = space.keep_log(self.shared)
        self.assertEqual("why\n", kept.read_text())
        self.assertFalse(kept.is_relative_to(self.shared))
        self.assert_untouched()

    def test_a_log_that_is_a_link_in_a_directory_of_roots(self) -> None:
        self.sidecar.mkdir()
        (self.sidecar / "build-failed.log").symlink_to(self.file)
        with self.open_workspace() as space:
            space.log.write_text("why\n")
            kept = space.keep_log(self.shared)
        self.assertEqual(("why\n", 0), (kept.read_text(), kept.lstat().st_uid))
        self.assert_untouched()

    @ddt.data('mkdir "$1"; ln -s "$0" "$1/x"; ln -s "$0/verify/data" "$2"',
              'ln -s "$0" "$1"; mkdir "$2"; ln -s "$0" "$2/x"')  # fmt: skip
    def test_publishing_over_what_others_made(self, plant: str) -> None:
        self.attack(plant, self.sidecar, self.shared / NAME)
        with self.open_workspace() as space:
            space.image.write_text("image")
            space.publish(self.shared)
        self.assertEqual("image", (self.shared / NAME).read_text())
        self.assertTrue(trust.is_own(self.sidecar))
        self.assert_untouched()

    def and_then(
        self,
        refuse: collections.abc.Callable[..., None],
        place: pathlib.Path,
        script: str,
    ) -> collections.abc.Callable[..., None]:
        """Have a script run as soon as a place has been found to be good."""
        found: list[pathlib.Path] = []

        def run(path: pathlib.Path, *args: typing.Any) -> None:
            refuse(path, *args)
            if path == place and not found:
                found.append(path)
                self.attack(script, place)

        return run

    def test_a_workspace_that_is_swapped(self) -> None:
        """It is another's between the look at it and its removal."""
        theirs = self.shared / "theirs"
        self.attack('mkdir "$1"', theirs)
        for script in (
            'ln -s "$0" "$1"', 'mkdir "$1"; ln -s "$0" "$1/work"',
        ):  # fmt: skip
            dead = theirs / ".dead.partial"
            dead.mkdir()
            (dead / "work").symlink_to(self.shared / "trove-image-gone")
            workspace.enter(self.register, dead)
            swapped = f'mv "$1" "${{1%/*}}/away"; {script}'
            with fixtures.MockPatchObject(
                trust, "refuse", self.and_then(trust.refuse, dead, swapped)
            ):
                workspace.take_down_dead(self.register, self.warnings.append)
            self.assert_untouched()
            self.assertTrue(os.path.lexists(theirs / "away"))
            shutil.rmtree(theirs / "away")
            self.attack('rm -rf "$1"', dead)
        self.assertEqual(2, len(self.warnings), self.warnings)

    def test_an_image_that_was_planted(self) -> None:
        """It is not taken for what an earlier build has made."""
        planned = plan.make(samples.a_request())
        image = self.shared / planned.file
        self.attack('printf evil >"$1"', image)
        images.describe(image, plan_digest=planned.digest())
        self.assertIsNone(previous.find_current(planned, self.shared))
        os.chown(image, 0, 0)
        self.assertIsNotNone(previous.find_current(planned, self.shared))
        os.chown(manifest.path(image), USER, USER)
        self.assertIsNone(previous.find_current(planned, self.shared))


@ddt.ddt
class FilesTest(AttackCase):
    """Other files that root reads and writes."""

    @ddt.data('ln -s "$0/verify/data" "$1"', 'mkdir "$1"')
    def test_a_file_that_is_replaced(self, plant: str) -> None:
        file = self.shared / "file"
        self.attack(plant, file)
        if file.is_dir() and not file.is_symlink():
            self.assertRaises(OSError, files.write_file, file, "x")
        else:
            files.write_file(file, "x")
            self.assertEqual("x", file.read_text())
        self.assert_untouched()
        self.assertEqual([file], list(self.shared.iterdir()))

    def test_a_directory_of_a_file_that_is_a_link(self) -> None:
        self.attack('ln -s "$0" "$1"', self.shared / "image-1.0.d")
        record = self.shared / "image-1.0.d/verify.json"
        self.assertRaises(OSError, files.write_file, record, "x")
        self.assert_untouched()

    def test_logs_of_verify(self) -> None:
        from trove_tools.verify import workspace

        image = self.shared / NAME
        image.write_text("x")
        self.attack('ln -s "$0" "$1"', self.shared / "image-1.0.d")
        work = self.temp_dir()
        (work / "console.log").write_text("x")
        kept = workspace.keep_logs(work, image)
        assert kept is not None
        self.assertFalse(kept.is_relative_to(self.shared))
        workspace.remove_logs(image)
        self.assertFalse(kept.exists())
        self.assert_untouched()

    def test_a_configuration_file_of_another_user(self) -> None:
        home = self.shared / "home"
        self.attack('mkdir -p "$1/.config/trove-tools";'
                    ' echo "output_dir = /x" >"$1/.config/trove-tools/'
                    'trove-tools.conf"', home)  # fmt: skip
        self.set_env(HOME=str(home))
        done = self.builder("list")
        self.assertEqual(2, done.status, done.stderr)
        self.assertIn("trove-tools.conf is not used: it belongs to",
                      done.stderr)  # fmt: skip
        # who names it has decided to trust it
        file = home / ".config/trove-tools/trove-tools.conf"
        self.assertEqual(0, self.builder("list", "--config-file",
                                         file).status)  # fmt: skip

    def test_a_minicloud_of_another_user(self) -> None:
        place = self.shared / "cloud"
        self.attack('mkdir "$1"; printf {} >"$1/state.json"', place)
        for words in (("stop",), ("status",), ("env",), ("start",)):
            done = commands.run("minicloud", *words, place, timeout=50)
            self.assertEqual(2, done.status, done.stderr)
        self.assertIn(f"the minicloud in {place} is not used: it belongs to",
                      done.stderr)  # fmt: skip
        self.assert_untouched()

    def test_directories_of_killed_builds(self) -> None:
        """Root takes down its own, and not what looks like it."""
        name = f"trove-build-network-{time.monotonic_ns()}"
        self.attack('ln -s "$0" "/tmp/$1-l"; mkdir "/tmp/$1-d";'
                    ' ln -s "$0" "/tmp/$1-d/x"', name)  # fmt: skip
        self.addCleanup(
            self.attack, 'rm -r "/tmp/$1-l" "/tmp/$1-d"', name
        )
        place = self.shared / "cache"
        self.builder("doctor", "--clean", "--cache-dir", place)
        self.assertTrue(os.path.lexists(f"/tmp/{name}-l"))  # noqa: S108
        self.assertTrue(os.path.lexists(f"/tmp/{name}-d"))  # noqa: S108
        self.assert_untouched()

    def test_what_is_removed_is_no_link(self) -> None:
        link = self.shared / "link"
        self.attack('ln -s "$0" "$1"', link)
        self.assertRaises(OSError, cleanup.remove, link)
        self.assert_untouched()
