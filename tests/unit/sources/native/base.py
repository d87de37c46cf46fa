# SPDX-License-Identifier: Apache-2.0
"""What the tests of native datastores begin with."""

import pathlib
import typing

from tests import base
from tests.standins import keys
from tests.standins import packages
from tests.standins import repository
from trove_tools.catalog import native as catalog
from trove_tools.sources.native import prepare
from trove_tools.sources.native import sources

SUITE, VERSION = "trixie", "8.4"


class TestCase(base.TestCase):
    """A test with a repository of MySQL's on loopback."""

    def setUp(self) -> None:
        super().setUp()
        self.place = self.temp_dir()
        self.www = self.place / "www"
        self.www.mkdir()
        self.server = repository.Server(self.www)
        self.addCleanup(self.server.close)
        self.debs = [
            packages.deb(self.place, "mysql-community-server", "8.4.9-1", {})
        ]
        self.logged: list[str] = []

    def key(self, *, expired: bool = False) -> keys.Key:
        made = keys.Key(self.temp_dir(), expired=expired)
        self.addCleanup(made.close)
        return made

    def publish(self, key: keys.Key | None, **how: typing.Any) -> None:
        repository.publish(self.www, self.debs, key, suite=SUITE, **how)

    def native(
        self, key: keys.Key, /, **changes: typing.Any
    ) -> sources.Native:
        values: dict[str, typing.Any] = {
            "vendor": "https://vendor.example",
            "base": self.server.url,
            "paths": ("",),
            "suite": SUITE,
            "components": ("main",),
            "key": str(key.file),
            "fingerprints": (key.fingerprint,),
            "packages": ("mysql-*",),
        }
        return sources.Native(
            "mysql", VERSION, "debian", "amd64",
            catalog.Native(("mysql-community-server", "openjdk"), ("mysql",)),
            repository=sources.Repository(**{**values, **changes}),
        )  # fmt: skip

    def prepare(self, native: sources.Native) -> pathlib.Path:
        """Prepare a datastore and return its directory."""
        out = self.temp_dir()
        prepare.prepare(
            native,
            out,
            cache=self.place / "cache",
            mirror="http://mirror.example/debian",
            log=self.logged.append,
        )
        return out / native.datastore
