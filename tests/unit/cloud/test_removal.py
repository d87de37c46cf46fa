# SPDX-License-Identifier: Apache-2.0
"""Who may still need an image."""

import typing

from tests import base
from tests.unit.cloud import fakes
from tests.unit.cloud import played
from trove_tools import errors
from trove_tools.cloud import image as _image
from trove_tools.cloud import removal

IMAGE = _image.Image.from_answer(
    fakes.image("x", 1, **{_image.SERVES: "mariadb:11.8"})
)


class Played:
    """A service that answers what it was told."""

    def __init__(self, **answers: typing.Any) -> None:
        self.answers = answers
        self.asked: list[str] = []

    def read(
        self, path: str, doing: str, again: bool = True, **kwargs: typing.Any
    ) -> typing.Any:
        self.asked.append(path)
        if not self.answers:
            raise errors.CloudError("no answer")
        return self.answers


class UsersTest(base.TestCase):
    def reason(
        self,
        trove: Played,
        nova: Played | None = None,
        cinder: Played | None = None,
    ) -> str | None:
        cloud = played.connect(trove, nova, cinder)
        return removal.Users(cloud).find_reason(IMAGE)

    def instance(self, status: str, version: str = "11.8") -> Played:
        datastore = {"type": "mariadb", "version": version}
        return Played(
            instances=[{"id": "i1", "status": status, "datastore": datastore}]
        )

    def test_nobody(self) -> None:
        self.assertIsNone(self.reason(Played(instances=[])))
        self.assertIsNone(
            self.reason(
                self.instance("HEALTHY"),
                Played(servers=[]),
                Played(volumes=[{"id": "v"}]),
            )
        )

    def test_without_nova_trove_may_not_know(self) -> None:
        self.assertIsNone(self.reason(Played()))
        self.assertIn(
            "could not tell", self.reason(Played(), Played(servers=[])) or ""
        )

    def test_instances(self) -> None:
        none = Played(servers=[])
        for trove, nova, needed in (
            (self.instance("HEALTHY"), None, True),
            (self.instance("HEALTHY"), none, False),
            (self.instance("BUILD"), none, True),
            (self.instance("BUILD", "10.11"), none, False),
        ):
            self.assertEqual(needed, bool(self.reason(trove, nova)))

    def test_servers(self) -> None:
        trove = Played(instances=[])
        reason = self.reason(trove, Played(servers=[{"id": "s1"}]))
        self.assertEqual("Nova server s1 was made from it", reason)
        self.assertIn("Nova could not", self.reason(trove, Played()) or "")

    def test_volumes(self) -> None:
        made = {"image_id": IMAGE.id}
        cinder = Played(volumes=[{"id": "v", "volume_image_metadata": made}])
        reason = self.reason(Played(instances=[]), None, cinder)
        self.assertEqual("Cinder volume v was made from it", reason)
