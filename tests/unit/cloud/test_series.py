# SPDX-License-Identifier: Apache-2.0
"""Images that do not fit a cloud."""

import importlib.metadata

from tests import base
from trove_tools.catalog import loader
from trove_tools.cloud import glance
from trove_tools.cloud import series

HERE = loader.load().series
AGENT = f"{HERE.trove}.2.0"
FITS = {glance.SERIES: HERE.name, glance.AGENT: AGENT}


class SeriesTest(base.TestCase):
    def setUp(self) -> None:
        super().setUp()
        self.client(HERE.client)

    def client(self, version: str) -> None:
        self.patch_object(importlib.metadata, "version", lambda name: version)

    def test_fits(self) -> None:
        for current in ({}, {"a:1": FITS}, {"a:1": {}}):
            self.assertEqual([], series.problems(FITS, HERE, current))
        self.assertEqual([], series.problems({}, HERE, {"a:1": FITS}))

    def test_does_not_fit(self) -> None:
        for fields, current, words in (
            ({glance.SERIES: "2024.1"}, {}, "was built for Trove 2024.1"),
            ({glance.AGENT: "9.0.0"}, {}, "guest agent is 9.0.0"),
            (FITS, {"a:1": {glance.SERIES: "2030.1"}}, "of Trove 2030.1 now"),
            (FITS, {"a:1": {glance.AGENT: f"{HERE.trove}.10.0"}}, "older"),
        ):
            (found,) = series.problems(fields, HERE, current)
            self.assertIn(words, found)

    def test_development_versions(self) -> None:
        current = {"a:1": {glance.AGENT: f"{HERE.trove}.2.0.dev7+gab12"}}
        self.assertEqual([], series.problems(FITS, HERE, current))

    def test_an_old_client(self) -> None:
        self.client("7.1")
        (found,) = series.problems(FITS, HERE, {})
        self.assertIn("python-troveclient 7.1", found)
