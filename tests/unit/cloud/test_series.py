# SPDX-License-Identifier: Apache-2.0
"""Images that do not fit a cloud."""

from tests import base
from trove_tools.catalog import loader
from trove_tools.cloud import glance
from trove_tools.cloud import series

HERE = loader.load().series
AGENT = f"{HERE.trove}.2.0"
FITS = {glance.SERIES: HERE.name, glance.AGENT: AGENT}


class SeriesTest(base.TestCase):
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

    def test_a_checkout_between_two_releases(self) -> None:
        before = int(HERE.trove) - 1
        for agent, problems in (
            (f"{before}.1.0.dev96", 0),
            (f"{HERE.trove}.0.0.0rc2.dev3", 0),
            (f"{before}.1.0", 1),
            (f"{before - 1}.1.0.dev96", 1),
        ):
            fields = {glance.SERIES: HERE.name, glance.AGENT: agent}
            found = series.problems(fields, HERE, {})
            self.assertEqual(problems, len(found), agent)
