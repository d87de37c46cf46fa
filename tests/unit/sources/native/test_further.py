# SPDX-License-Identifier: Apache-2.0
"""A thirteenth datastore: one YAML file, and nothing else.

From the file to what its elements read, with a stand-in of the vendor's
signed repository on loopback; all but diskimage-builder's run is real.
"""

from tests import base
from tests.standins import vendors
from tests.unit.elements import resolved
from tests.unit.plan import samples
from trove_tools.catalog import loader
from trove_tools.cli import builder
from trove_tools.plan import elements
from trove_tools.plan import plan
from trove_tools.plan import request
from trove_tools.sources.native import prepare

_FILE = """\
name: influxdb
title: InfluxDB
summary: A database of time series
tier: image-only
default_version: "2.7"
ports: [8086]
min_ram: 1024
min_disk: 4
versions:
  - version: "2.7"
    runtimes: {native: [debian-13, ubuntu-24.04]}
runtimes:
  native:
    elements: []
    packages: [influxdb2, influxdb2-cli]
    services: [influxdb]
    data: /var/lib/influxdb
    config:
      /etc/influxdb/config.toml: |
        http-bind-address = ":8086"
    repository:
      key: https://repos.vendor.example/key.asc
      fingerprints: [0123456789ABCDEF0123456789ABCDEF01234567]
      packages: [influxdb2*]
      base: https://repos.vendor.example
      paths: [debian]
      suite: stable
      components: [main]
    health: {protocol: http, port: 8086, query: /health, expect: pass}
"""


class FurtherTest(base.TestCase):
    def setUp(self) -> None:
        super().setUp()
        self.set_env(XDG_CACHE_HOME=str(self.temp_dir()))
        self.directory = self.temp_dir()
        (self.directory / "influxdb.yaml").write_text(_FILE)
        self.catalog = loader.load([self.directory])
        self.vendor = vendors.Vendors(
            self.temp_dir(), self.catalog, ["influxdb"]
        )
        self.addCleanup(self.vendor.close)

    def plan(self) -> plan.Plan:
        words = self.vendor.options()
        given = {
            flag.removeprefix("--").replace("-", "_"): [value]
            for flag, value in zip(words[::2], words[1::2], strict=True)
        }
        return plan.make(
            request.make(["influxdb"], samples.settings(**given), self.catalog)
        )

    def test_the_elements_are_there(self) -> None:
        layers = self.plan().layers
        path = (elements.DIRECTORY, elements.shipped_path())
        for layer in layers:
            library = elements.read(layer.elements, path)
            # written anew for each layer
            wanted = set(layer.elements) - {"trove-layer-below"}
            self.assertLessEqual(wanted, library.keys())
        (datastore,) = (each for each in layers if each.natives)
        self.assertIn("trove-datastore-native", datastore.elements)
        self.assertIn("trove-package-repository", datastore.elements)

    def test_diskimage_builder_resolves_them(self) -> None:
        guest = self.catalog.guest("debian-13")
        found = resolved.packages(
            resolved.all_elements(self.catalog, guest), guest, self.temp_dir()
        )
        self.assertIn("trove-guest", found)

    def test_what_its_elements_read(self) -> None:
        (layer,) = (each for each in self.plan().layers if each.natives)
        out = self.temp_dir()
        logged: list[str] = []
        prepare.prepare(
            layer.natives[0],
            out,
            cache=self.temp_dir(),
            mirror="http://mirror.example/debian",
            log=logged.append,
        )
        place = out / "influxdb"
        self.assertEqual("influxdb2\n", (place / "server").read_text())
        self.assertIn("Pin: version 2.7.99-1", (place / "pin").read_text())
        self.assertIn(
            'http-bind-address = ":8086"',
            (place / "config/etc/influxdb/config.toml").read_text(),
        )
        self.assertTrue((place / "key.gpg").exists())

    def test_the_commands_know_it(self) -> None:
        out, _ = self.capture()
        for words in (["list"], ["show", "influxdb"], ["plan", "influxdb"]):
            argv = [*words, "--catalog", str(self.directory), "-f", "json"]
            self.assertEqual(0, builder.main(argv), words)
        out.seek(0)
        self.assertIn("influxdb", out.read())

