# SPDX-License-Identifier: Apache-2.0
"""From the command line to a request."""

import ddt

from tests import base
from tests.unit.image import samples
from trove_tools import errors
from trove_tools.catalog import loader
from trove_tools.image import request


@ddt.ddt
class RequestTest(base.TestCase):
    def setUp(self) -> None:
        super().setUp()
        self.catalog = loader.load()

    def make(self, word: str, **changes: object) -> request.Request:
        return request.make(word, samples.settings(**changes), self.catalog)

    def test_defaults(self) -> None:
        made = self.make("mariadb")
        self.assertEqual("11.8", made.version.version)
        self.assertEqual("debian-13", made.guest.name)
        self.assertEqual("native", made.runtime.name)
        self.assertEqual("pypi", made.agent.source)
        self.assertEqual(made.datastore.min_disk, made.disk_size)

    def test_version_chooses_the_guest(self) -> None:
        self.assertEqual("debian-12", self.make("mariadb:10.11").guest.name)

    def test_guest_chooses_the_version(self) -> None:
        made = self.make("mariadb", guest="ubuntu-24.04")
        self.assertEqual("10.11", made.version.version)

    def test_user_values_win_over_the_host(self) -> None:
        made = self.make("mariadb", mirror="http://m", security_mirror="h")
        self.assertEqual("http://m", made.mirrors.archive)
        self.assertEqual("h", made.mirrors.security)

    def test_dib_variables_of_the_user(self) -> None:
        self.set_env(DIB_OFFLINE="1")
        self.assertEqual({"DIB_OFFLINE": "1"}, self.make("mariadb").inherited)

    @ddt.data(
        ("mariabd", {}, "did you mean mariadb?"),
        ("mariadb:11.9", {}, "did you mean 11.8?"),
        ("mariadb:11.8", {"guest": "debian-12"}, "debian-13"),
        ("mariadb", {"guest": "debian-14"}, "did you mean debian-1"),
        ("mariadb", {"runtime": "podman"}, "native"),
        ("mariadb", {"arch": "sparc"}, "amd64"),
        ("mariadb", {"agent": "/nowhere"}, "git+"),
        ("mariadb", {"constraints": "/nowhere"}, "a file"),
        ("mariadb", {"elements_path": "/nowhere"}, "ELEMENTS_PATH"),
        ("mariadb", {"element": ["trove-gest"]}, "mean trove-guest?"),
        ("mariadb", {"name": "a/b"}, "--output-dir"),
    )
    @ddt.unpack
    def test_wrong(self, word: str, changes: dict, hint: str) -> None:
        error = self.assertRaises(
            errors.UsageError, self.make, word, **changes
        )
        self.assertIn(hint, error.hint or "")

    def test_disk_too_small(self) -> None:
        error = self.assertRaises(
            errors.UsageError, self.make, "mariadb", disk_size=1
        )
        self.assertIn("at least 4 GiB", error.message)
