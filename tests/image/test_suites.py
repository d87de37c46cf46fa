# SPDX-License-Identifier: Apache-2.0
"""An image whose container has packages of another suite than the guest.

MySQL's is of Debian unstable: Trove's own guest agent makes an instance of
it, and the guest itself has nothing of that suite.
"""

import os

from tests.image import agent
from tests.image import base
from trove_tools.artifact import manifest


class SuitesTest(base.TestCase):
    def setUp(self) -> None:
        super().setUp()
        self.need_time("a quarter of an hour")
        if os.geteuid() != 0:
            self.skipTest("containers and mounts need root")
        self.need_container_machine()

    def test_mysql(self) -> None:
        image = self.build("mysql:9.7")
        outcome = base.builder(
            "verify", image, "--level", "agent", "--machine", "container",
            "--format", "json",
        )  # fmt: skip
        self.assertEqual(0, outcome.status, outcome.stderr)
        names = [check["name"] for check in outcome.json()["checks"]]
        self.assertEqual(
            [*agent.list_checks("mysql"), "power off"], names[-6:]
        )
        found = base.builder("inspect", image, "--format", "json").json()
        self.assertTrue(found["safe"])
        guest = self.versions(found["packages"])
        (container,) = found["containers"]
        inside = self.versions(container["packages"])
        self.assertIn("mysql-server-core", inside)
        self.assertNotIn("mysql-server-core", guest)
        self.assertNotEqual(inside["libc6"], guest["libc6"])
        known = manifest.read(image)
        assert known is not None
        (mysql,) = known.datastores
        (packed,) = mysql.containers
        # the same packages make the same bytes
        made, _ = base.container("mysql", "9.7")
        self.assertEqual(made.digest, packed.digest)

    def versions(self, packages: list[dict[str, str]]) -> dict[str, str]:
        return {each["name"]: each["version"] for each in packages}
