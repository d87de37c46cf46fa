# SPDX-License-Identifier: Apache-2.0
"""Authorities that guests are to trust, from options to plan and manifest."""

import pathlib
import shutil

from tests import base
from tests.standins import authority
from tests.unit.plan import samples
from trove_tools import errors
from trove_tools.plan import layers
from trove_tools.plan import plan
from trove_tools.sources.network import authorities


class GuestCATest(base.TestCase):
    def setUp(self) -> None:
        super().setUp()
        self.directory = self.temp_dir()
        self.file = authority.Authority(self.directory, "An Authority").file

    def made(self, *files: pathlib.Path) -> plan.Plan:
        return plan.make(
            samples.a_request(
                guest_ca=authorities.read_guest_authorities(files)
            )
        )

    def test_the_plan_names_them(self) -> None:
        made = self.made(self.file)
        (entry,) = made.as_dict()["guest_ca"]
        self.assertEqual("CN = An Authority", entry["subject"])
        self.assertRegex(entry["sha256"], "^[0-9a-f]{64}$")
        last = made.layers[-1]
        self.assertIn("trove-guest-ca", last.elements)
        self.assertEqual(
            str(self.file), last.environment["DIB_TROVE_GUEST_CA"]
        )

    def test_none(self) -> None:
        made = self.made()
        self.assertEqual([], made.as_dict()["guest_ca"])
        for layer in made.layers:
            self.assertNotIn("trove-guest-ca", layer.elements)
            self.assertNotIn("DIB_TROVE_GUEST_CA", layer.environment)

    def test_only_the_last_layer_is_another(self) -> None:
        with_it = [each.digest for each in self.made(self.file).layers]
        without = [each.digest for each in self.made().layers]
        self.assertEqual(with_it[:-1], without[:-1])
        self.assertNotEqual(with_it[-1], without[-1])
        self.assertEqual(len(layers.NAMES), len(with_it))

    def test_what_counts_is_the_certificate(self) -> None:
        moved = self.directory / "moved.pem"
        shutil.copy(self.file, moved)
        self.assertEqual(
            self.made(self.file).digest(), self.made(moved).digest()
        )
        other = authority.Authority(self.temp_dir(), "An Authority").file
        self.assertNotEqual(
            self.made(self.file).digest(), self.made(other).digest()
        )

    def test_colon_in_the_path(self) -> None:
        file = self.directory / "a:b.pem"
        shutil.copy(self.file, file)
        error = self.assertRaises(
            errors.UsageError, authorities.read_guest_authorities, [file]
        )
        self.assertIn("a colon", error.message)
