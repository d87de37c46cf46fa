# SPDX-License-Identifier: Apache-2.0
"""What keeps a release from being one, each in one message.

A whole one is tried by tests/functional/test_packaging.py.
"""

import importlib.util
import pathlib
import subprocess
import typing

import ddt

from tests import base

_spec = importlib.util.spec_from_file_location(
    "check_release", base.ROOT / "tools" / "lib" / "check_release.py"
)
assert _spec is not None and _spec.loader is not None
check_release: typing.Any = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(check_release)

_SERIES = 'name: "{0}"\ntrove: "{1}"\nrequirement: trove>={1}.0.0,<99\n'


class ReleaseCase(base.TestCase):
    def setUp(self) -> None:
        super().setUp()
        # git must not look for anybody's configuration
        self.set_env(HOME=str(self.temp_dir()), XDG_CONFIG_HOME=None)
        self.checkout = self.temp_dir()
        self.git("init", "--quiet", "--initial-branch", "master")
        self.commit("2026.2", "26")

    def git(self, *words: str) -> str:
        done = subprocess.run(
            ["git", "-c", "user.name=x", "-c", "user.email=x@localhost",
             *words],
            cwd=self.checkout, check=True, capture_output=True, text=True,
        )  # fmt: skip
        return done.stdout

    def commit(self, series: str, trove: str) -> None:
        file = self.checkout / "trove_tools/catalog/series.yaml"
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(_SERIES.format(series, trove))
        self.git("add", ".")
        self.git("commit", "--quiet", "-m", series)

    def release(self, version: str) -> typing.Any:
        return check_release.Release(version, self.checkout, self.temp_dir())

    def refused(self, step: typing.Any, *words: str, status: int = 1) -> None:
        refused = self.assertRaises(check_release.RefusalError, step)
        self.assertEqual(status, refused.status)
        self.assertTrue(refused.hint)
        for word in words:
            self.assertIn(word, str(refused))


@ddt.ddt
class VersionTest(ReleaseCase):
    @ddt.data("1.0.0", "1.0.1", "1.10.0", "2.0.0")
    def test_good(self, version: str) -> None:
        self.git("tag", "0.9.0")
        self.git("tag", "something-else")
        said = self.release(version).check_version()
        self.assertEqual(f"{version} comes after 0.9.0", said)

    @ddt.data("", "1", "1.0", "v1.0.0", "1.0.0rc1", "0.1.0", "01.0.0")
    def test_no_version(self, version: str) -> None:
        step = self.release(version).check_version
        self.refused(step, "is not MAJOR.MINOR.PATCH", status=2)

    def test_not_newer(self) -> None:
        self.git("tag", "1.9.0")
        self.git("tag", "1.10.0")
        for version in ("1.10.0", "1.9.5"):
            step = self.release(version).check_version
            self.refused(step, "1.10.0 is released already", status=2)

    def test_no_repository(self) -> None:
        self.checkout = self.temp_dir()
        step = self.release("1.0.0").check_version
        self.refused(step, "not a git repository")


class SeriesTest(ReleaseCase):
    def test_first(self) -> None:
        said = self.release("1.0.0").check_series()
        self.assertEqual("2026.2, Trove 26", said)

    def test_same_series(self) -> None:
        self.git("tag", "1.0.0")
        self.release("1.1.0").check_series()
        step = self.release("2.0.0").check_series
        self.refused(step, "1.0.0 was for 2026.2, this is for 2026.2")

    def test_new_series(self) -> None:
        self.git("tag", "1.0.0")
        self.commit("2027.1", "27")
        self.release("2.0.0").check_series()
        step = self.release("1.1.0").check_series
        self.refused(step, "this is for 2027.1")

    def test_wrong_branch(self) -> None:
        self.git("checkout", "--quiet", "-b", "stable/2026.1")
        step = self.release("1.0.0").check_series
        self.refused(step, "2026.2 on branch stable/2026.1")

    def test_file_that_contradicts_itself(self) -> None:
        self.commit("2026.2", "26,\nx: x")
        file = self.checkout / "trove_tools/catalog/series.yaml"
        file.write_text(
            'name: "2026.2"\ntrove: "26"\nrequirement: trove>=25.0.0\n'
        )
        self.git("commit", "--quiet", "-a", "-m", "x")
        self.refused(self.release("1.0.0").check_series, "trove>=25.0.0")


class TreeTest(ReleaseCase):
    def test_not_committed(self) -> None:
        (self.checkout / "new").touch()
        self.refused(self.release("1.0.0").check_checkout, "?? new")

    def test_nothing_is_tagged(self) -> None:
        release = self.release("1.0.0")
        release.check_checkout()
        self.assertEqual("", self.git("tag"))
        head = self.git("rev-parse", "HEAD").strip()
        self.assertEqual(
            f'git tag -s -m "trove-tools 1.0.0" 1.0.0 {head}',
            release.proposal(),
        )


class InstalledTest(ReleaseCase):
    def setUp(self) -> None:
        super().setUp()
        self.tried = self.release("1.0.0")
        self.tried.clone = self.checkout
        self.place = (
            self.tried.venv / "lib/python3.99/site-packages/trove_tools"
        )
        file = self.place / "catalog/series.yaml"
        file.parent.mkdir(parents=True)
        file.touch()

    def hook(self, top: pathlib.Path, mode: int) -> None:
        hook = top / "elements/x/install.d/50-x"
        hook.parent.mkdir(parents=True, exist_ok=True)
        hook.touch()
        hook.chmod(mode)

    def test_files(self) -> None:
        self.assertEqual("1 files", self.tried.check_files())
        self.hook(self.checkout / "trove_tools", 0o755)
        self.refused(self.tried.check_files, "elements/x/install.d/50-x")
        self.hook(self.place, 0o644)
        self.refused(self.tried.check_files, "or their mode was")
        self.hook(self.place, 0o755)
        self.tried.check_files()

    def test_hooks(self) -> None:
        self.refused(self.tried.check_hooks, "all")
        self.hook(self.place, 0o644)
        self.refused(self.tried.check_hooks, "50-x")
        self.hook(self.place, 0o755)
        self.assertEqual("1 hooks can be run", self.tried.check_hooks())

    def test_share(self) -> None:
        samples = self.checkout / "samples/localrc"
        samples.mkdir(parents=True)
        (samples / "mysql").touch()
        wanted = [*check_release._SHARED, "trove-tools/samples/localrc/mysql"]
        for name in wanted:
            self.refused(self.tried.check_share, name)
            file = self.tried.venv / "share" / name
            file.parent.mkdir(parents=True, exist_ok=True)
            file.touch()
        self.assertEqual("10 files", self.tried.check_share())


class CommandTest(ReleaseCase):
    def test_one_message(self) -> None:
        _, err = self.capture()
        status = check_release.main(["--checkout", str(self.checkout), "1.0"])
        err.seek(0)
        self.assertEqual(2, status)
        self.assertEqual(
            "error: '1.0' is not MAJOR.MINOR.PATCH\n"
            "hint: give a version such as 1.2.0\n",
            err.read(),
        )

    def test_directory_that_is_there(self) -> None:
        _, err = self.capture()
        stopped = self.assertRaises(
            SystemExit, check_release.main,
            ["1.0.0", "--keep", str(self.checkout)],
        )  # fmt: skip
        err.seek(0)
        self.assertEqual(2, stopped.code)
        self.assertIn("is there already", err.read())

    def test_program_that_fails(self) -> None:
        refused = self.assertRaises(
            check_release.RefusalError, check_release.run,
            "sh", "-c", "echo why >&2; exit 3", cwd=self.checkout,
        )  # fmt: skip
        self.assertIn("ended with status 3:\nwhy", str(refused))
