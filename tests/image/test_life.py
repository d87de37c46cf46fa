# SPDX-License-Identifier: Apache-2.0
"""The life of an instance, with Trove's own code, in containers.

MariaDB and PostgreSQL; what the level finds fault with is in
tests/unit/verify/life.
"""

import os

from tests.image import base
from trove_tools.verify.life import checks
from trove_tools.verify.life import swift

_TIMEOUT = 3600.0
_NAMES = [check.name for check in checks.CHECKS]
#: Those that take a few seconds: none restarts the database.
_QUICK = {
    "mariadb": ("users", "root", "logs"),
    "postgresql": ("users", "root"),
}


class LifeTest(base.TestCase):
    def setUp(self) -> None:
        super().setUp()
        self.need_container_machine(swift.require)
        self.scratch = self.temp_dir()
        self.set_env(TMPDIR=str(self.scratch))

    def live(
        self,
        datastore: str,
        *names: str,
        options: tuple[str | os.PathLike[str], ...] = (),
    ) -> dict[str, str]:
        """Look at the life of an instance.

        :param names: of the checks to make; all where none is given.
        :returns: what each check that was made has found.
        """
        outcome = base.builder(
            "verify", self.container_image(), "--level", "life",
            "--machine", "container", "--datastore", datastore,
            "--format", "json", "--force", *options,
            *(f"--only={name}" for name in names),
            timeout=_TIMEOUT,
        )  # fmt: skip
        self.assertEqual(0, outcome.status, outcome.stderr)
        found = outcome.json()
        self.assertEqual({}, found["unsupported"])
        # no guest, no mount, no file
        self.assertEqual([], os.listdir(self.scratch))
        details = {
            check["name"].removeprefix(f"{datastore}: "): check["detail"]
            for check in found["checks"]
            if check["ok"]
        }
        for name in names or (*_NAMES, "create"):
            self.assertIn(name, details)
        return details

    def test_mariadb(self) -> None:
        self.live("mariadb", *_QUICK["mariadb"])

    def test_postgresql(self) -> None:
        self.live("postgresql", *_QUICK["postgresql"])

    def test_all_of_mariadb(self) -> None:
        self.need_time("ten minutes")
        self.live("mariadb")

    def test_all_of_postgresql(self) -> None:
        self.need_time("ten minutes")
        self.live("postgresql")

    def test_upgrade_from_the_build_before(self) -> None:
        self.need_time("five minutes")
        before = self.container_image_again()
        found = self.live(
            "mariadb", "upgrade", options=("--from", before)
        )
        self.assertIn("from another root disk", found["upgrade"])
