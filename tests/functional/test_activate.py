# SPDX-License-Identifier: Apache-2.0
"""activate-trove-image against real services."""

import os
import subprocess

from tests import commands
from tests.functional import base
from tests.functional import clouds


class ActivateTest(clouds.TestCase):
    def activate(
        self, *args: str | os.PathLike[str], **env: str
    ) -> commands.Outcome:
        return self.command("activate-trove-image", *args, env=env)

    def default(self) -> str:
        """Return the version that an ordinary user gets."""
        trove = self.trove(base.DEMO)
        default = trove.datastores.get(self.datastore).default_version
        name: str = trove.datastore_versions.get(self.datastore, default).name
        return name

    def test_activate_and_again(self) -> None:
        row = self.loaded(self.image_file())
        outcome = self.activate(f"{self.datastore}:1.0", "-f", "json")
        self.assertEqual(0, outcome.status)
        done = outcome.json()
        self.assertTrue(done["changed"])
        self.assertEqual((True, True), (done["active"], done["default"]))
        self.assertEqual(row["image_id"], done["image_id"])
        self.assertEqual(row["version_id"], done["version_id"])
        self.assertEqual("1.0", self.default())

        again = self.activate(f"{self.datastore}:1.0", "-f", "json")
        self.assertFalse(again.json()["changed"])
        self.assertIn("already", again.stderr)

    def test_the_newest_when_none_is_named(self) -> None:
        for version in ("10.0", "9.0"):
            self.loaded(self.image_file(version))
        outcome = self.activate(self.datastore)
        self.assertEqual(0, outcome.status)
        self.assertIn(f"taking {self.datastore}:10.0", outcome.stderr)
        self.assertIn("others: 9.0", outcome.stderr)
        self.assertEqual("10.0", self.default())
        outcome = self.activate(f"{self.datastore}:9.0")
        self.assertIn(f"instead of {self.datastore}:10.0", outcome.stderr)
        self.assertEqual("9.0", self.default())

    def test_pinned(self) -> None:
        row = self.loaded(self.image_file(), "--pin")
        outcome = self.activate(self.datastore, "-f", "json")
        self.assertEqual(row["image_id"], outcome.json()["image_id"])

    def test_lines_for_a_shell(self) -> None:
        row = self.loaded(self.image_file())
        outcome = self.activate(self.datastore, "--format", "shell")
        script = f"set -eu\n{outcome.stdout}\necho $ACTIVATED_IMAGE_ID"
        said = subprocess.run(
            ["sh", "-c", script], capture_output=True, text=True, check=True
        )
        self.assertEqual(row["image_id"], said.stdout.strip())

    def test_unknown_datastore(self) -> None:
        self.loaded(self.image_file())
        outcome = self.activate(self.datastore + "x")
        self.assert_refused(
            outcome, 2, f"did you mean {self.datastore}?", "load-trove-image"
        )

    def test_unknown_version(self) -> None:
        self.loaded(self.image_file())
        outcome = self.activate(f"{self.datastore}:1.1")
        self.assert_refused(outcome, 2, "did you mean 1.0?")
        self.assertFalse(self.versions()[0].active)

    def test_senseless_name(self) -> None:
        for name in (":1", "x:"):
            self.assert_refused(self.activate(name), 2, "DATASTORE:VERSION")

    def test_no_image_any_more(self) -> None:
        row = self.loaded(self.image_file())
        self.admin.image.delete_image(row["image_id"])
        outcome = self.activate(self.datastore)
        self.assert_refused(
            outcome, 4, f"the tags trove, {self.datastore}, 1.0"
        )
        self.assertFalse(self.versions()[0].active)

    def test_deactivated_image(self) -> None:
        row = self.loaded(self.image_file())
        self.admin.image.deactivate_image(row["image_id"])
        outcome = self.activate(self.datastore)
        self.assert_refused(outcome, 4, "could start")

    def test_not_an_admin(self) -> None:
        self.loaded(self.image_file())
        outcome = self.activate(self.datastore, "--os-cloud", base.DEMO)
        self.assert_refused(
            outcome, 4, "user demo in project demo", "admin role"
        )

    def test_unknown_cloud(self) -> None:
        outcome = self.activate(self.datastore, "--os-cloud", "none")
        self.assert_refused(outcome, 2, "none was not found")

    def test_wrong_password(self) -> None:
        self.altered_clouds(auth={"password": "wrong"})
        outcome = self.activate(self.datastore)
        self.assert_refused(outcome, 4, "keystone refused the login")

    def test_a_service_is_down(self) -> None:
        self.loaded(self.image_file())
        for name, title in (
            ("keystone", "keystone"),
            ("glance", "Glance"),
            ("trove", "Trove"),
        ):
            with self.service_down(name):
                self.assert_refused(
                    self.activate(self.datastore), 4,
                    f"{title} at http://127.0.0.1", "Connection refused",
                )  # fmt: skip
        self.assertFalse(self.versions()[0].active)
