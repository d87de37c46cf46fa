# SPDX-License-Identifier: Apache-2.0
"""Images that do not suit a cloud, and what is said of those in use."""

from tests import base
from trove_tools.artifact import verification
from trove_tools.catalog import loader
from trove_tools.cloud import compatibility
from trove_tools.cloud import image as _image

HERE = loader.load().series
AGENT = f"{HERE.trove}.2.0"
FITS = {_image.SERIES: HERE.name, _image.AGENT: AGENT}


def current_image(fields: _image.Fields) -> dict[str, _image.Image]:
    """Return the image that a version has now."""
    return {"a:1": _image.Image.from_answer(fields)}


class CompatibilityTest(base.TestCase):
    def test_fits(self) -> None:
        for current in ({}, current_image(FITS), current_image({})):
            self.assertEqual(
                [], compatibility.find_differences(FITS, HERE, current)
            )
        self.assertEqual(
            [], compatibility.find_differences({}, HERE, current_image(FITS))
        )

    def test_does_not_fit(self) -> None:
        for fields, current, words in (
            ({_image.SERIES: "2024.1"}, {}, "was built for Trove 2024.1"),
            ({_image.AGENT: "9.0.0"}, {}, "guest agent is 9.0.0"),
            (
                FITS,
                current_image({_image.SERIES: "2030.1"}),
                "of Trove 2030.1 now",
            ),
            (
                FITS,
                current_image({_image.AGENT: f"{HERE.trove}.10.0"}),
                "older",
            ),
        ):
            (found,) = compatibility.find_differences(fields, HERE, current)
            self.assertIn(words, found)

    def test_development_versions(self) -> None:
        current = current_image({_image.AGENT: f"{HERE.trove}.2.0.dev7+gab12"})
        self.assertEqual(
            [], compatibility.find_differences(FITS, HERE, current)
        )

    def test_a_checkout_between_two_releases(self) -> None:
        before = int(HERE.trove) - 1
        for agent, problems in (
            (f"{before}.1.0.dev96", 0),
            (f"{HERE.trove}.0.0.0rc2.dev3", 0),
            (f"{before}.1.0", 1),
            (f"{before - 1}.1.0.dev96", 1),
        ):
            fields = {_image.SERIES: HERE.name, _image.AGENT: agent}
            found = compatibility.find_differences(fields, HERE, {})
            self.assertEqual(problems, len(found), agent)

    def test_no_doubts(self) -> None:
        self.assertEqual([], compatibility.find_doubts({}))
        proof = verification.Record("agent", ("qemu",), True)
        self.assertEqual(
            [], compatibility.find_doubts({"trove_tools_verified": str(proof)})
        )
        proof = verification.Record(
            "agent", ("qemu",), False, (verification.Check("SQL"),)
        )
        self.assertEqual(
            ["failed its verification: agent (qemu) FAILED: SQL"],
            compatibility.find_doubts({"trove_tools_verified": str(proof)}),
        )
