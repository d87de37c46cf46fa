# SPDX-License-Identifier: Apache-2.0
"""What trove-tempest-plugin is told."""

import typing

from tests import base
from tests.unit.cloud import fakes as cloud_fakes
from tests.unit.devstack import fakes
from trove_tools import errors
from trove_tools.catalog import loader
from trove_tools.cloud import trove
from trove_tools.devstack import tempest

_READY = {"active": True, "default": True}

_FLAVORS = (
    fakes.flavor("tiny", 512, 10),
    fakes.flavor("small", 1024, 10),
    fakes.flavor("other-disk", 2048, 5),
    fakes.flavor("large", 2048, 20, vcpus=2),
    fakes.flavor("eph", 1024, 6, ephemeral=1),
    fakes.flavor("eph-large", 1040, 6, ephemeral=1, vcpus=2),
)


class SettingsTest(base.TestCase):
    def settings(self, **given: typing.Any) -> dict[str, str]:
        only = given.pop("only", ())
        cloud = tempest.Cloud(
            **{
                "versions": [
                    trove.DatastoreVersion.from_answer(answer)
                    for answer in (
                        cloud_fakes.version("11.8", **_READY),
                        cloud_fakes.version("10.11", active=True),
                        cloud_fakes.version(
                            "8.4", datastore_name="mysql", **_READY
                        ),
                        cloud_fakes.version("1", datastore_name="off"),
                    )
                ],
                "flavors": _FLAVORS,
                "volume_type": "lvm",
                **given,
            }
        )
        rows = tempest.settings(
            cloud, loader.load([]), network="net", timeout=100, only=only
        )
        self.assertIn(("service_available", "trove", "True"), rows)
        return {option: value for section, option, value in rows}

    def test_settings(self) -> None:
        found = self.settings()
        self.assertEqual(
            {
                "trove": "True",
                "enabled_datastores": "mariadb,mysql",
                "default_datastore_versions": "mariadb:11.8,mysql:8.4",
                "shared_network": "net",
                "database_build_timeout": "100",
                "database_restore_timeout": "200",
                "backup_wait_timeout": "100",
                "remove_swift_account": "False",
                "flavor_id": "id-small",
                "resize_flavor_id": "id-large",
                "volume_type": "lvm",
            },
            found,
        )

    def test_one_datastore(self) -> None:
        found = self.settings(only=["mysql"])
        self.assertEqual("mysql:8.4", found["default_datastore_versions"])

    def test_datastore_that_is_not_ready(self) -> None:
        error = self.assertRaises(
            errors.UsageError, self.settings, only=["off"]
        )
        self.assertIn("no datastore off", error.message)
        error = self.assertRaises(
            errors.CloudError, self.settings, versions=[]
        )
        self.assertIn("load-trove-image", error.hint or "")

    def test_without_volumes(self) -> None:
        found = self.settings(volume_type=None)
        self.assertEqual("id-eph", found["flavor_id"])
        self.assertEqual("id-eph-large", found["resize_flavor_id"])
        self.assertNotIn("volume_type", found)

    def test_without_nova(self) -> None:
        self.assertNotIn("flavor_id", self.settings(flavors=[]))

    def test_nothing_to_resize_to(self) -> None:
        error = self.assertRaises(
            errors.CloudError, self.settings, flavors=_FLAVORS[:2]
        )
        self.assertIn("trove-devstack prepare", error.hint or "")


class LookTest(base.TestCase):
    def test_look(self) -> None:
        login = fakes.Login(
            database=fakes.Service(
                {"GET /mgmt/datastore-versions": {"versions": []}}
            ),
            compute=fakes.Service({"GET /flavors.*": {"flavors": []}}),
            block_storage=fakes.Service(
                {"GET /types/default": {"volume_type": {"name": "lvm"}}}
            ),
        )
        cloud = tempest.look(login)  # type: ignore[arg-type]
        self.assertEqual("lvm", cloud.volume_type)
        del login.services["block-storage"], login.services["compute"]
        cloud = tempest.look(login)  # type: ignore[arg-type]
        self.assertEqual(([], None), (cloud.flavors, cloud.volume_type))
