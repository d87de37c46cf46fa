# SPDX-License-Identifier: Apache-2.0
import json
import stat

from tests import base
from tests.unit.plan import samples
from trove_tools import errors
from trove_tools.plan import plan
from trove_tools.plan import variables

SECRET = "s3cret-value"  # noqa: S105


class MaskTest(base.TestCase):
    def test_what_is_recorded(self) -> None:
        known = {"DIB_OFFLINE": "1", "DIB_REPOREF_x": "main"}
        self.assertEqual({}, variables.mask_values(known, b"k"))

    def test_what_is_not(self) -> None:
        found = variables.mask_values({"DIB_X": SECRET, "DIB_Y": SECRET}, b"k")
        self.assertEqual({"DIB_X", "DIB_Y"}, set(found))
        self.assertNotIn(SECRET, str(found))
        # not even that two are the same
        self.assertNotEqual(found["DIB_X"], found["DIB_Y"])
        other = variables.mask_values({"DIB_X": SECRET}, b"another key")
        self.assertNotEqual(found["DIB_X"], other["DIB_X"])

    def test_query_of_a_known_one(self) -> None:
        name = "DIB_TROVE_AGENT_CONSTRAINTS"
        first, second = (
            variables.mask_values({name: f"https://h/x?h={branch}"}, b"k")[
                name
            ]
            for branch in ("stable", "master")
        )
        self.assertTrue(first.startswith("https://h/x keyed-sha256:"))
        self.assertNotEqual(first, second)


class KeyTest(base.TestCase):
    def test_the_same_again(self) -> None:
        place = self.temp_dir() / "cache"
        key = variables.read_key(place)
        self.assertEqual(key, variables.read_key(place))
        mode = (place / "key").stat().st_mode
        self.assertEqual(0o600, stat.S_IMODE(mode))
        self.assertEqual([place / "key"], list(place.iterdir()))
        self.assertNotEqual(key, variables.read_key(self.temp_dir()))

    def test_a_cache_that_cannot_be_written_to(self) -> None:
        place = self.temp_dir() / "file"
        place.touch()
        self.assertEqual(32, len(variables.read_key(place)))

    def test_written_by_others(self) -> None:
        place = self.temp_dir()
        variables.read_key(place)
        (place / "key").chmod(0o666)
        self.assertRaises(errors.UsageError, variables.read_key, place)


class FilterTest(base.TestCase):
    def test_values(self) -> None:
        clean = variables.Filter(
            {"DIB_X": "s3cret", "DIB_Y": "s3cret-longer\nit's one",
             "DIB_Z": "1"}
        )  # fmt: skip
        self.assertEqual(
            "(DIB_X) (DIB_Y) (DIB_Y) 1 http://h",
            clean("s3cret s3cret-longer it's one 1 http://me@h?x"),
        )
        self.assertEqual("+ x=(DIB_Y)", clean("+ x='it'\"'\"'s one'"))

    def test_none(self) -> None:
        self.assertEqual("a", variables.Filter({})("a"))


class PlanTest(base.TestCase):
    def make(self, value: str, key: bytes = b"k") -> plan.Plan:
        further = "trove-mariadb"
        library = samples.changed(
            further, variables=frozenset({"DIB_X"}), provides=()
        )
        return plan.make(
            samples.a_request(
                inherited={"DIB_X": value}, library=library, key=key
            )
        )

    def test_secret_of_a_variable(self) -> None:
        made = self.make(SECRET)
        self.assertEqual({"DIB_X": SECRET}, made.secrets())
        self.assertIn("DIB_X", json.dumps(made.as_dict()))
        self.assertNotIn(SECRET, json.dumps(made.as_dict()))
        # diskimage-builder gets it
        (layer,) = (each for each in made.layers if each.secrets())
        self.assertEqual(SECRET, layer.environment["DIB_X"])

    def test_digests(self) -> None:
        made = self.make(SECRET)
        self.assertEqual(made.digest(), self.make(SECRET).digest())
        self.assertNotEqual(made.digest(), self.make("other").digest())
        # nobody without the key can try values
        self.assertNotEqual(made.digest(), self.make(SECRET, b"l").digest())
