# SPDX-License-Identifier: Apache-2.0
"""What a localrc names, and what follows for Trove's configuration."""

from tests import base
from trove_tools import errors
from trove_tools.catalog import loader
from trove_tools.devstack import words


class WordsTest(base.TestCase):
    def setUp(self) -> None:
        super().setUp()
        self.catalog = loader.load([])

    def parse(self, *given: str) -> list[words.Choice]:
        return words.parse(given, self.catalog)

    def test_parse(self) -> None:
        for given in (
            ["mysql", "mariadb:10.11"],
            ["mysql, mariadb:10.11"],
            ["mysql mariadb:10.11,mysql"],
        ):
            found = [str(each) for each in self.parse(*given)]
            self.assertEqual(["mysql:8.4", "mariadb:10.11"], found)

    def test_wrong(self) -> None:
        for given, said in (
            ("mysq", "did you mean mysql?"),
            ("mysql:9.9", "versions of mysql"),
            (" , ", "for example"),
        ):
            error = self.assertRaises(errors.UsageError, self.parse, given)
            self.assertIn(said, error.hint or "")

    def test_firsts(self) -> None:
        found = self.parse("mariadb:10.11", "mysql", "mariadb:11.8")
        self.assertEqual(
            ["mariadb:10.11", "mysql:8.4"], list(map(str, words.firsts(found)))
        )

    def test_settings(self) -> None:
        found = self.parse("postgresql", "mysql")
        file, agent = "TROVE_CONF", "TROVE_GUESTAGENT_CONF"
        image = "quay.io/openstack.trove"
        common = [
            (agent, "postgresql", "docker_image", f"{image}/postgres"),
            (agent, "mysql", "docker_image", f"{image}/mysql"),
        ]
        default = (file, "DEFAULT", "default_datastore", "postgresql")
        self.assertEqual(
            [default, *common], words.settings(found, volumes=True)
        )
        self.assertEqual(
            [
                default,
                common[0],
                (file, "postgresql", "volume_support", "False"),
                common[1],
                (file, "mysql", "volume_support", "False"),
            ],
            words.settings(found, volumes=False),
        )
