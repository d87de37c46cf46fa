# SPDX-License-Identifier: Apache-2.0
"""Understanding what diskimage-builder prints."""

import os
import pathlib
import stat
import typing

import ddt

from tests import base
from tests.unit.plan import samples
from trove_tools import console
from trove_tools.build import dib
from trove_tools.build import inputs
from trove_tools.build import timeline
from trove_tools.host import process
from trove_tools.plan import elements
from trove_tools.plan import layers
from trove_tools.plan import plan

STAMP = "2026-01-02 03:04:05.678 | "


class Recorder(console.Progress):
    def __init__(self) -> None:
        self.states: list[str] = []
        self.steps = 0

    def state(self, text: str) -> None:
        self.states.append(text)

    def advance(self, amount: int = 1) -> None:
        self.steps += amount


@ddt.ddt
class LogTest(base.TestCase):
    def follow(self, *lines: str) -> tuple[dib.Log, Recorder]:
        progress = Recorder()
        self.timeline = timeline.Timeline()
        log = dib.Log("base", progress, self.timeline)
        for line in lines:
            log.line(f"{STAMP}{line}\n")
        return log, progress

    def test_phases(self) -> None:
        log, progress = self.follow(
            "diskimage-builder version 3",
            "dib-run-parts Running /tmp/x/hooks/root.d/08-debootstrap",
            "dib-run-parts Running /tmp/x/hooks/root.d/75-more",
            "dib-run-parts Running /tmp/in_target.d/install.d/50-x",
        )
        self.assertEqual(
            ["base: make the root file system", "base: install packages"],
            progress.states,
        )
        self.assertEqual(1, progress.steps)
        log.enter("")
        self.assertEqual(
            [("root", ["08-debootstrap", "75-more"]), ("install", ["50-x"])],
            [
                (each.name, [hook.name for hook in each.spans])
                for each in self.timeline.spans
            ],
        )

    def test_failure_shows_the_failing_hook_only(self) -> None:
        log, _ = self.follow(
            "dib-run-parts Running /tmp/in_target.d/install.d/10-fine",
            "all is well",
            "dib-run-parts Running /tmp/in_target.d/install.d/50-bad",
            *(f"line {number}" for number in range(1000)),
            "it broke",
        )
        error = log.failure(3)
        self.assertIn("status 3 in hook install.d/50-bad", error.message)
        self.assertIn("  | it broke", error.message)
        self.assertNotIn("all is well", error.message)
        self.assertLess(len(error.message.splitlines()), 25)
        self.assertIsNone(error.hint)

    @ddt.data(
        ("E: Failed to fetch http://m/x  404  Not Found", "--mirror"),
        ("E: Failed getting release file http://m/dists/x", "--mirror"),
        ("Err: Could not resolve 'm.example'", "the network"),
        ("cp: error writing: No space left on device", "--work-dir"),
        ("W: GPG error: NO_PUBKEY 0123", "keyring"),
        ("ERROR: No matching distribution found for trove", "--constraints"),
        ("  Certificate verification failed: The certificate is NOT trusted.",
         "--ca-certificate"),
        ("curl: (60) SSL certificate problem: unable to get local issuer",
         "--ca-certificate"),
        ("fatal: unable to access 'https://g/': server certificate"
         " verification failed. CAfile: none CRLfile: none",
         "--ca-certificate"),
        ("invalid peer certificate: UnknownIssuer", "--ca-certificate"),
        ("tls: failed to verify certificate: x509: certificate signed by"
         " unknown authority", "--ca-certificate"),
        ("[SSL: CERTIFICATE_VERIFY_FAILED] certificate verify failed:"
         " certificate has expired", "clock"),
        ("  502  the proxy http://p:3128 refuses: 407 it wants a user",
         "apt-config dump"),
        ("502  the proxy http://p:3128 cannot be reached: [Errno 111]"
         " Connection refused", "apt-config dump"),
        ("502  m.example cannot be reached: [Errno -2] Name or service",
         "the network"),
    )  # fmt: skip
    @ddt.unpack
    def test_known_causes_have_a_remedy(self, line: str, word: str) -> None:
        log, _ = self.follow(
            "dib-run-parts Running /tmp/in_target.d/install.d/50-x", line
        )
        error = log.failure(1)
        self.assertIn(word, error.hint or "")

    def test_the_cause_is_shown_wherever_it_was_said(self) -> None:
        """apt says it, and then fifty lines of what follows from it."""
        cause = "  Certificate verification failed: The certificate is NOT"
        log, _ = self.follow(
            "dib-run-parts Running /tmp/hooks/root.d/75-base",
            f"{cause} trusted.",
            *(f"E: Unable to locate package p{n}" for n in range(50)),
        )
        error = log.failure(100)
        self.assertIn(f"\n  | {cause} trusted.\n  | ...\n", error.message)
        self.assertIn("--ca-certificate", error.hint or "")
        self.assertIn("p49", error.message)

    def test_hooks_that_have_a_name_for_users(self) -> None:
        for hook in dib._HOOKS:
            ours = base.ROOT / "trove_tools" / "elements"
            found = list(ours.glob(f"*/*.d/{hook}"))
            self.assertEqual(1, len(found), hook)
        _, progress = self.follow(
            "dib-run-parts Running /tmp/x/cleanup.d/10-one",
            f"dib-run-parts Running /tmp/x/cleanup.d/{hook}",
            "dib-run-parts Running /tmp/x/cleanup.d/95-last",
        )
        self.assertEqual(
            [
                "base: clean up",
                f"base: {dib._HOOKS[hook]}",
                "base: clean up",
            ],
            progress.states,
        )

    def test_what_no_hook_does(self) -> None:
        """The copy to the disk is no hook's time, and no hook is to blame."""
        log, progress = self.follow(
            "dib-run-parts Running /tmp/in_target.d/post-install.d/96-last",
            "dib-run-parts 96-last completed",
            "Unmount /x/mnt",
        )
        self.assertIn("after hook post-install.d/96-last of",
                      log.failure(1).message)  # fmt: skip
        log.line("INFO diskimage_builder.block_device.blockdevice [-] create()"
                 " called\n")  # fmt: skip
        self.assertIn("at the disk of the layer", log.failure(1).message)
        log.line("dib-run-parts Running /tmp/in_target.d/finalise.d/50-x\n")
        self.assertIn("in hook finalise.d/50-x", log.failure(1).message)
        log.enter("")
        self.assertEqual(
            [("post-install", 1), ("disk", 0), ("finalise", 1)],
            [(each.name, len(each.spans)) for each in self.timeline.spans],
        )
        self.assertIn(
            "base: copy the root file system to the disk", progress.states
        )

    def test_failure_before_the_first_hook(self) -> None:
        log, _ = self.follow("Element 'x' not found in '/y'")
        error = log.failure(1)
        self.assertIn("before the first hook", error.message)
        self.assertIn("Element 'x' not found", error.message)


class RunCase(base.TestCase):
    def setUp(self) -> None:
        super().setUp()
        self.directory = self.temp_dir()
        self.log = self.directory / "log"
        self.layers = plan.make(samples.a_request()).layers

    def a_run(self, **changes: typing.Any) -> dib.Run:
        values: dict[str, typing.Any] = {
            "arch": "amd64",
            "distribution": "debian",
            "elements_path": (str(elements.DIRECTORY),),
            "work": self.directory,
            "log": self.log,
            "progress": console.Progress(),
            "timeline": timeline.Timeline(),
            "downloads": self.temp_dir(),
            "containers": pathlib.Path("/containers"),
            "natives": pathlib.Path("/natives"),
        }
        return dib.Run(**{**values, **changes})


class CommandTest(RunCase):
    def test_command(self) -> None:
        argv = self.a_run().command(
            self.layers[0], pathlib.Path("/out/x"), "tar"
        )
        self.assertTrue(argv[0].endswith("/bin/disk-image-create"))
        self.assertEqual(
            ["-n", "-a", "amd64", "-t", "tar", "-o", "/out/x"], argv[1:8]
        )
        self.assertEqual(list(self.layers[0].elements), argv[8:])

    def test_environment(self) -> None:
        self.set_env(PATH="/mine", USER=None)
        run = self.a_run()
        variables = run.environment(
            self.layers[1], pathlib.Path("/parent"), pathlib.Path("/downloads")
        )
        self.assertEqual(
            f"{self.directory}/elements-runtime", variables["ELEMENTS_PATH"]
        )
        self.assertEqual(str(self.directory), variables["TMP_DIR"])
        self.assertEqual("/parent", variables["DIB_TROVE_LAYER"])
        self.assertEqual("/natives", variables["DIB_TROVE_NATIVES"])
        self.assertEqual("/downloads", variables["DIB_IMAGE_CACHE"])
        self.assertIn("/usr/sbin", variables["PATH"])
        self.assertTrue(variables["USER"])


class BelowTest(RunCase):
    def test_what_a_layer_knows_of_those_below(self) -> None:
        inputs.copy_elements(
            self.layers[1],
            (elements.DIRECTORY, elements.shipped_path()),
            self.directory,
        )
        element = self.directory / "trove-layer-below"
        provided = (element / "element-provides").read_text().split()
        self.assertIn("operating-system", provided)
        self.assertIn("trove-guest", provided)
        self.assertNotIn("dpkg", provided)
        names = {file.name for file in element.glob("environment.d/*")}
        self.assertIn("10-debian-minimal.bash", names)
        self.assertIn("05-trove-guest.bash", names)
        self.assertNotIn("10-dpkg.bash", names)

    def test_modes_are_those_of_a_repository(self) -> None:
        library = self.temp_dir()
        for name in (*self.layers[1].below, *self.layers[1].runs):
            (library / name / "__pycache__").mkdir(parents=True)
        element = library / "trove-pip"
        element.chmod(0o700)
        for name, mode in (("script", 0o700), ("data", 0o606)):
            (element / name).write_text(name)
            (element / name).chmod(mode)
        (element / "link").symlink_to("data")
        umask = os.umask(0o077)
        self.addCleanup(os.umask, umask)
        place = self.directory / "elements"
        inputs.copy_elements(self.layers[1], [library], place)
        made = place / "trove-pip"
        self.assertEqual(
            {
                "": "drwxr-xr-x",
                "data": "-rw-r--r--",
                "link": "lrwxrwxrwx",
                "script": "-rwxr-xr-x",
            },
            {
                "" if file == made else file.name: stat.filemode(
                    file.lstat().st_mode
                )
                for file in (made, *made.iterdir())
            },
        )
        self.assertEqual("data", (made / "link").read_text())
        self.assertTrue((place / layers.BELOW).is_dir())


class BuildTest(RunCase):
    """The child's side played by a script; the rest is real."""

    def run_script(self, script: str) -> list[timeline.Span]:
        program = self.fake_program("disk-image-create", script)

        def command(*_: typing.Any) -> list[str]:
            return [str(program)]

        self.patch_object(dib.Run, "command", command)
        run = self.a_run()
        run.build(self.layers[0], self.directory / "x", "tar")
        return run.timeline.spans

    def test_success(self) -> None:
        self.set_env(DIB_OTHER="of another layer", TMPDIR="/of/the/user")
        (root,) = self.run_script(
            "echo dib-run-parts Running /x/root.d/1; echo $TMP_DIR; pwd;"
            "echo [$DIB_OTHER$TMPDIR]"
        )
        self.assertEqual(("phase", "root"), (root.kind, root.name))
        self.assertEqual(["1"], [each.name for each in root.spans])
        self.assertEqual(
            [*[str(self.directory)] * 2, "[]"],
            self.log.read_text().splitlines()[1:],
        )

    def test_nobody_waits_for_its_last_sleep(self) -> None:
        self.run_script(
            "echo 2026-01-31 01:02:03.004 \\| Build completed successfully;"
            "sleep 300; exit 1"
        )

    def build_layer(self, script: str) -> tuple[pathlib.Path, pathlib.Path]:
        """Build a layer with a script that is told where its tar goes."""

        def command(
            _: dib.Run, layer: typing.Any, stem: pathlib.Path, kind: str
        ) -> list[str]:
            return ["sh", "-c", script, "sh", f"{stem}.{kind}"]

        self.patch_object(dib.Run, "command", command)
        archive = self.temp_dir() / "archive"
        return archive, self.a_run().build_layer(self.layers[0], archive, None)

    def test_what_a_layer_leaves(self) -> None:
        archive, kept = self.build_layer(
            'mkdir $DIB_TROVE_LAYER_KEPT; echo packed >"$1"'
        )
        self.assertTrue(kept.is_dir())
        self.assertTrue(kept.is_relative_to(self.directory))
        done = process.run(["zstd", "-dc", "--quiet", archive])
        self.assertEqual("packed\n", done.stdout)

    def test_a_layer_that_fails(self) -> None:
        error = self.assertRaises(
            dib.errors.BuildError, self.build_layer, "exit 7"
        )
        self.assertIn("status 7", error.message)

    def test_a_layer_that_cannot_be_kept(self) -> None:
        self.fake_program("zstd", "echo No space left on device; exit 1")
        error = self.assertRaises(
            dib.errors.BuildError, self.build_layer, "sleep 1; exit 1"
        )
        self.assertIn("base cannot be kept: No space left", error.message)
        self.assertIn("the disk is full", error.hint)

    def test_failure(self) -> None:
        error = self.assertRaises(
            dib.errors.BuildError,
            self.run_script,
            "echo dib-run-parts Running /x/root.d/1; echo oh; exit 7",
        )
        self.assertIn(
            "status 7 in hook root.d/1 of the layer base", error.message
        )
        self.assertIn("oh", self.log.read_text())
