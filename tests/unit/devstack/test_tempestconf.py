# SPDX-License-Identifier: Apache-2.0
"""A whole tempest.conf."""

import configparser
import pathlib
import typing

from tests import base
from tests.unit.devstack import fakes
from trove_tools import errors
from trove_tools.devstack import tempestconf

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


class SettingsTest(base.TestCase):
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
        rows = tempestconf.settings(
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
        tempestconf.write(
            path, [("a", "x", "1"), ("b", "y", "pa$s"), ("a", "z", "2")]
        )
        self.assertEqual(0o600, path.stat().st_mode & 0o777)
        read = configparser.RawConfigParser()
        read.read(path)
        self.assertEqual({"x": "1", "z": "2"}, dict(read["a"]))
        # oslo.config reads a doubled dollar sign as one
        self.assertEqual("pa$$s", read["b"]["y"])
