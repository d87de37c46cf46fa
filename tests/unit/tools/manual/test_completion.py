# SPDX-License-Identifier: Apache-2.0
"""What the shells complete, asked of the shells themselves."""

import os
import pathlib
import pty
import shlex
import shutil
import subprocess
import time

import ddt

from manual import command
from manual import commands
from tests import base

_LISTED = """\
cat <<END
LISTED_COUNT=3
LISTED_0_DATASTORE=mariadb
LISTED_0_VERSION=11.8
LISTED_0_GUEST_SYSTEMS=debian-13
LISTED_1_DATASTORE=mariadb
LISTED_1_VERSION=10.11
LISTED_1_GUEST_SYSTEMS='debian-12 ubuntu-24.04'
LISTED_2_DATASTORE=redis
LISTED_2_VERSION=8.0
LISTED_2_GUEST_SYSTEMS=debian-13
END"""


class ShellCase(base.TestCase):
    def setUp(self) -> None:
        super().setUp()
        self.share = command.SHARE
        self.fake_program("trove-image-builder", _LISTED)
        self.place = self.temp_dir()
        (self.place / "trove-x.qcow2").touch()
        (self.place / "images").mkdir()


@ddt.ddt
class BashTest(ShellCase):
    def complete(self, line: str, breaks: str = " \t\n=:") -> list[str]:
        """Return what bash is told for a line, as readline calls for it."""
        name = line.split()[0]
        script = f"""\
            source {self.share / command.BASH / name}
            COMP_WORDBREAKS={shlex.quote(breaks)}
            COMP_LINE={shlex.quote(line)} COMP_POINT={len(line)}
            _trove_tools_complete {name}
            (( ${{#COMPREPLY[@]}} == 0 )) || printf '%s\\n' "${{COMPREPLY[@]}}"
            """
        done = subprocess.run(
            ["bash", "--norc", "-u", "-c", script],
            cwd=self.place, capture_output=True, text=True,
            stdin=subprocess.DEVNULL, check=True,
        )  # fmt: skip
        self.assertEqual("", done.stderr)
        return done.stdout.split("\n")[:-1]

    @ddt.data(
        ("trove-image-builder bui", ["build"]),
        ("trove-image-builder build mar",
         ["mariadb", "mariadb:10.11", "mariadb:11.8"]),
        ("trove-image-builder build --together mariadb re",
         ["redis", "redis:8.0"]),
        # bash replaces what is after the colon
        ("trove-image-builder build mariadb:", ["10.11", "11.8"]),
        ("trove-image-builder build mariadb:11", ["11.8"]),
        ("trove-image-builder show ", ["mariadb", "redis"]),
        ("trove-image-builder cache pr", ["prune"]),
        ("trove-image-builder build --compr", ["--compression"]),
        ("trove-image-builder build --compression z", ["zlib", "zstd"]),
        ("trove-image-builder build --compression=zs", ["zstd"]),
        ("trove-image-builder build --guest ubu", ["ubuntu-24.04"]),
        ("trove-image-builder build --output-dir ", ["images"]),
        ("trove-image-builder build --output-dir x --nam", ["--name"]),
        ("trove-image-builder verify tro", ["trove-x.qcow2"]),
        ("trove-image-builder verify --compr", []),
        ("trove-image-builder list x", []),
        ("load-trove-image tro", ["trove-x.qcow2"]),
        ("load-trove-image --from-build mariadb:1", ["10.11", "11.8"]),
        ("load-trove-image --version ", []),
        ("activate-trove-image --roll", ["--rollback"]),
        ("activate-trove-image --rollback re", ["redis", "redis:8.0"]),
        ("activate-trove-image -f j", ["json"]),
    )  # fmt: skip
    @ddt.unpack
    def test_line(self, line: str, wanted: list[str]) -> None:
        self.assertEqual(sorted(wanted), sorted(self.complete(line)))

    def test_words_that_do_not_end_at_colons(self) -> None:
        self.assertEqual(
            ["mariadb:11.8"],
            self.complete("trove-image-builder build mariadb:11", " \t\n"),
        )
        self.assertEqual(
            ["--level=boot"],
            self.complete("trove-image-builder verify --level=b", " \t\n"),
        )

    def test_every_flag_of_every_command(self) -> None:
        for parser in commands.parsers():
            for each in (parser, *commands.subcommands(parser).values()):
                wanted = {
                    flag
                    for action in each._actions
                    for flag in action.option_strings
                }
                self.assertEqual(wanted, set(self.complete(f"{each.prog} -")))

    def test_a_list_that_cannot_be_had(self) -> None:
        self.fake_program("trove-image-builder", "echo no >&2; exit 1")
        self.assertEqual([], self.complete("trove-image-builder show "))


class ZshTest(ShellCase):
    def complete(self, *lines: str) -> list[str]:
        """Type lines and a tab after each; return what they become."""
        zsh = shutil.which("zsh")
        if zsh is None:
            self.skipTest("zsh is not installed")
        out = self.temp_dir() / "lines"
        out.touch()
        start = self.place / ".zshrc"
        start.write_text(
            f"fpath=({self.share / command.ZSH} $fpath)\n"
            "autoload -Uz compinit && compinit -u -D\n"
            f"show() {{ print -r -- $BUFFER >>{out} }}\n"
            "zle -N show; bindkey '^T' show; bindkey '^U' kill-whole-line\n"
            "setopt no_beep no_auto_param_slash; PS1='> '\n"
            # what is typed before its editor runs, the terminal eats
            f"ready() {{ print ready >>{out} }}; zle -N zle-line-init ready\n"
            f"cd {self.place}\n"
        )
        child, terminal = pty.fork()
        if child == 0:
            env = {**os.environ, "ZDOTDIR": str(self.place), "TERM": "dumb"}
            os.execve(zsh, [zsh, "-d", "-i"], env)
        self.addCleanup(os.waitpid, child, 0)
        self.addCleanup(os.close, terminal)
        self.wait(out, 1)
        for number, line in enumerate(lines):
            os.write(terminal, f"{line}\t\x14\x15".encode())
            self.wait(out, number + 2)
        return out.read_text().splitlines()[1:]

    def wait(self, file: pathlib.Path, lines: int) -> None:
        for _ in range(400):
            if file.read_text().count("\n") >= lines:
                return
            time.sleep(0.05)
        self.fail(f"zsh does not answer: {file.read_text()}")

    def test_lines(self) -> None:
        wanted = {
            "trove-image-builder bui": "trove-image-builder build ",
            "trove-image-builder build red": "trove-image-builder build redis",
            "trove-image-builder build mariadb:11":
                "trove-image-builder build mariadb:11.8 ",
            "trove-image-builder build --compr":
                "trove-image-builder build --compression=",
            "trove-image-builder build --compression=zs":
                "trove-image-builder build --compression=zstd ",
            "trove-image-builder build --guest ubu":
                "trove-image-builder build --guest ubuntu-24.04 ",
            "trove-image-builder cache pr": "trove-image-builder cache prune ",
            "trove-image-builder verify tro":
                "trove-image-builder verify trove-x.qcow2 ",
            "load-trove-image --from-build redis:":
                "load-trove-image --from-build redis:8.0 ",
            "load-trove-image tro": "load-trove-image trove-x.qcow2 ",
            "activate-trove-image --roll": "activate-trove-image --rollback ",
            "activate-trove-image mariadb:1":
                "activate-trove-image mariadb:1",
        }  # fmt: skip
        self.assertEqual(list(wanted.values()), self.complete(*wanted))


class WrittenTest(base.TestCase):
    def test_files_are_up_to_date(self) -> None:
        for path, text in command.texts().items():
            self.assertEqual(
                text, (command.SHARE / path).read_text(),
                "run: tools/make-manual",
            )  # fmt: skip

    def test_setup_imports_nothing_of_the_package(self) -> None:
        # whatever builds or installs the package runs it
        setup = (base.ROOT / "setup.py").read_text()
        self.assertNotIn("trove_tools", setup)
