# SPDX-License-Identifier: Apache-2.0
"""Do all of a release that can be done without releasing anything.

A clone of the commit gets the tag.  A source distribution is built from it
and unpacked far from any git, a wheel is built from that, and installed.  So
a file or an executable's bit that gets lost on the way is missing at the end.
"""

import argparse
import collections.abc
import os
import pathlib
import re
import subprocess
import sys
import tempfile
import time
import tomllib
import typing

import yaml

ROOT = pathlib.Path(__file__).resolve().parent.parent.parent

COMMANDS = ("trove-image-builder", "load-trove-image", "activate-trove-image")

_SERIES = "trove_tools/catalog/series.yaml"

#: Directories of an element whose files are run, not sourced.
_HOOKS = (
    "block-device.d", "cleanup.d", "extra-data.d", "finalise.d", "install.d",
    "post-install.d", "post-root.d", "pre-finalise.d", "pre-install.d",
    "root.d",
)  # fmt: skip

#: Below ``share`` of an installation.
_SHARED = (
    *(f"man/man1/{name}.1" for name in COMMANDS),
    *(f"bash-completion/completions/{name}" for name in COMMANDS),
    *(f"zsh/site-functions/_{name}" for name in COMMANDS),
)


#: Returns what is worth telling when all is well.
Step = collections.abc.Callable[[], str]


class RefusalError(Exception):
    """Why there can be no release.

    :param hint: what to do.
    :param status: the exit status.
    """

    def __init__(self, message: str, hint: str, status: int = 1) -> None:
        super().__init__(message)
        self.hint = hint
        self.status = status


def run(
    *argv: str | os.PathLike[str], cwd: pathlib.Path, hint: str = ""
) -> str:
    """Run a program that must succeed, and return what it printed.

    :raises RefusalError: it did not.
    """
    environ = {
        name: value
        for name, value in os.environ.items()
        # what runs in the new environment must not see the checkout
        if not name.startswith(("PYTHON", "PBR_", "GIT_"))
    }
    done = subprocess.run(
        argv, cwd=cwd, stdin=subprocess.DEVNULL, text=True,
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
        env={**environ, "PIP_DISABLE_PIP_VERSION_CHECK": "1"},
    )  # fmt: skip
    if done.returncode != 0:
        last = "\n".join(done.stdout.strip().splitlines()[-15:])
        program = " ".join(map(os.fspath, argv[:4]))
        raise RefusalError(
            f"{program} ended with status {done.returncode}:\n{last}",
            hint or "its own words above say why",
        )
    return done.stdout


def git(checkout: pathlib.Path, *words: str | os.PathLike[str]) -> str:
    """Run git in a checkout, whoever owns that."""
    safe = ("-c", "safe.directory=*")
    return run("git", *safe, *words, cwd=checkout).strip()


class Release:
    """A release that is tried.

    :param version: such as ``1.2.0``.
    :param checkout: what is released: its last commit.
    :param work: an empty directory for all that is made.
    """

    def __init__(
        self, version: str, checkout: pathlib.Path, work: pathlib.Path
    ) -> None:
        self.version = version
        self.checkout = checkout
        self.work = work
        self.clone = work / "clone"
        self.tools = work / "tools"
        self.venv = work / "venv"
        self.sdist = self.wheel = work

    def steps(self) -> tuple[tuple[str, Step], ...]:
        """Return what each step is about, and the step."""
        return (
            ("version", self.check_version),
            ("series", self.check_series),
            ("checkout", self.check_checkout),
            ("release notes", self.check_notes),
            ("source distribution", self.build_sdist),
            ("wheel", self.build_wheel),
            ("installation", self.install),
            ("files", self.check_files),
            ("elements", self.check_hooks),
            ("manual, completion, samples", self.check_share),
            ("commands", self.check_commands),
        )

    def check_version(self) -> str:
        """The version is one, and a new one."""
        if not re.fullmatch(r"[1-9]\d*\.\d+\.\d+", self.version):
            raise RefusalError(
                f"{self.version!r} is not MAJOR.MINOR.PATCH",
                "give a version such as 1.2.0",
                2,
            )
        last = self.last()
        if last and _numbers(last) >= _numbers(self.version):
            raise RefusalError(
                f"{last} is released already, and {self.version} is not newer",
                f"choose a version after {last}",
                2,
            )
        return f"{self.version} comes after {last or 'nothing'}"

    def last(self) -> str:
        """Return the last release that the commit has in it, or nothing."""
        tags = git(self.checkout, "tag", "--merged", "HEAD").split()
        released = [tag for tag in tags if re.fullmatch(r"\d+(\.\d+)+", tag)]
        return max(released, key=_numbers, default="")

    def check_series(self) -> str:
        """The major version changes with the series, and with it alone."""
        now = self._series("HEAD")
        branch = git(self.checkout, "rev-parse", "--abbrev-ref", "HEAD")
        _, stable, name = branch.rpartition("stable/")
        if stable and name != now["name"]:
            raise RefusalError(
                f"{_SERIES} says {now['name']} on branch {branch}",
                "correct the file, or release from the right branch",
            )
        major = now["trove"]
        if not now["requirement"].startswith(f"trove>={major}."):
            raise RefusalError(
                f"Trove {major}, but {now['requirement']}",
                f"correct {_SERIES}",
            )
        last = self.last()
        said = f"{now['name']}, Trove {major}"
        if not last:
            return said
        before = self._series(last)
        new_series = before["name"] != now["name"]
        new_major = _numbers(last)[0] != _numbers(self.version)[0]
        if new_series != new_major:
            raise RefusalError(
                f"{last} was for {before['name']}, this is for {now['name']}",
                "the major version changes with the series, and only then",
            )
        return said

    def _series(self, commit: str) -> dict[str, str]:
        text = git(self.checkout, "show", f"{commit}:{_SERIES}")
        return typing.cast(dict[str, str], yaml.safe_load(text))

    def check_checkout(self) -> str:
        """What is released is what is committed."""
        changed = git(self.checkout, "status", "--porcelain")
        if changed:
            raise RefusalError(
                f"not everything is committed:\n{changed}",
                "commit it, or put it away with git stash",
            )
        git(self.work, "clone", "--quiet", self.checkout, self.clone)
        name = ("-c", "user.name=x", "-c", "user.email=x@localhost")
        git(self.clone, *name, "tag", "-m", self.version, self.version)
        return git(self.clone, "log", "-1", "--format=%h %s")

    def check_notes(self) -> str:
        """The release notes are good, and this release has some."""
        project = tomllib.loads((self.clone / "pyproject.toml").read_text())
        documents = (self.clone / "doc/requirements.txt").read_text()
        reno = re.findall(r"^reno[^ ]*", documents, re.MULTILINE)
        self._install(self.tools, *project["build-system"]["requires"], *reno)
        command = self.tools / "bin/reno"
        run(command, "-q", "lint", cwd=self.clone)
        report = run(
            command, "-q", "report", "--version", self.version,
            cwd=self.clone,
        )  # fmt: skip
        (self.work / "release-notes.rst").write_text(report)
        count = report.count("\n- ")
        if not count:
            raise RefusalError(
                f"there is no release note since {self.last()}",
                "write them: reno new WHAT",
            )
        return f"{count} notes"

    def build_sdist(self) -> str:
        """Build the source distribution from the tagged clone."""
        self.sdist = self._build("sdist", self.clone)
        return self.sdist.name

    def build_wheel(self) -> str:
        """Build the wheel from the source distribution."""
        place = self.work / "unpacked"
        place.mkdir()
        run("tar", "-xf", self.sdist, cwd=place)
        (unpacked,) = place.iterdir()
        self.wheel = self._build("wheel", unpacked)
        return self.wheel.name

    def _build(self, kind: str, source: pathlib.Path) -> pathlib.Path:
        """Build what ``kind`` names with the backend of pyproject.toml."""
        output = self.work / kind
        output.mkdir()
        run(
            self.tools / "bin/python", "-c",
            "import sys, pbr.build as b;"
            " getattr(b, 'build_' + sys.argv[1])(sys.argv[2])",
            kind, output, cwd=source,
        )  # fmt: skip
        (built,) = output.iterdir()
        if f"-{self.version}" not in built.name:
            raise RefusalError(
                f"{built.name} is not of version {self.version}",
                "pbr takes the version from the tag; see `git describe`",
            )
        return built

    def install(self) -> str:
        """Install the wheel and all it requires into a new environment."""
        self._install(self.venv, self.wheel)
        found = self.venv.glob("lib/python3*/site-packages/*.dist-info")
        return f"with {len(list(found)) - 1} packages that it requires"

    def _install(
        self, venv: pathlib.Path, *what: str | os.PathLike[str]
    ) -> None:
        """Install packages into a new environment."""
        # pip of this environment does it, which saves installing another
        run(
            sys.executable, "-m", "venv", "--without-pip", venv,
            cwd=self.work,
        )  # fmt: skip
        run(
            sys.executable, "-m", "pip", f"--python={venv}/bin/python",
            "install", "--quiet", *what, cwd=self.work,
            hint="is the network up, is the index in `pip config list`"
            " reachable?",
        )  # fmt: skip

    @property
    def installed(self) -> pathlib.Path:
        """Where the package is in the new environment."""
        (found,) = self.venv.glob("lib/python3*/site-packages/trove_tools")
        return found

    def check_files(self) -> str:
        """Every file of the package arrived, with the bits it had."""
        wanted = files_under(self.clone / "trove_tools")
        found = files_under(self.installed)
        lost = sorted(
            name for name in wanted if wanted[name] != found.get(name)
        )
        if lost:
            raise RefusalError(
                f"lost from the wheel, or their mode was: {', '.join(lost)}",
                "see [files] in setup.cfg, and what git knows",
            )
        return f"{len(wanted)} files"

    def check_hooks(self) -> str:
        """diskimage-builder passes over a hook that is not executable."""
        hooks = [
            path
            for kind in _HOOKS
            for path in (self.installed / "elements").glob(f"*/{kind}/*")
            if path.is_file()
        ]
        lame = [str(each) for each in hooks if not os.access(each, os.X_OK)]
        if lame or not hooks:
            raise RefusalError(
                f"hooks that would not run: {', '.join(lame) or 'all'}",
                "give them their bit: git update-index --chmod=+x FILE",
            )
        return f"{len(hooks)} hooks can be run"

    def check_share(self) -> str:
        """What is installed besides the package is there."""
        share = self.venv / "share"
        samples = [
            f"trove-tools/samples/localrc/{file.name}"
            for file in (self.clone / "samples/localrc").iterdir()
        ]
        every = [*_SHARED, *samples]
        lost = [name for name in every if not (share / name).is_file()]
        if lost:
            raise RefusalError(
                f"not in the wheel: {', '.join(lost)}",
                "see data_files in setup.cfg",
            )
        return f"{len(every)} files"

    def check_commands(self) -> str:
        """The commands work where nothing but the wheel was installed."""
        programs = self.venv / "bin"
        listed = run(programs / "trove-image-builder", "list", cwd=self.work)
        names = [
            file.stem
            for file in self.clone.glob("trove_tools/catalog/datastores/*")
        ]
        missing = [name for name in names if name not in listed]
        if missing:
            raise RefusalError(
                f"`trove-image-builder list` has no {', '.join(missing)}",
                "is the catalog in the wheel?",
            )
        for command in COMMANDS:
            run(programs / command, "--help", cwd=self.work)
        return f"list has {len(names)} datastores"

    def proposal(self) -> str:
        """Return the command that releases."""
        commit, version = git(self.clone, "rev-parse", "HEAD"), self.version
        return f'git tag -s -m "trove-tools {version}" {version} {commit}'


def _numbers(version: str) -> list[int]:
    return [int(number) for number in version.split(".")]


def files_under(top: pathlib.Path) -> dict[str, bool]:
    """Return the files below a directory and whether each is executable."""
    return {
        str(path.relative_to(top)): os.access(path, os.X_OK)
        for path in top.rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }


def main(argv: collections.abc.Sequence[str] | None = None) -> int:
    """Try a release, and propose its tag.

    :returns: an exit status.
    """
    parser = argparse.ArgumentParser(
        prog="tools/check-release",
        description="Do all of a release that can be done without releasing"
        " anything: nothing is tagged here, and nothing is sent anywhere."
        " At the end, the command that tags is printed.",
        epilog="exit status: 0 all is well, 1 something is not, 2 bad usage,"
        " 3 something is missing on this host",
    )
    parser.add_argument("version", metavar="VERSION", help="such as 1.2.0")
    parser.add_argument(
        "--checkout", metavar="DIR", type=pathlib.Path, default=ROOT,
        help="the repository whose last commit is released (default: this)",
    )  # fmt: skip
    parser.add_argument(
        "--keep", metavar="DIR", type=pathlib.Path,
        help="keep what is made, in a new directory: the source"
        " distribution, the wheel, the release notes",
    )  # fmt: skip
    args = parser.parse_args(argv)
    if args.keep and args.keep.exists():
        parser.error(f"--keep: {args.keep} is there already")
    try:
        with tempfile.TemporaryDirectory(prefix="check-release-") as work:
            place = (args.keep or pathlib.Path(work)).resolve()
            place.mkdir(parents=True, exist_ok=True)
            _try(Release(args.version, args.checkout.resolve(), place))
    except RefusalError as exc:
        print(f"error: {exc}\nhint: {exc.hint}", file=sys.stderr)
        return exc.status
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        return 130
    return 0


def _try(release: Release) -> None:
    for title, step in release.steps():
        begin = time.monotonic()
        said = f"{step()} ({time.monotonic() - begin:.1f} s)"
        print(f"ok  {title}: {said}", file=sys.stderr)
    print(
        "all is well; nothing is tagged. This tags the release, and pushing"
        " the tag makes it:",
        file=sys.stderr,
    )
    print(release.proposal())


if __name__ == "__main__":
    sys.exit(main())
