# SPDX-License-Identifier: Apache-2.0
"""What a build did, and when."""

from tests import base
from trove_tools.build import timeline


class TimelineTest(base.TestCase):
    def setUp(self) -> None:
        super().setUp()
        self.now = 100.0
        self.timeline = timeline.Timeline(lambda: self.now)

    def enter(self, kind: str, name: str, after: float) -> None:
        self.now += after
        self.timeline.enter(kind, name)

    def test_each_part_ends_where_the_next_begins(self) -> None:
        self.enter("layer", "base", 0)
        self.enter("phase", "root", 1)
        self.enter("hook", "10-x", 0.5)
        self.enter("hook", "20-y", 2)
        self.enter("phase", "install", 4)
        self.enter("layer", "agent", 8)
        self.enter("step", "convert", 16)
        self.now += 32
        self.timeline.leave("layer")
        self.assertEqual(
            [
                ("base", 0, 15.5, [
                    ("root", 1, 6.5, [
                        ("10-x", 1.5, 2, []),
                        ("20-y", 3.5, 4, []),
                    ]),
                    ("install", 7.5, 8, []),
                ]),
                ("agent", 15.5, 48, [("convert", 31.5, 32, [])]),
            ],
            [self.plain(span) for span in self.timeline.spans],
        )  # fmt: skip

    def plain(self, span: timeline.Span) -> tuple[object, ...]:
        parts = [self.plain(each) for each in span.spans]
        return span.name, span.begin, span.seconds, parts

    def test_a_part_ends_with_its_context_whatever_happens(self) -> None:
        def fail() -> None:
            with self.timeline.within("layer", "base"):
                self.enter("hook", "10-x", 1)
                self.now += 2
                raise RuntimeError

        self.assertRaises(RuntimeError, fail)
        (layer,) = self.timeline.as_list()
        self.assertEqual((3, False), (layer["seconds"], layer["cached"]))
        self.assertEqual(2, layer["spans"][0]["seconds"])

    def test_leaving_what_was_never_entered(self) -> None:
        self.timeline.leave("layer")
        self.assertEqual([], self.timeline.spans)
