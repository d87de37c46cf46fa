# SPDX-License-Identifier: Apache-2.0
"""The commands as they are run from a checkout."""

from tests.devstack import scripts

COMMANDS = ("trove-image-builder", "load-trove-image", "activate-trove-image")


class CommandsTest(scripts.ScriptCase):
    def test_each_runs_by_both_names(self) -> None:
        for command in COMMANDS:
            self.stand_in(command, "exit 7")
            for name in (command, f"{command}.bash"):
                done = self.run_script(f"tools/{name}", "a b", "-c")
                self.assertEqual((7, ""), (done.returncode, done.stderr))
        self.assertEqual(
            [f"{command} a b -c" for command in COMMANDS for _ in range(2)],
            self.recorded(),
        )

    def test_each_runs_through_links_from_anywhere(self) -> None:
        elsewhere = self.temp_dir()
        for command in COMMANDS:
            self.stand_in(command)
            first, second = elsewhere / f"{command}-1", elsewhere / command
            first.symlink_to(self.checkout / "tools" / f"{command}.bash")
            second.symlink_to(first.name)
            done = self.run_script(second, cwd=elsewhere)
            self.assertEqual((0, ""), (done.returncode, done.stderr))
        self.assertEqual([f"{name} " for name in COMMANDS], self.recorded())

    def test_arguments_arrive_as_they_are(self) -> None:
        self.stand_in("load-trove-image", 'printf "<%s>" "$@"')
        done = self.run_script("tools/load-trove-image", "", "a  b", "*", "$x")
        self.assertEqual("<><a  b><*><$x>", done.stdout)

    def test_the_programs_of_root_are_found(self) -> None:
        self.stand_in("trove-image-builder", 'echo "$PATH"')
        self.set_env(PATH="/usr/bin:/bin")
        done = self.run_script("tools/trove-image-builder")
        self.assertIn("/usr/sbin", done.stdout.strip().split(":"))

    def test_each_says_what_to_do_without_a_set_up(self) -> None:
        self.set_env(DATA_DIR="/none", PATH="/usr/bin:/bin")
        for command in COMMANDS:
            self.assert_refused(
                self.run_script(f"tools/{command}.bash", "--help"),
                3,
                f"{command} is not installed in {self.checkout}/.venv,"
                " nor on PATH, nor in /none/venv",
                f"run {self.checkout}/tools/quickstart --setup-only first",
            )

    def test_where_commands_are_looked_for(self) -> None:
        """In .venv, then in the active environment, then in devstack's."""
        command, data = COMMANDS[0], self.temp_dir()
        active, devstacks = self.temp_dir(), data / "venv" / "bin"
        devstacks.mkdir(parents=True)
        tools = self.checkout / "tools"
        self.set_env(DATA_DIR=str(data))
        places = {
            "devstack": devstacks,
            "active": active,
            "checkout": self.checkout / ".venv" / "bin",
        }
        for name, directory in places.items():
            directory.mkdir(parents=True, exist_ok=True)
            self.fake_program(command, f"echo {name}", directory)
            self.set_env(PATH=f"{tools}:{active}:/usr/bin:/bin")
            done = self.run_script(f"tools/{command}")
            self.assertEqual(f"{name}\n", done.stdout, done.stderr)
