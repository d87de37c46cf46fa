# SPDX-License-Identifier: Apache-2.0
"""tools/quickstart, with stand-ins for the commands that it shows."""

import pathlib
import re
import subprocess

from tests.devstack import scripts


class QuickstartTest(scripts.ScriptCase):
    def setUp(self) -> None:
        super().setUp()
        self.set_up()
        images = self.checkout / "quickstart" / "images"
        self.image = images / "trove-image.qcow2"
        self.stand_in(
            "trove-image-builder",
            'case "$1" in\n'
            "plan) echo \"PLANNED_0_FILE='trove-image.qcow2'\" ;;\n"
            'build) cd "$4"; mkdir -p trove-image.d; echo x >>n;'
            " [ -e trove-image.qcow2 ] || { touch trove-image.qcow2;"
            " echo {} >trove-image.d/manifest.json; } ;;\n"
            "esac",
        )
        self.stand_in("load-trove-image")
        self.stand_in("activate-trove-image")
        self.stand_in("openstack", 'echo "cloud: $OS_CLOUD" >&2')
        minicloud = self.checkout / "tools" / "minicloud"
        minicloud.unlink(missing_ok=True)
        self.fake_program(
            "minicloud",
            f'echo "minicloud $*" >>"{self.calls}"\n'
            'if [ "$1" = env ]; then echo "export OS_CLOUD=\'mini\'"; fi',
            minicloud.parent,
        )

    def quickstart(
        self, *args: str | pathlib.Path, cwd: str | pathlib.Path = "/"
    ) -> scripts.Done:
        return self.run_script("tools/quickstart", *args, cwd=cwd)

    def shown(self, done: scripts.Done) -> list[str]:
        lines = done.stderr.splitlines()
        return [line[2:] for line in lines if line.startswith("$ ")]

    def test_each_command_is_shown_and_run(self) -> None:
        done = self.quickstart()
        self.assertEqual(0, done.returncode, done.stderr)
        image = "quickstart/images/trove-image.qcow2"
        self.assertEqual(
            [
                "mkdir -p quickstart/images",
                "tools/trove-image-builder build mariadb"
                " --output-dir quickstart/images",
                f"tools/trove-image-builder verify {image}",
                "tools/minicloud start quickstart/minicloud",
                'eval "$(tools/minicloud env quickstart/minicloud)"',
                f"tools/load-trove-image {image}",
                "tools/activate-trove-image mariadb",
                ".venv/bin/openstack datastore version list mariadb",
            ],
            self.shown(done),
        )
        self.assertEqual(
            [
                "bindep",
                "trove-image-builder build",
                "trove-image-builder plan",
                "trove-image-builder verify",
                "minicloud start",
                "minicloud env",
                "load-trove-image",
                "activate-trove-image",
                "openstack datastore",
            ],
            [
                " ".join(line.split()[: 1 if "image " in line[:21] else 2])
                if not line.startswith("bindep")
                else "bindep"
                for line in self.recorded()
            ],
        )
        self.assertIn("cloud: mini", done.stderr)
        self.assertIn("tools/minicloud stop quickstart", done.stderr)

    def test_the_set_up_installs_the_client(self) -> None:
        (self.checkout / ".venv" / ".installed-client").unlink()
        self.stand_in("python")
        done = self.quickstart("--setup-only")
        self.assertEqual(0, done.returncode, done.stderr)
        (installed,) = (
            line for line in self.recorded() if " pip install " in line
        )
        self.assertRegex(installed, r" python-troveclient>=[\d.]+$")

    def test_all_that_was_made_can_be_removed(self) -> None:
        cache = self.temp_dir() / "cache"
        self.set_env(XDG_CACHE_HOME=str(cache))
        (cache / "trove-tools" / "layers").mkdir(parents=True)
        before = {path.name for path in self.checkout.iterdir()}
        for name in ("build", ".test-work", ".venv-lint"):
            (self.checkout / name).mkdir(exist_ok=True)
        done = self.quickstart()
        self.assertEqual(0, done.returncode, done.stderr)
        self.assertTrue((self.checkout / ".venv.lock").exists())
        (line,) = re.findall(r"^    (rm .*)$", done.stderr, re.MULTILINE)
        subprocess.run(
            ["bash", "-euc", line], cwd=self.checkout, check=True
        )
        left = {path.name for path in self.checkout.iterdir()}
        self.assertEqual(set(), left - before)
        for name in (".venv", ".venv.lock", "quickstart", "build"):
            self.assertNotIn(name, left)
        self.assertEqual([], list(cache.iterdir()))

    def test_steps_say_how_long_they_take(self) -> None:
        said = self.quickstart().stderr
        self.assertIn("Build a guest image (about 3 minutes)", said)
        self.assertIn("guest agent make a database (about 4 minutes)", said)
        self.assertIn("Make it the default for new instances (some", said)
        history = self.checkout / "quickstart" / "durations"
        # what took no time had nothing to do, and is no measure
        self.assertFalse(history.exists())
        history.mkdir()
        (history / "build").write_text("55\n")
        said = self.quickstart().stderr
        self.assertIn("Build a guest image (about 55 seconds)", said)

    def test_quick(self) -> None:
        done = self.quickstart("--quick")
        self.assertEqual(0, done.returncode, done.stderr)
        self.assertIn(
            "tools/trove-image-builder verify --level boot"
            " quickstart/images/trove-image.qcow2",
            self.shown(done),
        )

    def test_a_step_that_fails_is_the_last(self) -> None:
        self.stand_in(
            "load-trove-image", 'echo "error: no such cloud" >&2; exit 4'
        )
        done = self.quickstart()
        self.assertEqual(4, done.returncode)
        self.assertIn("error: no such cloud", done.stderr)
        self.assertNotIn("activate-trove-image", " ".join(self.shown(done)))

    def verify_ends_with(self, status: int) -> None:
        builder = self.checkout / ".venv" / "bin" / "trove-image-builder"
        text = builder.read_text().replace(
            "esac", f"verify) exit {status} ;;\nesac"
        )
        builder.write_text(text)

    def test_an_image_that_fails_its_checks_does_not_end_the_tour(
        self,
    ) -> None:
        self.verify_ends_with(1)
        for _ in range(2):
            done = self.quickstart("--quick")
            self.assertEqual(1, done.returncode)
            self.assertIn(
                ".venv/bin/openstack datastore version list mariadb",
                self.shown(done),
            )
            error, hint = done.stderr.splitlines()[-2:]
            self.assertEqual(
                "error: the image failed its checks, as shown above", error
            )
            self.assertIn(
                "run tools/trove-image-builder verify --level boot"
                " quickstart/images/trove-image.qcow2",
                hint,
            )

    def test_checks_that_cannot_be_made_end_the_tour(self) -> None:
        self.verify_ends_with(3)
        done = self.quickstart()
        self.assertEqual(3, done.returncode)
        self.assertNotIn("load-trove-image", done.stderr)

    def test_set_up_that_takes_long_says_for_how_long(self) -> None:
        self.set_env(TICK="1")
        self.stand_in("bindep", "sleep 4")
        done = self.quickstart("--setup-only")
        self.assertEqual(0, done.returncode, done.stderr)
        self.assertRegex(
            done.stderr,
            r"(?m)^==> looking for packages that are missing: \d+ s$",
        )

    def test_another_version_and_directory(self) -> None:
        elsewhere = self.temp_dir() / "my images"
        elsewhere.mkdir()
        done = self.quickstart(
            "--directory", "here", "mariadb:11.8", cwd=elsewhere
        )
        self.assertEqual(0, done.returncode, done.stderr)
        self.assertTrue((elsewhere / "here" / "images").is_dir())
        self.assertIn("activate-trove-image mariadb:11.8", done.stderr)
        self.assertIn("version list mariadb\n", done.stderr)

    def test_set_up_only(self) -> None:
        done = self.quickstart("--setup-only")
        self.assertEqual(0, done.returncode, done.stderr)
        self.assertEqual([], self.shown(done))
        self.assertEqual(1, len(self.recorded()))

    def test_help(self) -> None:
        done = self.quickstart("--help")
        self.assertEqual((0, ""), (done.returncode, done.stderr))
        self.assertIn("Datastores: ", done.stdout)
        self.assertEqual([], self.recorded())

    def test_unknown_datastore(self) -> None:
        self.assert_refused(
            self.quickstart("maria"),
            2,
            "there is no datastore maria",
            "known datastores: ",
        )
        self.assertEqual([], self.recorded())

    def test_unknown_option(self) -> None:
        self.assert_refused(
            self.quickstart("--verbose"),
            2,
            "unknown option --verbose",
            "--help",
        )

    def test_option_without_its_value(self) -> None:
        self.assert_refused(
            self.quickstart("--directory"),
            2,
            "--directory needs a directory",
            "--help",
        )

    def test_two_datastores(self) -> None:
        self.assert_refused(
            self.quickstart("mariadb", "mysql"),
            2,
            "one datastore at a time, not also mysql",
            "--help",
        )

    def test_no_sudo(self) -> None:
        self.fake_program("id", "echo 1000")
        self.fake_program("sudo", "exit 1")
        self.assert_refused(
            self.quickstart(),
            3,
            "building an image needs root's rights",
            "sudo without a password",
        )
        self.assertEqual([], self.recorded())
