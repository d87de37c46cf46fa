# SPDX-License-Identifier: Apache-2.0
"""Which images the agent can be replaced in."""

import dataclasses
import pathlib
import types
import typing

from tests import base
from tests.unit.plan import samples
from trove_tools.artifact import manifest
from trove_tools.build import patch
from trove_tools.build import previous
from trove_tools.host import digests
from trove_tools.host import process
from trove_tools.plan import agent
from trove_tools.plan import plan


class PreviousTest(base.TestCase):
    def setUp(self) -> None:
        super().setUp()
        self.output = self.temp_dir()
        self.plan = self.make("1")
        self.image = self.output / self.plan.file
        self.image.write_text("image")
        manifest.sidecar(self.image).mkdir()
        manifest.path(self.image).touch()
        fuse = self.temp_dir() / "fuse"
        fuse.touch()
        self.patch_object(patch, "_FUSE", fuse)
        self.patch_object(process, "find", lambda name: f"/usr/bin/{name}")

    def make(self, state: str, **changes: typing.Any) -> plan.Plan:
        source = agent.Agent(
            "checkout", "/t", state=state,
            dependencies=changes.pop("dependencies", "a"),
        )  # fmt: skip
        return plan.make(samples.a_request(agent=source, **changes))

    def file(self, **values: str) -> manifest.File:
        return manifest.File(self.image.name, "qcow2", 5, **values)

    def reason(self, wanted: plan.Plan, **changes: typing.Any) -> str:
        """Return why the image cannot be patched; empty if it can."""
        values = {
            "plan": self.plan.as_dict(),
            "plan_digest": self.plan.digest(),
            "image": self.file(**digests.compute(self.image)),
            "patched": False,
        }
        found = types.SimpleNamespace(**{**values, **changes})
        self.patch_object(manifest, "read", lambda *_: found)
        previous, reason = patch.find_previous(wanted, self.output, None)
        self.assertEqual(bool(reason), previous is None)
        return reason

    def test_another_state_of_the_checkout(self) -> None:
        self.assertNotEqual(self.plan.digest(), self.make("2").digest())
        self.assertEqual("", self.reason(self.make("2")))
        self.assertEqual("", self.reason(self.make("2"), patched=True))

    def test_more_has_changed(self) -> None:
        for wanted in (
            # a requirement is in a lower layer
            self.make("2", dependencies="a\nb"),
            self.make("2", guest_user="somebody"),
            self.make("2", disk_size=9),
            plan.make(samples.a_request()),
        ):
            wanted = dataclasses.replace(wanted, name=self.plan.name)
            self.assertIn("more than the code", self.reason(wanted))
        self.assertIn("more than the code", self.reason(self.plan, plan={}))

    def test_no_intact_image(self) -> None:
        wanted = self.make("2")
        without = self.reason(wanted, image=self.file())
        self.assertIn("no intact image", without)
        self.patch_object(manifest, "read", lambda *_: None)
        self.assertEqual(
            (None, "there is no intact image of an earlier build"),
            patch.find_previous(wanted, self.output, None),
        )

    def test_only_qcow2(self) -> None:
        self.plan = self.make("1", image_format="raw")
        self.image = self.image.rename(self.output / self.plan.file)
        wanted = self.make("2", image_format="raw")
        self.assertIn("raw, not qcow2", self.reason(wanted))

    def test_what_the_host_lacks(self) -> None:
        self.patch_object(process, "find", lambda name: None)
        self.patch_object(patch, "_FUSE", pathlib.Path("/none/fuse"))
        self.assertEqual(
            "this host has no qemu-storage-daemon and no fstrim and no"
            " /none/fuse",
            self.reason(self.make("2")),
        )

    def test_a_clean_build_does_not_accept_it(self) -> None:
        for patched in (False, True):
            self.reason(self.plan, patched=patched)
            for accepted in (False, True):
                found = previous.find_current(
                    self.plan, self.output, patched=accepted
                )
                self.assertEqual(
                    accepted or not patched, found is not None
                )
