# SPDX-License-Identifier: Apache-2.0
import pathlib
import re

from tests import base
from trove_tools import errors
from trove_tools.host import process
from trove_tools.verify import venv


class VenvTest(base.TestCase):
    def setUp(self) -> None:
        super().setUp()
        self.path = self.temp_dir() / "below" / "venv"
        self.calls: list[list[str]] = []
        self.said: list[str] = []
        self.patch_object(process, "run", self.run_nothing)

    def run_nothing(self, argv: list[object], **kwargs: object) -> object:
        self.calls.append([str(word) for word in argv])
        if "venv" in self.calls[-1]:
            (self.path / "bin").mkdir()
            (self.path / "bin" / "python").touch()
        return process.Completed(0, "", "")

    def ensure(self) -> None:
        venv.ensure(self.path, self.said.append)

    def test_installed_once(self) -> None:
        self.ensure()
        self.assertEqual(2, len(self.calls))
        self.assertIn(str(venv.REQUIREMENTS), self.calls[1])
        self.ensure()
        self.assertEqual(2, len(self.calls))
        self.assertEqual(1, len(self.said))

    def test_an_interrupted_install_is_redone(self) -> None:
        def interrupt(argv: list[object], **kwargs: object) -> object:
            (self.path / "half").mkdir()
            (self.path / "file").touch()
            raise KeyboardInterrupt

        self.patch_object(process, "run", interrupt)
        self.assertRaises(KeyboardInterrupt, self.ensure)
        self.patch_object(process, "run", self.run_nothing)
        self.ensure()
        self.assertEqual(2, len(self.calls))
        self.assertFalse((self.path / "half").exists())
        self.assertFalse((self.path / "file").exists())

    def test_a_python_that_has_gone(self) -> None:
        self.ensure()
        (self.path / "bin" / "python").unlink()
        self.ensure()
        self.assertEqual(4, len(self.calls))

    def test_other_versions(self) -> None:
        self.ensure()
        requirements = self.temp_dir() / "requirements.txt"
        requirements.write_text("keystone==31.0.0\n")
        before = venv.default_path()
        self.patch_object(venv, "REQUIREMENTS", requirements)
        self.assertNotEqual(before, venv.default_path())
        self.ensure()
        self.assertEqual(4, len(self.calls))

    def test_a_directory_of_something_else(self) -> None:
        self.path.mkdir(parents=True)
        (self.path / "thesis.txt").touch()
        self.assertRaisesRegex(
            errors.UsageError, "not made by this tool", self.ensure
        )
        self.assertTrue((self.path / "thesis.txt").exists())
        self.assertEqual([], self.calls)

    def test_a_place_that_cannot_be_used(self) -> None:
        self.path.parent.touch()
        error = self.assertRaises(errors.UsageError, self.ensure)
        self.assertIn("--venv", error.hint or "")

    def test_no_package_index(self) -> None:
        def fail(argv: list[object], **kwargs: object) -> object:
            if "pip" in argv:
                raise errors.CommandError("no", status=1)
            return self.run_nothing(argv)

        self.patch_object(process, "run", fail)
        error = self.assertRaises(errors.CommandError, self.ensure)
        self.assertIn("package index", error.hint or "")
        self.patch_object(process, "run", self.run_nothing)
        self.ensure()

    def test_a_python_without_ensurepip(self) -> None:
        done = process.Completed(1, "ensurepip is not available", "")
        self.patch_object(process, "run", lambda *args, **kwargs: done)
        error = self.assertRaises(errors.MissingToolError, self.ensure)
        self.assertIn("python3-venv", error.hint or "")

    def test_the_users_cache(self) -> None:
        self.set_env(XDG_CACHE_HOME="/somewhere")
        self.assertEqual(
            pathlib.Path("/somewhere/trove-tools"), venv.default_path().parent
        )
        self.set_env(XDG_CACHE_HOME=None, HOME="/home/me")
        self.assertEqual(
            pathlib.Path("/home/me/.cache/trove-tools"),
            venv.default_path().parent,
        )


class RequirementsTest(base.TestCase):
    def test_every_version_is_given(self) -> None:
        names = set()
        for line in venv.REQUIREMENTS.read_text().splitlines():
            if not line.startswith("#"):
                self.assertTrue(re.fullmatch(r"[\w.-]+==[\w.]+", line), line)
                names.add(line.partition("==")[0].lower())
        self.assertLessEqual(
            {"keystone", "glance", "trove", "pyuwsgi", "sqlalchemy"}, names
        )
