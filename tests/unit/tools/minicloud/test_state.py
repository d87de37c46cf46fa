# SPDX-License-Identifier: Apache-2.0
from minicloud import layout as layouts
from minicloud import state as states
from tests import base
from trove_tools import errors


class StateTest(base.TestCase):
    def setUp(self) -> None:
        super().setUp()
        self.layout = layouts.Layout(self.temp_dir())

    def test_what_is_saved_is_loaded(self) -> None:
        state = states.new()
        state.ports["glance"] = 9292
        states.save(self.layout, state)
        self.assertEqual(state, states.load(self.layout))

    def test_no_two_passwords_are_the_same(self) -> None:
        words = [
            word for _ in range(2) for word in states.new().passwords.values()
        ]
        self.assertEqual(8, len(set(words)))

    def test_contents_that_are_not_understood(self) -> None:
        for text in ("", "{", "[]", "{}", '{"version": 2}',
                     '{"version": 1, "colour": "red"}'):  # fmt: skip
            self.layout.state.write_text(text)
            error = self.assertRaises(
                errors.UsageError, states.load, self.layout
            )
            self.assertIn("start again", error.hint or "")

    def test_the_stamp_tells_versions_and_ports_apart(self) -> None:
        stamps = {
            states.stamp("a", {"x": 1, "y": 2}),
            states.stamp("a", {"y": 2, "x": 1}),
            states.stamp("b", {"x": 1, "y": 2}),
            states.stamp("a", {"x": 1, "y": 3}),
        }
        self.assertEqual(3, len(stamps))
