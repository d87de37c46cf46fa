# SPDX-License-Identifier: Apache-2.0
"""Builders share layers through a registry, and do without it."""

import concurrent.futures
import json
import os
import typing

from tests import base
from tests import commands
from tests import registry
from tests import signing
from tests.image import tiny
from trove_tools.host import requirements

NAME = "trove-mariadb-11.8-debian-13-amd64"


class FleetTest(base.TestCase):
    timeout = 600

    def setUp(self) -> None:
        super().setUp()
        signing.need(self)
        registry.need(self)
        if not requirements.may_be_root():
            self.skipTest("building needs root, or sudo without a password")
        self.place = self.temp_dir()
        tiny.write(self.place / "elements")
        self.key = signing.make_key(self.place / "key")
        self.trusted = ("--trusted-key", signing.public(self.key))
        self.set_env(SSH_AUTH_SOCK=None)

    def build(
        self, name: str, *words: str | os.PathLike[str]
    ) -> commands.Outcome:
        """Build as a builder of this name, with an empty cache."""
        outcome = tiny.build(
            self.place, *words, cache=f"cache-{name}", output=name
        )
        self.assertEqual(0, outcome.status, outcome.stderr)
        return outcome

    def layers(self, name: str) -> list[dict[str, typing.Any]]:
        file = self.place / name / f"{NAME}.d" / "manifest.json"
        layers: list[dict[str, typing.Any]] = json.loads(file.read_text())[
            "layers"
        ]
        return layers

    def cached(self, name: str) -> list[bool]:
        return [layer["cached"] for layer in self.layers(name)]

    def warnings(self, outcome: commands.Outcome) -> list[str]:
        return [
            line
            for line in outcome.stderr.splitlines()
            if line.startswith("warning: ")
        ]

    def test_layers(self) -> None:
        directory = self.place / "registry"
        directory.mkdir()
        with registry.registry(directory) as running:
            cache = f"127.0.0.1:{running.port}/trove/layers"
            with concurrent.futures.ThreadPoolExecutor(2) as pool:
                # two that know nothing of each other
                both = list(
                    pool.map(
                        lambda name: self.build(
                            name, "--cache-to", cache, "--cache-from", cache,
                            "--sign-key", self.key,
                        ),
                        ("one", "other"),
                    )
                )  # fmt: skip
            for outcome in both:
                self.assertEqual([], self.warnings(outcome))
            self.assertEqual([False] * 4, self.cached("one"))

            outcome = self.build("two", "--cache-from", cache, *self.trusted)
            self.assertEqual([], self.warnings(outcome))
            self.assertEqual([True] * 3 + [False], self.cached("two"))
            fetched = self.layers("two")[2]
            self.assertEqual(cache, fetched["origin"])
            self.assertTrue(fetched["signed_by"].startswith("SHA256:"))
            self.assertFalse(fetched["unsigned"])
            self.check_commands(cache)
        # it is gone
        outcome = self.build("three", "--cache-from", cache, *self.trusted)
        (warning,) = self.warnings(outcome)
        self.assertIn(f"the cache {cache} is not used any more", warning)
        self.assertEqual([False] * 4, self.cached("three"))

    def check_commands(self, cache: str) -> None:
        def rows(action: str, *words: str | os.PathLike[str]) -> typing.Any:
            outcome = commands.run(
                "trove-image-builder", "cache", action, "-f", "json",
                "--cache-dir", self.place / "cache-four", *words,
            )  # fmt: skip
            self.assertEqual(0, outcome.status, outcome.stderr)
            return outcome.json()

        there = rows("list", "--cache-from", cache, *self.trusted)
        self.assertEqual({cache}, {row["repository"] for row in there})
        names = ["base", "datastore", "runtime"]
        self.assertEqual(names, sorted(row["layer"] for row in there))
        pulled = rows("pull", "--cache-from", cache, *self.trusted)
        self.assertEqual(names, sorted(row["layer"] for row in pulled))
        self.assertEqual(
            [], rows("pull", "--cache-from", cache, *self.trusted)
        )
        pushed = rows(
            "push", "--cache-to", f"{cache}-2", "--sign-key", self.key
        )
        self.assertEqual(names, sorted(row["layer"] for row in pushed))

    def test_images(self) -> None:
        directory = self.place / "registry"
        directory.mkdir()
        self.build("one", "--sign-key", self.key)
        with registry.registry(directory) as running:
            place = f"127.0.0.1:{running.port}/trove/images"
            outcome = commands.run(
                "trove-image-builder", "push",
                self.place / "one" / f"{NAME}.tar", place, "-f", "json",
            )  # fmt: skip
            self.assertEqual(0, outcome.status, outcome.stderr)
            made = outcome.json()
            self.assertTrue(made["signed"])
            self.assertEqual(NAME, made["tags"][0])

            shared = ("--image-from", place, *self.trusted)
            row = self.build("two", *shared).json()
            self.assertFalse(row["built"])
            self.assertEqual(place, row["fetched_from"])
            self.assertTrue(row["signed_by"].startswith("SHA256:"))
            same = self.build("two", *shared)
            self.assertEqual("", same.json()["fetched_from"])
            self.assertIn("up to date", same.stderr)
            one, two = (
                (self.place / name / f"{NAME}.tar").read_bytes()
                for name in ("one", "two")
            )
            self.assertEqual(one, two)
            # this builder's own images are others, but the plan is the same
            other = signing.make_key(self.place / "other")
            row = self.build("two", *shared, "--sign-key", other).json()
            self.assertFalse(row["built"])
        # it is gone
        outcome = self.build("three", *shared)
        (warning,) = self.warnings(outcome)
        self.assertIn(f"the images in {place} are not used", warning)
        self.assertTrue(outcome.json()["built"])

    def test_no_key(self) -> None:
        for words, said in (
            (("--image-from", "r.example/a"), "no key is trusted"),
            (("--cache-from", "r.example/a"), "no key is trusted"),
            (("--cache-to", "r.example/a"), "there is no key to sign"),
        ):
            outcome = tiny.build(self.place, *words)
            self.assertEqual(2, outcome.status)
            self.assertIn(said, outcome.stderr)
