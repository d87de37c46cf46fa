# SPDX-License-Identifier: Apache-2.0
"""Every linter over everything that is its business.

The linters live in an environment of their own, whose ``bin`` directory
``TROVE_TOOLS_LINT_BIN`` names: hacking and diskimage-builder cannot agree
on a flake8.  A linter that is absent is a test that is skipped;
tools/run-tests makes sure that none is.
"""

import os
import pathlib
import shutil
import subprocess
import sys
import typing

from tests import base

ELEMENTS = base.ROOT / "trove_tools" / "elements"

#: Shell that only devstack reads, by names that devstack chose.
_SOURCED = (
    base.ROOT / "devstack" / "override-defaults",
    base.ROOT / "devstack" / "settings",
)


def tracked(*patterns: str) -> list[pathlib.Path]:
    """Return the files of the tree that git knows or would add.

    :param patterns: git's pathspecs; every file when not given.
    """
    done = subprocess.run(
        ["git", "-c", f"safe.directory={base.ROOT}", "ls-files", "-z",
         "--cached", "--others", "--exclude-standard", *patterns],
        cwd=base.ROOT, capture_output=True, text=True, check=True,
    )  # fmt: skip
    names = sorted(set(filter(None, done.stdout.split("\0"))))
    files = [base.ROOT / name for name in names]
    return [file for file in files if file.is_file()]


def shell_scripts() -> list[pathlib.Path]:
    """Return every file of the tree that is bash, whatever its name."""
    found = []
    for file in tracked():
        if file.is_symlink():
            continue
        with file.open("rb") as stream:
            first = stream.readline(80)
        by_name = file.suffix in {".sh", ".bash"} or file in _SOURCED
        if by_name or (first.startswith(b"#!") and b"bash" in first):
            found.append(file)
    return found


class TreeCase(base.TestCase):
    """A test of the whole tree, as git knows it."""

    def setUp(self) -> None:
        super().setUp()
        if not (base.ROOT / ".git").exists():
            self.skipTest("only git knows which files are part of the tree")


class LintersTest(TreeCase):
    timeout = 300

    def program(self, name: str) -> str:
        """Return where a linter is; skips the test when it is nowhere."""
        found = shutil.which(name, path=self.path())
        if found is None:
            self.skipTest(f"{name} is not installed")
        return found

    def path(self) -> str:
        """Return where linters, and what they call, are looked for."""
        places = os.environ.get("TROVE_TOOLS_LINT_BIN"), os.environ["PATH"]
        return os.pathsep.join(filter(None, places))

    def check(
        self, *argv: str | os.PathLike[str], **env: str
    ) -> subprocess.CompletedProcess[str]:
        """Run a linter; what it finds fails the test."""
        done = subprocess.run(
            argv, cwd=base.ROOT, capture_output=True, text=True,
            stdin=subprocess.DEVNULL, env={**os.environ, **env},
        )  # fmt: skip
        if done.returncode != 0:
            self.fail(f"{argv[0]} found:\n{done.stdout}{done.stderr}")
        return done

    def python_files(self) -> list[pathlib.Path]:
        scripts = [
            file
            for file in tracked("tools")
            if not file.suffix and b"python" in file.read_bytes()[:40]
        ]
        return tracked("*.py") + scripts

    def test_ruff(self) -> None:
        self.check(
            self.program("ruff"), "check", "--no-cache", *self.python_files()
        )

    def test_hacking(self) -> None:
        self.check(self.program("flake8"), *self.python_files())

    def test_mypy(self) -> None:
        try:
            import mypy  # noqa: F401
        except ImportError:
            self.skipTest("mypy is not installed beside the tests")
        cache = base.ROOT / ".mypy_cache"
        self.check(sys.executable, "-m", "mypy", "--cache-dir", cache)

    def test_bashate(self) -> None:
        # Long lines are left to judgement; a "local" that hides a failure
        # is an error.  So is a missing first line, but in a file that is
        # only ever sourced.
        bashate = self.program("bashate")
        for run, ignored in ((True, "E006"), (False, "E006,E005")):
            files = [
                file
                for file in shell_scripts()
                if os.access(file, os.X_OK) == run
            ]
            self.check(bashate, "-i", ignored, "-e", "E005,E042", *files)

    def test_shellcheck(self) -> None:
        self.check(
            self.program("shellcheck"), "--severity=warning",
            "--external-sources", *shell_scripts(),
        )  # fmt: skip

    def test_doc8(self) -> None:
        self.check(self.program("doc8"), "-q", *tracked("*.rst"))

    def test_release_notes(self) -> None:
        self.check(self.program("reno"), "-q", "lint", ".")

    def test_documentation(self) -> None:
        for source in ("doc/source", "releasenotes/source"):
            self.check(
                self.program("sphinx-build"), "-q", "-W", "--keep-going",
                "-E", "-b", "html", source, self.temp_dir(),
            )  # fmt: skip

    def test_ansible_lint(self) -> None:
        # it calls ansible-playbook --syntax-check for each playbook
        self.check(
            self.program("ansible-lint"), "--offline", "--strict",
            "--nocolor", "-q", "playbooks", "roles",
            ANSIBLE_HOME=os.fspath(self.temp_dir()), PATH=self.path(),
        )  # fmt: skip

    def test_playbooks_syntax(self) -> None:
        playbooks = tracked("playbooks/**/*.yaml")
        self.assertNotEqual([], playbooks)
        self.check(
            self.program("ansible-playbook"), "-i", "localhost,",
            "--syntax-check", *playbooks,
            ANSIBLE_HOME=os.fspath(self.temp_dir()), PATH=self.path(),
            ANSIBLE_ROLES_PATH=os.fspath(base.ROOT / "roles"),
        )  # fmt: skip

    def test_dib_lint(self) -> None:
        path = f"{pathlib.Path(sys.executable).parent}:{os.environ['PATH']}"
        dib_lint = shutil.which("dib-lint", path=path)
        if dib_lint is None:
            self.skipTest("diskimage-builder is not installed")
        # its second directory is diskimage-builder's own library; there is
        # no such thing here, so it gets the elements twice
        done = self.check(
            dib_lint, ELEMENTS_DIR=os.fspath(ELEMENTS),
            LIB_DIR=os.fspath(ELEMENTS), PATH=path,
        )  # fmt: skip
        self.assertNotIn("ERROR", done.stdout)


class HouseRulesTest(TreeCase):
    """What no linter knows."""

    #: A module that is longer does more than one thing.
    longest = 420
    #: This one is a list: of all options.
    lists = ("trove_tools/config/table.py",)

    def complain(self, about: typing.Iterable[pathlib.Path]) -> None:
        self.assertEqual(
            [], sorted(str(file.relative_to(base.ROOT)) for file in about)
        )

    def test_licence_stands_first(self) -> None:
        line = "# SPDX-License-Identifier: Apache-2.0"
        self.complain(
            file
            for file in tracked("*.py")
            if file.stat().st_size
            and line not in file.read_text().splitlines()[:2]
        )

    def test_modules_are_short(self) -> None:
        self.complain(
            file
            for file in tracked("trove_tools/*.py", "tools/*.py")
            if str(file.relative_to(base.ROOT)) not in self.lists
            and len(file.read_text().splitlines()) > self.longest
        )

    def test_every_test_is_found(self) -> None:
        # discovery passes over a directory without __init__.py in silence
        self.complain(
            file
            for file in tracked("tests/**/test_*.py")
            if not (file.parent / "__init__.py").exists()
        )

    def test_scripts_are_executable(self) -> None:
        self.complain(
            file
            for file in tracked("*")
            if file.read_bytes()[:2] == b"#!" and not os.access(file, os.X_OK)
        )
