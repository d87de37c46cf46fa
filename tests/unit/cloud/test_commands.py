# SPDX-License-Identifier: Apache-2.0
"""The two commands: what they print where, and how they end."""

import json
import signal

from tests import base
from tests.unit.cloud import fakes
from tests.unit.cloud import images
from trove_tools import results
from trove_tools.cli import activate
from trove_tools.cli import load


class CommandsTest(base.TestCase):
    def setUp(self) -> None:
        super().setUp()
        # the commands take SIGTERM over, which is the tests' own again after
        before = signal.getsignal(signal.SIGTERM)
        self.addCleanup(signal.signal, signal.SIGTERM, before)
        self.cloud = self.useFixture(fakes.Cloud(self.temp_dir()))
        path = self.temp_dir() / "trove-mariadb.qcow2"
        self.home = str(path.parent)
        path.write_bytes(images.qcow2())
        images.describe(path)
        self.path = str(path)
        self.stdout, self.stderr = self.capture()

    def printed(self) -> str:
        self.stdout.seek(0)
        text: str = self.stdout.read()
        self.stdout.seek(0)
        self.stdout.truncate()
        return text

    def said(self) -> str:
        self.stderr.seek(0)
        text: str = self.stderr.read()
        return text

    def test_json(self) -> None:
        self.assertEqual(0, load.main([self.path, "-f", "json"]))
        (row,) = json.loads(self.printed())
        self.assertEqual("mariadb", row["datastore"])
        self.assertEqual(set(results.LOAD.fields), set(row))
        self.assertEqual(0, activate.main(["mariadb", "-f", "json"]))
        activated = json.loads(self.printed())
        self.assertTrue(activated["default"])
        self.assertLessEqual(set(activated), set(results.ACTIVATE.fields))
        self.assertEqual(0, activate.main(["--list", "-f", "json"]))
        (row,) = json.loads(self.printed())
        self.assertEqual(set(results.REGISTERED.fields), set(row))

    def test_shell(self) -> None:
        self.assertEqual(0, load.main([self.path, "-f", "shell"]))
        lines = self.printed().splitlines()
        self.assertIn("LOADED_COUNT=1", lines)
        self.assertIn(f"LOADED_0_IMAGE_ID={self.image_id()}", lines)
        self.assertIn("LOADED_0_ACTIVE=false", lines)
        self.assertEqual(0, activate.main(["mariadb:11.8", "-f", "shell"]))
        self.assertIn("ACTIVATED_DEFAULT=true", self.printed().splitlines())

    def test_table(self) -> None:
        self.assertEqual(0, load.main([self.path, "--activate"]))
        self.assertIn(self.image_id(), self.printed())
        self.assertIn("datastore version mariadb:11.8: created", self.said())
        self.assertEqual(0, activate.main(["mariadb"]))
        self.assertIn(self.image_id(), self.printed())
        self.assertEqual(0, activate.main(["--list"]))
        self.assertIn("trove-mariadb", self.printed())

    def image_id(self) -> str:
        (image_id,) = self.cloud.images
        return image_id

    def test_a_dry_run_prints_calls(self) -> None:
        self.assertEqual(0, load.main([self.path, "--dry-run", "-f", "json"]))
        calls = json.loads(self.printed())
        self.assertEqual(
            [("Glance", "POST"), ("Glance", "PUT"), ("Glance", "PATCH"),
             ("Trove", "POST")],
            [(call["service"], call["method"]) for call in calls],
        )  # fmt: skip
        self.assertEqual({}, self.cloud.images)

    def test_what_is_no_property_or_tag(self) -> None:
        for option, value in (
            ("--property", "hw_disk_bus"),
            ("--property", "=x"),
            ("--property", "a\nb=x"),
            ("--property", "a=\x1b[2J"),
            ("--property", "trove_tools_kind=x"),
            ("--property", "os_glance_x=x"),
            ("--tag", ""),
            ("--tag", "x" * 256),
        ):
            self.assertEqual(2, load.main([self.path, option, value]))
        self.assertEqual({}, self.cloud.images)

    def test_from_build(self) -> None:
        argv = ["--from-build", "mariadb:11.8", "--output-dir", self.home]
        self.assertEqual(0, load.main([*argv, "-f", "json"]))
        self.assertEqual("sent", json.loads(self.printed())[0]["upload"])
        self.assertIn("newest build of mariadb:11.8 is trove", self.said())
        argv[1] = "mysql"
        self.assertEqual(2, load.main(argv))
        self.assertIn("no image of mysql", self.said())

    def test_options_come_from_the_environment_too(self) -> None:
        self.set_env(TROVE_TOOLS_ACTIVATE="yes", TROVE_TOOLS_FORMAT="json")
        self.assertEqual(0, load.main([self.path]))
        self.assertTrue(json.loads(self.printed())[0]["active"])

    def test_errors(self) -> None:
        for status, main, argv, words in (
            (2, load.main, [], "IMAGE"),
            (2, load.main, [self.path + "x"], "no such file"),
            (2, load.main, [self.path, "--visibility", "all"], "all"),
            (4, load.main, [self.path, "--os-region-name", "x"], "Trove"),
            (2, activate.main, [], "DATASTORE"),
            (2, activate.main, ["--rollback", "mariadb"], "no version of"),
            (2, activate.main, ["--rollback", "--list"], "together"),
            (2, activate.main, ["--instances", "mariadb"], "no version of"),
            (2, activate.main, ["--rebuild-instances"], "no DATASTORE"),
            (2, activate.main, ["x:1", "--at-once", "0"], "--at-once 0"),
            (2, load.main, ["http://x/y"], "no digest was given"),
            (2, activate.main, [":11.8"], "names no datastore version"),
            (2, activate.main, ["mariadb"], "has no datastore"),
        ):
            self.assertEqual(status, main(argv), argv)
            self.assertIn(words, self.said())
        self.assertEqual("", self.printed())
