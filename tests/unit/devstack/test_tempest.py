# SPDX-License-Identifier: Apache-2.0
"""What trove-tempest-plugin is told."""

import configparser
import pathlib
import typing

from tests import base
from tests.unit.cloud import fakes as cloud_fakes
from tests.unit.devstack import fakes
from trove_tools import errors
from trove_tools.catalog import loader
from trove_tools.cloud import trove
from trove_tools.devstack import resources
from trove_tools.devstack import tempest

_READY = {"active": True, "default": True}

_FLAVORS = [
    resources.Flavor.from_answer(answer)
    for answer in (
        fakes.flavor("tiny", 512, 10),
        fakes.flavor("small", 1024, 10),
        fakes.flavor("other-disk", 2048, 5),
        fakes.flavor("large", 2048, 20, vcpus=2),
        fakes.flavor("eph", 1024, 6, ephemeral=1),
        fakes.flavor("eph-large", 1040, 6, ephemeral=1, vcpus=2),
    )
]


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
        rows = tempest.list_settings(
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
        cloud = tempest.inspect_cloud(login)  # type: ignore[arg-type]
        self.assertEqual("lvm", cloud.volume_type)
        del login.services["block-storage"], login.services["compute"]
        cloud = tempest.inspect_cloud(login)  # type: ignore[arg-type]
        self.assertEqual(([], None), (cloud.flavors, cloud.volume_type))


_AUTH = {
    "auth_url": "http://k/identity/",
    "username": "admin",
    "password": "pa$$word",
    "project_name": "admin",
    "user_domain_name": "Default",
}


class _Region:
    """openstacksdk's configuration of a region, as far as it is asked."""

    def __init__(self, verify: typing.Any, **auth: str | None) -> None:
        self.config = {"auth": {**_AUTH, **auth}}
        self.verify = verify

    def get_region_name(self) -> str:
        return "RegionOne"

    def get_requests_verify_args(self) -> tuple[typing.Any, None]:
        return self.verify, None


class ConfTest(base.TestCase):
    def settings(
        self, verify: typing.Any = True, **auth: str | None
    ) -> dict[tuple[str, str], str]:
        login = fakes.Login(
            identity=fakes.Service(
                {"GET /domains/d": {"domain": {"name": "Users"}}}
            ),
            network=fakes.Service(
                {"GET /networks": {"networks": [{"id": "public"}]}}
            ),
        )
        login.sdk = type("Sdk", (), {"config": _Region(verify, **auth)})
        rows = tempest.list_general_settings(
            login,  # type: ignore[arg-type]
            pathlib.Path("/w"),
        )
        return {(section, option): value for section, option, value in rows}

    def test_settings(self) -> None:
        found = self.settings()
        for section, option, value in (
            ("auth", "admin_username", "admin"),
            ("auth", "admin_domain_name", "Default"),
            ("identity", "uri_v3", "http://k/identity/v3"),
            ("identity", "region", "RegionOne"),
            ("network", "public_network_id", "public"),
            ("service_available", "neutron", "True"),
            ("service_available", "swift", "False"),
        ):
            self.assertEqual(value, found[section, option])
        self.assertNotIn(("identity", "ca_certificates_file"), found)

    def test_certificates(self) -> None:
        found = self.settings(verify="/ca.pem")
        self.assertEqual("/ca.pem", found["identity", "ca_certificates_file"])
        found = self.settings(verify=False)
        insecure = "disable_ssl_certificate_validation"
        self.assertEqual("True", found["identity", insecure])

    def test_domain_by_its_id(self) -> None:
        found = self.settings(user_domain_name=None, user_domain_id="d")
        self.assertEqual("Users", found["auth", "admin_domain_name"])

    def test_login_without_password(self) -> None:
        error = self.assertRaises(
            errors.UsageError, self.settings, password=None
        )
        self.assertIn("has no password", error.message)

    def test_write(self) -> None:
        path = self.temp_dir() / "tempest.conf"
        tempest.write_conf(
            path, [("a", "x", "1"), ("b", "y", "pa$s"), ("a", "z", "2")]
        )
        self.assertEqual(0o600, path.stat().st_mode & 0o777)
        read = configparser.RawConfigParser()
        read.read(path)
        self.assertEqual({"x": "1", "z": "2"}, dict(read["a"]))
        # oslo.config reads a doubled dollar sign as one
        self.assertEqual("pa$$s", read["b"]["y"])
