# SPDX-License-Identifier: Apache-2.0
"""What is said of a load that new instances notice."""

import typing

from tests.unit.cloud import fakes
from tests.unit.cloud import images
from tests.unit.cloud import test_load
from trove_tools.artifact import verification
from trove_tools.cloud import effect

NAME = test_load.NAME


class LiveTest(test_load.LoadCase):
    def second(self, **given: typing.Any) -> typing.Any:
        return self.load(self.build("second"), **given)

    def test_a_version_that_nobody_uses(self) -> None:
        for row in (self.load(), self.second()):
            self.assertFalse(row["live"])
            self.assertIsNone(row["undo"])
        self.assertNotIn("live", self.said.getvalue())

    def test_over_an_active_version(self) -> None:
        first = self.load(activate=True)["image_id"]
        self.assertIn("undo: openstack datastore version set version-11.8"
                      " --disable", self.said.getvalue())  # fmt: skip
        row = self.second()
        undo = f"activate-trove-image --rollback {NAME} --to-image {first}"
        self.assertEqual(
            (True, first, undo),
            (row["live"], row["image_before"], row["undo"]),
        )
        self.assertIn(
            f"{NAME} is live now for new instances; before: image"
            f" trove-mariadb ({first}); undo: {undo}",
            self.said.getvalue(),
        )

    def test_again(self) -> None:
        self.load(activate=True)
        self.said.truncate(0)
        row = self.load()
        self.assertEqual(
            (True, None, None), (row["live"], row["image_before"], row["undo"])
        )
        self.assertNotIn("is live now", self.said.getvalue())

    def test_over_an_image_that_something_else_made(self) -> None:
        old = fakes.image("old", 1)
        self.cloud.images[old["id"]] = old
        self.cloud.versions["v"] = fakes.version("11.8", id="v", active=True)
        row = self.load()
        self.assertEqual(
            "openstack image unset --tag trove --tag mariadb --tag 11.8"
            f" {row['image_id']}",
            row["undo"],
        )

    def test_over_a_pinned_image_that_something_else_made(self) -> None:
        old = fakes.image("old", 1, tags=[])
        self.cloud.images[old["id"]] = old
        self.cloud.versions["v"] = fakes.version(
            "11.8", id="v", active=True, image="image-1"
        )
        row = self.load(pin=True)
        self.assertEqual(
            "openstack datastore version set v --image image-1", row["undo"]
        )

    def test_the_image_before_does_not_stay(self) -> None:
        self.load(activate=True)
        self.assertIsNone(self.second(keep=1)["undo"])
        self.assertIn("undo: load the image before", self.said.getvalue())

    def test_a_version_without_an_image(self) -> None:
        self.cloud.versions["v"] = fakes.version("11.8", id="v", active=True)
        row = self.load()
        self.assertEqual((True, None), (row["live"], row["undo"]))
        self.assertIn("before: no image", self.said.getvalue())

    def test_doubts_are_a_warning_only_where_they_matter(self) -> None:
        images.describe(
            self.path, agent={"source": "checkout", "version": "26.0.0",
                              "commit": "abc", "dirty": True},
        )  # fmt: skip
        self.load()
        self.assertIn(
            "trove-mariadb.qcow2 has not been verified and has a"
            " guest agent of a checkout",
            self.said.getvalue(),
        )
        self.assertNotIn("warning", self.said.getvalue())
        self.load(activate=True)
        self.assertIn(
            f"warning: trove-mariadb.qcow2 goes live at once for"
            f" new instances of {NAME}, and has not been verified"
            " and has a guest agent",
            self.said.getvalue(),
        )

    def test_no_doubts(self) -> None:
        self.assertEqual([], effect.doubts({}))
        proof = verification.Verified("agent", ("qemu",), True)
        self.assertEqual(
            [], effect.doubts({"trove_tools_verified": str(proof)})
        )
        proof = verification.Verified("agent", ("qemu",), False, ("SQL",))
        self.assertEqual(
            ["failed its verification: agent (qemu) FAILED: SQL"],
            effect.doubts({"trove_tools_verified": str(proof)}),
        )


class ParametersTest(test_load.LoadCase):
    """A Trove that is not here is worth a line where users miss it."""

    words = "has no configuration parameters"

    def setUp(self) -> None:
        super().setUp()
        self.patch_object(
            test_load.load.parameters, "_installed", lambda *_: None
        )

    def test_said_once(self) -> None:
        row = self.load(parameters="auto")
        self.assertEqual("none", row["parameters"])
        self.assertIn(f"{NAME} {self.words}", self.said.getvalue())
        self.said.truncate(0)
        self.load(parameters="auto")
        self.assertNotIn(self.words, self.said.getvalue())

    def test_they_are_there(self) -> None:
        self.cloud.versions["v"] = fakes.version("11.8", id="v")
        self.cloud.parameters["v"] = [
            {"name": "a", "restart_required": False, "type": "string"}
        ]
        row = self.load(parameters="auto", activate=True)
        self.assertEqual("1 there already", row["parameters"])
        self.assertNotIn(self.words, self.said.getvalue())

    def test_none_are_wanted(self) -> None:
        self.load(parameters="none", activate=True)
        self.assertNotIn(self.words, self.said.getvalue())
