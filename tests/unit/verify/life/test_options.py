# SPDX-License-Identifier: Apache-2.0
"""The options of the level life."""

import pathlib
import typing

from tests import base
from trove_tools import errors
from trove_tools.cli import verify
from trove_tools.config import options
from trove_tools.verify import levels
from trove_tools.verify.life import checks


def settings(**values: typing.Any) -> options.Settings:
    return options.Settings({"only": None, "from": None, **values})


class OptionsTest(base.TestCase):
    def refused(self, level: str, **values: typing.Any) -> str:
        with self.assertRaises(errors.UsageError) as caught:
            verify._life(settings(**values), level)
        return f"{caught.exception.message}; {caught.exception.hint}"

    def test_an_unknown_check(self) -> None:
        said = self.refused(levels.LIFE, only=["chrash"])
        self.assertIn("--only chrash", said)
        self.assertIn("crash", said)

    def test_another_level(self) -> None:
        for values in ({"only": ["crash"]}, {"from": pathlib.Path("image")}):
            self.assertIn(
                "use --level life", self.refused(levels.AGENT, **values)
            )

    def test_what_is_asked_is_kept(self) -> None:
        found = verify._life(
            settings(only=["volume", "crash"]), levels.LIFE
        )
        self.assertEqual({"only": "crash, volume"}, found)

    def test_all_checks_or_some(self) -> None:
        self.assertEqual(checks.CHECKS, checks.chosen(()))
        (crash,) = checks.chosen(["crash"])
        self.assertEqual("crash", crash.name)
