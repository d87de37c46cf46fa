# SPDX-License-Identifier: Apache-2.0
"""Docker's settings in a guest: the image's, and those of its operator."""

import json
import os
import pathlib
import subprocess
import sys
import typing

import ddt

from tests import base

ELEMENTS = base.ROOT / "trove_tools/elements"
PROGRAM = ELEMENTS / "trove-docker/static/usr/local/sbin/trove-docker-config"
_IMAGE = {
    "live-restore": True,
    "log-opts": {"max-size": "10m"},
    "dns-opts": ["timeout:1"],
    "registry-mirrors": ["http://127.0.0.1:5999"],
}


@ddt.ddt
class MergeTest(base.TestCase):
    def setUp(self) -> None:
        super().setUp()
        self.place = self.temp_dir()
        self.operator = self.place / "daemon.json"
        self.result = self.place / "result.json"
        defaults = self.place / "defaults"
        defaults.mkdir()
        for number, (name, value) in enumerate(_IMAGE.items()):
            file = defaults / f"{number}.json"
            file.write_text(json.dumps({name: value}))

    def merge(self, operator: str | None, options: str = "") -> str:
        """Return what the engine reads."""
        if operator is not None:
            self.operator.write_text(operator)
        done = subprocess.run(
            [sys.executable, "-IS", PROGRAM, self.place / "defaults",
             self.operator, self.result],
            env={**os.environ, "DOCKER_OPTS": options},
            capture_output=True, text=True,
        )  # fmt: skip
        self.assertEqual(0, done.returncode, done.stderr)
        self.said = done.stdout
        self.assertEqual(0o600, self.result.stat().st_mode & 0o777)
        return pathlib.Path(self.result).read_text()

    def settings(
        self, operator: str | None, options: str = ""
    ) -> dict[str, typing.Any]:
        found: dict[str, typing.Any] = json.loads(
            self.merge(operator, options)
        )
        return found

    def test_no_file_of_the_operators(self) -> None:
        self.assertEqual(_IMAGE, self.settings(None))

    def test_what_trove_injects(self) -> None:
        injected = {
            "bridge": "none", "ip-forward": False, "iptables": False,
            "insecure-registries": ["r.example:4000"],
        }  # fmt: skip
        self.assertEqual(
            {**_IMAGE, **injected}, self.settings(json.dumps(injected))
        )

    def test_the_operator_wins(self) -> None:
        own = {"live-restore": False, "log-opts": {"max-file": "1"}}
        self.assertEqual({**_IMAGE, **own}, self.settings(json.dumps(own)))

    @ddt.data(
        (["https://m.example"],
         ["https://m.example", "http://127.0.0.1:5999"]),
        (["http://127.0.0.1:5999", "https://m.example"],
         ["http://127.0.0.1:5999", "https://m.example"]),
        ([], ["http://127.0.0.1:5999"]),
    )  # fmt: skip
    @ddt.unpack
    def test_the_operators_mirrors_come_first(
        self, own: list[str], expected: list[str]
    ) -> None:
        found = self.settings(json.dumps({"registry-mirrors": own}))
        self.assertEqual(expected, found["registry-mirrors"])

    @ddt.data(
        "--registry-mirror=https://m.example",
        "--registry-mirror x",
        "-D --registry-mirror=x --debug",
    )
    def test_an_option_of_the_command_line(self, options: str) -> None:
        found = self.settings("{}", options)
        self.assertEqual(_IMAGE.keys() - {"registry-mirrors"}, found.keys())
        self.assertIn("DOCKER_OPTS has registry-mirrors", self.said)

    def test_other_options_of_the_command_line(self) -> None:
        options = "--log-level=debug --dns=192.0.2.1"
        self.assertEqual(_IMAGE, self.settings("{}", options))

    @ddt.data(
        "{",
        "[]",
        '"x"',
        "null",
        '{"registry-mirrors": "x"}',
        '{"registry-mirrors": null}',
        "",
    )
    def test_the_engine_says_what_is_wrong(self, text: str) -> None:
        self.assertEqual(text, self.merge(text))
        self.assertIn(f"{self.operator} cannot be merged", self.said)
