# SPDX-License-Identifier: Apache-2.0
"""The set-up that quickstart and run-tests begin with."""

import contextlib
import os
import pty
import subprocess
import time

from tests.devstack import scripts


class MovingTest(scripts.ScriptCase):
    """What is slow shows for how long it runs."""

    def moving(self, command: str) -> scripts.Done:
        return self.run_lib(f"TICK=1\nmoving '' 'baking a cake' {command}")

    def test_what_is_quick_says_nothing(self) -> None:
        done = self.moving("echo done")
        self.assertEqual(
            (0, "done\n", ""), (done.returncode, done.stdout, done.stderr)
        )

    def test_what_is_slow(self) -> None:
        said = self.moving("sleep 4").stderr
        self.assertRegex(said, r"^(==> baking a cake: [1-9]\d* s\n)+$")

    def read_all(self, terminal: int) -> str:
        """Return all that was written to a terminal that is closed now."""
        said = b""
        # the kernel hands it over piece by piece, and then says EIO
        with contextlib.suppress(OSError):
            while piece := os.read(terminal, 10000):
                said += piece
        return said.decode()

    def test_on_a_terminal(self) -> None:
        self.fake_program("slow", "sleep 4")
        ours, theirs = pty.openpty()
        self.addCleanup(os.close, ours)
        done = subprocess.run(
            ["/bin/bash", "-c", 'ROOT=$1; source "$1/tools/lib/setup.sh"\n'
             "moving '' 'baking a cake' slow", "test", self.checkout],
            stderr=theirs,
        )  # fmt: skip
        os.close(theirs)
        self.assertEqual(0, done.returncode)
        said = self.read_all(ours)
        self.assertRegex(said, "\r==> baking a cake: [2-9] s\033\\[K")
        self.assertTrue(said.endswith("\r\033[K"), repr(said))

    def test_it_fails_as_the_command_does(self) -> None:
        self.assertEqual(7, self.moving("bash -c 'exit 7'").returncode)

    def test_nothing_of_it_stays(self) -> None:
        """Not even if the script is killed: who reads its words ends."""
        begin = time.monotonic()
        self.run_lib("moving '' 'baking a cake' kill -9 $$")
        self.assertLess(time.monotonic() - begin, 20)

    def test_what_the_command_prints_goes_to_the_log(self) -> None:
        log = self.temp_dir() / "log"
        log.write_text("before\n")
        done = self.run_lib(
            f"moving {log} 'baking a cake' sh -c 'echo one; echo two >&2'"
        )
        self.assertEqual("", done.stdout + done.stderr)
        self.assertEqual("before\none\ntwo\n", log.read_text())


class PackagesTest(scripts.ScriptCase):
    def setUp(self) -> None:
        super().setUp()
        self.fake_program("id", "echo 0")

    def apt(self, script: str = "") -> None:
        self.fake_program(
            "apt-get", f'echo "$*" >>"{self.calls}"\n{script}'
        )

    def install(self, lists: bool = True) -> scripts.Done:
        there = "true" if lists else "false"
        return self.run_lib(
            f"_apt_lists_exist() {{ {there}; }}\nsetup_packages one two"
        )

    def actions(self) -> list[str]:
        return [
            "update" if line.endswith(" update") else
            line.partition("DPkg::Lock::Timeout=300 ")[2]
            for line in self.recorded()
        ]  # fmt: skip

    def test_only_what_is_missing_and_no_recommends(self) -> None:
        self.apt()
        done = self.install()
        self.assertEqual(0, done.returncode, done.stderr)
        self.assertEqual(
            ["install --no-install-recommends one two"], self.actions()
        )

    def test_no_lists_yet(self) -> None:
        self.apt()
        self.install(lists=False)
        self.assertEqual(
            ["update", "install --no-install-recommends one two"],
            self.actions(),
        )

    def test_stale_lists(self) -> None:
        fresh = self.checkout / "fresh"
        self.apt(
            f'case "$*" in *update) touch "{fresh}" ;;'
            f' *) [ -e "{fresh}" ] ;; esac'
        )
        done = self.install()
        self.assertEqual(0, done.returncode, done.stderr)
        self.assertEqual(
            ["update", "install --no-install-recommends one two"],
            self.actions()[1:],
        )

    def test_no_network(self) -> None:
        self.apt('echo "E: Could not resolve the mirror"; exit 100')
        done = self.install()
        self.assert_refused(
            done, 3, "apt-get could not install: one two", "network"
        )
        self.assertIn("E: Could not resolve the mirror", done.stderr)

    def test_not_debian(self) -> None:
        scripts.only_path(self, "id")
        self.assert_refused(
            self.install(),
            3,
            "packages are missing on this host: one two",
            "Debian and Ubuntu only",
        )

    def test_no_sudo(self) -> None:
        self.fake_program("id", "echo 1000")
        self.fake_program("sudo", "exit 1")
        self.apt()
        done = self.install()
        self.assert_refused(
            done,
            3,
            "packages are missing, and installing them needs root: one two",
            "apt-get install --no-install-recommends one two",
        )
        self.assertEqual([], self.recorded())

    def test_sudo_is_used_by_an_ordinary_user(self) -> None:
        self.fake_program("id", "echo 1000")
        self.fake_program("sudo", f'echo sudo >>"{self.calls}"; "$@"')
        self.fake_program("-n", 'shift; exec "$@"')
        self.apt()
        self.install()
        self.assertIn("sudo", self.recorded())


class EnvironmentTest(scripts.ScriptCase):
    def test_installed_once(self) -> None:
        self.set_up()
        done = self.run_lib(
            "pip_install() { echo again; }\nsetup_project\nsetup_client\n"
            "setup_tests"
        )
        self.assertEqual((0, ""), (done.returncode, done.stdout))

    def test_installed_again_after_a_change(self) -> None:
        self.set_up()
        for name, again in (("requirements.txt", "-e"), ("setup.cfg", "-e"),
                            ("test-requirements.txt", "-r"),
                            ("unlisted-requirements.txt", "-r")):  # fmt: skip
            with (self.checkout / name).open("a") as file:
                file.write("# changed\n")
            done = self.run_lib(
                'pip_install() { printf %s "$2"; }\nsetup_project\nsetup_tests'
            )
            self.assertEqual(again, done.stdout.strip(), name)

    def test_installed_again_after_an_install_that_failed(self) -> None:
        self.stand_in("python", "echo no such index; exit 1")
        for _ in range(2):
            done = self.run_lib("setup_project")
            self.assert_refused(
                done, 3, f"pip could not install: -e {self.checkout}", "index"
            )
            self.assertIn("no such index", done.stderr)

    def test_a_broken_environment_is_made_anew(self) -> None:
        python = self.stand_in("python", "exit 1")
        python.parent.joinpath("stale").touch()
        self.fake_program(
            "fake-python", f'echo "$*" >>"{self.calls}"'
        )
        done = self.run_lib(
            'find_python() { echo fake-python; }\nmake_venv "$VENV"'
        )
        self.assertEqual(0, done.returncode, done.stderr)
        self.assertIn(
            f"-m venv --clear {self.checkout}/.venv", self.recorded()
        )

    def test_venv_is_installed_where_no_python_has_it(self) -> None:
        done = self.run_lib(
            'find_python() { [ -e "$ROOT/came" ] && echo true; }\n'
            'setup_packages() { echo "$*"; touch "$ROOT/came"; }\n'
            'make_venv "$VENV"'
        )
        self.assertEqual("python3 python3-venv", done.stdout.strip())
        self.assertEqual(0, done.returncode, done.stderr)

    def test_no_python_that_is_new_enough(self) -> None:
        done = self.run_lib(
            "find_python() { return 1; }\nsetup_packages() { :; }\n"
            'make_venv "$VENV"'
        )
        self.assert_refused(
            done, 3, "no Python 3.11 or newer on this host", "venv"
        )

    def test_missing_packages_are_told_by_bindep(self) -> None:
        self.set_up()
        self.stand_in("bindep", "printf 'qemu-utils\\ngdisk\\n'; exit 1")
        done = self.run_lib(
            'setup_packages() { echo "$@"; }\nsetup_host test'
        )
        self.assertEqual("qemu-utils gdisk", done.stdout.strip())
        self.assertEqual(
            f"bindep -b -f {self.checkout}/bindep.txt test",
            self.recorded()[-1],
        )

    def test_bindep_that_does_not_know_the_host(self) -> None:
        self.set_up()
        self.stand_in("bindep", "echo Unknown platform Plan 9; exit 1")
        done = self.run_lib("setup_host")
        self.assert_refused(
            done, 3, "bindep cannot tell what this host lacks", "bindep.txt"
        )
        self.assertIn("Plan 9", done.stderr)

    def test_two_set_ups_do_not_meet(self) -> None:
        done = self.run_lib(
            "one() { sleep 0.3; echo first; }\ntwo() { echo second; }\n"
            "with_setup_lock one &\nsleep 0.1\nwith_setup_lock two\nwait"
        )
        self.assertEqual("first second", " ".join(done.stdout.split()))
        self.assertIn("waiting for another set-up", done.stderr)
