# SPDX-License-Identifier: Apache-2.0
"""What of a cloud's own settings a guest of verify is given."""

import io
import pathlib
import typing

from tests import base
from trove_tools import console
from trove_tools import errors
from trove_tools.artifact import verification
from trove_tools.cli import verify
from trove_tools.config import options
from trove_tools.config import table


class DeploymentTest(base.TestCase):
    def settings(self, **changes: typing.Any) -> options.Settings:
        defaults = {
            option.name: option.default for option in table.group("verify")
        }
        return options.Settings({**defaults, **changes})

    def file(self, text: str) -> pathlib.Path:
        file = self.temp_dir() / "file"
        file.write_text(text)
        return file

    def refused(self, level: str, **changes: typing.Any) -> str:
        error = self.assertRaises(
            errors.UsageError,
            verify._deployment,
            self.settings(**changes),
            level,
        )
        return str(error.message)

    def test_nothing(self) -> None:
        found = verify._deployment(self.settings(), "agent")
        self.assertEqual({}, found)
        # what was verified before is not verified again
        self.assertEqual(
            verification.Asked("agent", "auto", {}),
            verification.Asked("agent", "auto", {}, found),
        )

    def test_another_content_is_another_question(self) -> None:
        found = [
            verify._deployment(
                self.settings(guest_config=self.file(text)), "agent"
            )
            for text in ("[DEFAULT]\n", "[DEFAULT]\nx = 1\n")
        ]
        self.assertNotEqual(*found)

    def test_what_a_level_does_not_give(self) -> None:
        file = self.file("[DEFAULT]\n")
        for level in ("boot", "datastore"):
            said = self.refused(level, guest_config=file)
            self.assertIn("only the level agent", said)

    def test_a_file_that_is_not_there(self) -> None:
        said = self.refused("agent", user_data=pathlib.Path("/no/such"))
        self.assertIn("--user-data /no/such: there is no such file", said)

    def injected(self, **changes: typing.Any) -> tuple[typing.Any, str]:
        stream = io.StringIO()
        screen = console.Console(stream=stream)
        return (
            verify._injected(self.settings(**changes), screen),
            stream.getvalue(),
        )

    def test_user_data_that_trove_would_drop(self) -> None:
        for text in ("#!/bin/sh\ntrue\n", "a: [\n", ""):
            error = self.assertRaises(
                errors.UsageError, self.injected, user_data=self.file(text)
            )
            self.assertIn("not a cloud-config", error.message)

    def test_what_the_guest_gets(self) -> None:
        made, said = self.injected(
            guest_config=self.file(
                "[DEFAULT]\ntransport_url = rabbit://u:secret@theirs/\n"
            ),
            user_data=self.file("#cloud-config\nruncmd: [x]\n"),
            disk_bus="scsi",
        )
        self.assertIn("except for [DEFAULT] transport_url", said)
        self.assertNotIn("secret", said)
        self.assertEqual("#cloud-config\nruncmd: [x]\n", made.user_data)
        self.assertEqual("/dev/sdb", made.device)
