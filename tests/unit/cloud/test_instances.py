# SPDX-License-Identifier: Apache-2.0
"""Which image an instance runs."""

import typing

from tests import base
from tests.unit.cloud import played
from trove_tools import errors
from trove_tools.cloud import failures
from trove_tools.cloud import instances as _instances


class Played:
    """A service that answers by path; a list is answered in two pages."""

    dry = False

    def __init__(self, **answers: typing.Any) -> None:
        self.answers = {
            f"/{name.replace('__', '/').replace('_', '-')}": answer
            for name, answer in answers.items()
        }
        self.asked: list[str] = []

    def read(
        self, path: str, doing: str, again: bool = True, **kwargs: typing.Any
    ) -> typing.Any:
        params = kwargs.get("params", {})
        shown = path + "".join(
            f" {name}={params[name]}"
            for name in ("image", "marker")
            if name in params
        )
        self.asked.append(shown)
        try:
            answer = self.answers[path]
        except KeyError:
            raise failures.Refused(path, None, 404) from None
        return answer(params) if callable(answer) else answer


def row(number: int, **changes: typing.Any) -> dict[str, typing.Any]:
    """Return an instance as Trove's management API shows it."""
    return {
        "id": f"i{number}",
        "name": f"db {number}",
        "tenant_id": "p",
        "status": "ACTIVE",
        "operating_status": "HEALTHY",
        "datastore": {"type": "mariadb", "version": "11.8"},
        "server": {"id": f"s{number}"},
        "server_id": f"s{number}",
        "volume_id": f"v{number}",
        **changes,
    }


def server(number: int, image: str) -> dict[str, typing.Any]:
    """Return a server as Nova shows it."""
    return {
        "id": f"s{number}",
        "created": "2026-01-01T00:00:00Z",
        "image": {"id": image} if image else "",
        "os-extended-volumes:volumes_attached": [{"id": f"v{number}"}],
    }


class InstancesTest(base.TestCase):
    def test_servers_are_listed_by_image_and_page(self) -> None:
        def servers(params: dict[str, str]) -> typing.Any:
            if params["image"] == "other":
                return {"servers": []}
            if "marker" in params:
                return {"servers": [server(2, "new")]}
            href = "http://nova/servers/detail?image=new&marker=s1"
            return {
                "servers": [server(1, "new")],
                "servers_links": [{"rel": "next", "href": href}],
            }

        nova = Played(
            servers__detail=servers, servers__s3={"server": server(3, "x")}
        )
        trove = Played(
            mgmt__instances={"instances": [row(1), row(2), row(3), row(4)]}
        )
        listed = _instances.Instances(played.connect(trove, nova)).list_all(
            ["new", "other"]
        )
        self.assertEqual(
            ["new", "new", "x", None], [each.image_id for each in listed]
        )
        self.assertEqual(
            ["/servers/detail image=new", "/servers/detail image=new"
             " marker=s1", "/servers/detail image=other", "/servers/s3",
             "/servers/s4"],
            nova.asked,
        )  # fmt: skip
        self.assertEqual("it has no server", listed[3].find_obstacle())

    def test_only_of_some_versions(self) -> None:
        old = {"type": "mariadb", "version": "10.11"}
        trove = Played(
            mgmt__instances={"instances": [row(1, datastore=old), row(2)]}
        )
        nova = Played(servers__s2={"server": server(2, "x")})
        listed = _instances.Instances(played.connect(trove, nova)).list_all(
            [], ["mariadb:11.8"]
        )
        self.assertEqual(["i2"], [each.id for each in listed])
        self.assertEqual(["/servers/s2"], nova.asked)

    def test_a_server_that_boots_from_a_volume(self) -> None:
        trove = Played(mgmt__instances__i1={"instance": row(1)})
        nova = Played(servers__s1={"server": server(1, "")})
        metadata = {"volume_image_metadata": {"image_id": "x"}}
        for cinder, image in (
            (Played(volumes__v1={"volume": metadata}), "x"),
            (Played(volumes__v1={"volume": {}}), None),
            (None, None),
        ):
            cloud = played.connect(trove, nova, cinder)
            found = _instances.Instances(cloud).get("i1")
            assert found is not None
            self.assertEqual(image, found.image_id)
            self.assertIn("boots from a volume", found.find_obstacle() or "")

    def test_one_that_is_gone(self) -> None:
        trove = Played(mgmt__instances__i1={"instance": row(1, deleted=True)})
        instances = _instances.Instances(played.connect(trove, Played()))
        self.assertIsNone(instances.get("i1"))
        self.assertIsNone(instances.get("i2"))

    def test_of_a_replication(self) -> None:
        for changes, group, replica in (
            ({}, "i1", False),
            ({"replicas": [{"id": "i2"}]}, "i1", False),
            ({"replica_of": {"id": "i7"}}, "i7", True),
            ({"cluster_id": "c"}, "c", False),
        ):
            found = _instances.Instance.from_answer(row(1, **changes))
            self.assertEqual((group, replica), (found.group, found.replica))

    def test_counts(self) -> None:
        trove = Played(mgmt__instances={"instances": [row(1), row(2)]})
        nova = Played(
            servers__s1={"server": server(1, "new")},
            servers__s2={"server": server(2, "old")},
        )
        counts = _instances.count_by_image(played.connect(trove, nova), [])
        self.assertEqual({"mariadb:11.8": {"new": 1, "old": 1}}, counts)
        self.assertIsNone(_instances.count_by_image(played.connect(trove), []))

    def test_a_service_that_cannot_tell(self) -> None:
        class Broken(Played):
            def read(self, *args: typing.Any, **kwargs: typing.Any) -> None:
                raise errors.CloudError("no answer")

        self.assertRaises(
            errors.CloudError, _instances.count_by_image,
            played.connect(Broken(), Played()), [],
        )  # fmt: skip
