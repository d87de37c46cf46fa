# SPDX-License-Identifier: Apache-2.0
import json
import pathlib

from minicloud import command as minicloud
from minicloud import layout as layouts
from minicloud import lifecycle
from minicloud import state as states
from tests import base


class CommandTest(base.TestCase):
    def setUp(self) -> None:
        super().setUp()
        self.set_env(HOME=str(self.temp_dir()))
        self.layout = layouts.Layout(self.temp_dir().resolve())
        self.out, self.err = self.capture()

    def make(self) -> None:
        states.save(self.layout, states.new())
        self.layout.clouds.write_text("clouds: {}\n")

    def run_command(self, *args: str | pathlib.Path) -> int:
        return minicloud.main([str(arg) for arg in args])

    def printed(self) -> str:
        self.out.seek(0)
        return str(self.out.read())

    def said(self) -> str:
        self.err.seek(0)
        return str(self.err.read())

    def test_start(self) -> None:
        seen: dict[str, object] = {}

        def start(layout: object, report: object, **kwargs: object) -> object:
            seen.update(kwargs)
            return ["trove"]

        self.patch_object(lifecycle, "start", start)
        status = self.run_command(
            "start", self.layout.root, "--port", "trove=1", "--port",
            "glance=2", "--venv", "/v",
        )  # fmt: skip
        self.assertEqual(0, status)
        self.assertEqual({"trove": 1, "glance": 2}, seen["wanted"])
        self.assertEqual(pathlib.Path("/v"), seen["venv"])
        self.assertEqual("", self.printed())
        self.assertIn('eval "$(tools/minicloud env', self.said())

    def test_env(self) -> None:
        self.make()
        self.set_env(OS_USERNAME="another", OS_CLOUD="another")
        self.assertEqual(0, self.run_command("env", self.layout.root))
        self.assertEqual(
            "unset OS_USERNAME\n"
            f"export OS_CLIENT_CONFIG_FILE='{self.layout.clouds}'\n"
            "export OS_CLOUD='minicloud'\n"
            f"export TROVE_TOOLS_MINICLOUD='{self.layout.root}'\n",
            self.printed(),
        )

    def test_env_of_a_cloud_that_was_never_ready(self) -> None:
        states.save(self.layout, states.new())
        self.assertEqual(1, self.run_command("env", self.layout.root))
        self.assertEqual("", self.printed())
        self.assertIn("never ready", self.said())

    def test_status(self) -> None:
        self.make()
        status = self.run_command("status", self.layout.root, "-f", "json")
        self.assertEqual(1, status)
        rows = json.loads(self.printed())
        self.assertEqual(
            [("keystone", "stopped"), ("glance", "stopped"),
             ("trove", "stopped")],
            [(row["name"], row["state"]) for row in rows],
        )  # fmt: skip

    def test_stop(self) -> None:
        self.make()
        self.layout.make()
        self.assertEqual(0, self.run_command("stop", self.layout.root))
        self.assertIn("nothing of this runs", self.said())

    def test_bad_usage(self) -> None:
        for args in (
            ("start",),
            ("strat", "x"),
            ("start", "x", "--port", "trove"),
            ("start", "x", "--port", "nova=1"),
            ("start", "x", "--prot", "trove=1"),
            ("stop", self.layout.root / "nowhere"),
            ("stop", self.layout.root, "nova"),
            ("env", self.layout.root, "--cloud", "other"),
        ):
            self.assertEqual(2, self.run_command(*args), args)
        self.assertEqual(8, self.said().count("error: "))
        self.assertNotIn("Traceback", self.said())
