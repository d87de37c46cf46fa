# SPDX-License-Identifier: Apache-2.0
"""Every datastore's image: built, booted, asked, in one run.

Not for every change: ``tools/run-tests --all``.  What Debian carries is the
real thing; the vendors' packages are stand-ins that listen where the engines
do.  Everything else is real.
"""

from testtools import content

from tests.image import base
from tests.standins import vendors
from trove_tools.catalog import loader
from trove_tools.host import requirements

# one guest after the other, without KVM, on a busy machine
_TIMEOUT = "1500"
_HOURS = 3600.0


class EveryDatastoreTest(base.TestCase):
    def setUp(self) -> None:
        super().setUp()
        if not requirements.may_be_root():
            self.skipTest("building needs root, or sudo without a password")

    def test_every_datastore(self) -> None:
        catalog = loader.load()
        images = base.output() / "images"
        with vendors.Vendors(
            self.temp_dir(),
            catalog,
            list(catalog.datastores),
            home=base.output() / "vendors",
        ) as standins:
            done = base.builder(
                "build", "--all", "--runtime", "native", "--unsupported",
                "--verify", "--timeout", _TIMEOUT, "--format", "json",
                "--output-dir", images,
                "--cache-dir", base.output() / "cache",
                *standins.options(), timeout=4 * _HOURS,
            )  # fmt: skip
        self.addDetail("stderr", content.text_content(done.stderr))
        self.assertEqual(0, done.status, done.stderr)
        found = done.json()
        self.assertEqual(len(catalog.datastores), len(found))
        for row in found:
            self.assertEqual(
                ("ok", "ok"), (row["result"], row["verified"]), row
            )
