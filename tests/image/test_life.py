# SPDX-License-Identifier: Apache-2.0
"""The life of an instance, with Trove's own code, in containers.

MariaDB and PostgreSQL; what the level finds fault with is in
tests/unit/verify/life.
"""

import os

from tests.image import base
from trove_tools import errors
from trove_tools.verify import broker
from trove_tools.verify import machine
from trove_tools.verify import machines
from trove_tools.verify.life import checks
from trove_tools.verify.life import swift

_TIMEOUT = 3600.0
_NAMES = [check.name for check in checks.CHECKS]


class LifeTest(base.TestCase):
    def setUp(self) -> None:
        super().setUp()
        why = machines.absent(machine.CONTAINER, "amd64")
        if why:
            self.skipTest(why.message)
        try:
            broker.require()
            swift.require()
        except errors.TroveToolsError as exc:
            self.skipTest(exc.message)
        self.scratch = self.temp_dir()
        self.set_env(TMPDIR=str(self.scratch))

    def live(self, datastore: str) -> None:
        """Look at the whole life of an instance."""
        outcome = base.builder(
            "verify", self.container_image(), "--level", "life",
            "--machine", "container", "--datastore", datastore,
            "--format", "json", "--force",
            timeout=_TIMEOUT,
        )  # fmt: skip
        self.assertEqual(0, outcome.status, outcome.stderr)
        found = outcome.json()
        made = [check["name"] for check in found["checks"] if check["ok"]]
        for name in _NAMES:
            self.assertIn(f"{datastore}: {name}", made)
        self.assertEqual({}, found["unsupported"])
        # no guest, no mount, no file
        self.assertEqual([], os.listdir(self.scratch))

    def test_mariadb(self) -> None:
        self.live("mariadb")

    def test_postgresql(self) -> None:
        self.live("postgresql")
