# SPDX-License-Identifier: Apache-2.0
"""Which cloud, as whom, and what is missing there."""

import pathlib

import requests
import yaml

from tests import base
from tests.unit.cloud import fakes
from trove_tools import errors
from trove_tools.cloud import connection


class ConfigurationTest(base.TestCase):
    def setUp(self) -> None:
        super().setUp()
        self.home = self.temp_dir()
        self.clouds = self.home / "clouds.yaml"
        self.set_env(
            HOME=str(self.home), OS_CLIENT_CONFIG_FILE=str(self.clouds)
        )

    def refused(self, **given: object) -> errors.UsageError:
        settings = fakes.settings(**given)
        return self.assertRaises(
            errors.UsageError, connection.connect, settings
        )

    def test_nothing_said(self) -> None:
        error = self.refused()
        self.assertIn("no cloud was specified", error.message)
        self.assertIn("there is no clouds.yaml", error.hint or "")

    def test_unknown_cloud(self) -> None:
        self.clouds.write_text("clouds: {here: {}, there: {}}")
        error = self.refused(os_cloud="ther")
        self.assertIn("ther was not found", error.message)
        self.assertIn("one of: here, there", error.hint or "")

    def test_unknown_cloud_in_the_environment(self) -> None:
        self.set_env(OS_CLOUD="nowhere")
        self.assertIn("nowhere was not found", self.refused().message)

    def test_clouds_but_none_chosen(self) -> None:
        self.clouds.write_text("clouds: {here: {}, there: {}}")
        self.assertIn("one of: here, there", self.refused().hint or "")

    def test_file_that_holds_something_else(self) -> None:
        self.clouds.write_text("[1, 2]")
        self.assertIn("clouds.yaml", self.refused(os_cloud="x").message)

    def test_unknown_region(self) -> None:
        self.clouds.write_text(
            "clouds: {here: {auth: {auth_url: 'http://k'}, regions: [one]}}"
        )
        error = self.refused(os_cloud="here", os_region_name="two")
        self.assertIn("two", error.message)
        self.assertIn("--os-region-name", error.hint or "")

    def test_unknown_way_to_log_in(self) -> None:
        error = self.refused(os_auth_type="magic", os_auth_url="http://k")
        self.assertIn("magic", error.message)


class ConnectTest(base.TestCase):
    def setUp(self) -> None:
        super().setUp()
        self.cloud = self.useFixture(fakes.Cloud(self.temp_dir()))

    def connect(self, **given: object) -> connection.Cloud:
        return connection.connect(fakes.settings(**given))

    def refused(self, **given: object) -> errors.CloudError:
        return self.assertRaises(errors.CloudError, self.connect, **given)

    def test_connect(self) -> None:
        cloud = self.connect()
        self.assertEqual("user admin in project admin", cloud.login.who)
        self.assertEqual("p1", cloud.login.project_id)
        self.assertEqual(fakes.GLANCE, cloud.images.peer.url)
        self.assertEqual(fakes.TROVE, cloud.databases.peer.url)
        self.assertEqual([], self.cloud.calls)

    def test_flags_are_stronger_than_the_file(self) -> None:
        self.connect(os_password="from-flag", os_username="me")
        self.assertEqual("from-flag", self.cloud.login["password"])
        self.assertEqual("me", self.cloud.login["name"])

    def test_the_file_is_used(self) -> None:
        self.connect()
        self.assertEqual("from-file", self.cloud.login["password"])

    def test_variables_alone(self) -> None:
        self.set_env(
            OS_CLOUD=None,
            OS_CLIENT_CONFIG_FILE="/nowhere",
            OS_AUTH_URL=fakes.KEYSTONE,
            OS_USERNAME="me",
            OS_PASSWORD="from-variable",
            OS_PROJECT_NAME="admin",
            OS_USER_DOMAIN_NAME="Default",
            OS_PROJECT_DOMAIN_NAME="Default",
        )
        self.connect()
        self.assertEqual("from-variable", self.cloud.login["password"])

    def test_trove_is_not_asked_for_its_versions(self) -> None:
        # it refuses to say, as often as openstacksdk asks
        clouds = pathlib.Path(self.cloud.directory, "clouds.yaml")
        known = yaml.safe_load(clouds.read_text())
        (named,) = known["clouds"].values()
        named["database_endpoint_override"] = fakes.TROVE
        clouds.write_text(yaml.safe_dump(known))
        cloud = self.connect()
        self.assertEqual(fakes.TROVE, cloud.databases.adapter.get_endpoint())
        hosts = {each.hostname for each in self.cloud.wire.request_history}
        self.assertEqual({"keystone.test", "glance.test"}, hosts)

    def test_wrong_password(self) -> None:
        self.cloud.wire.post(
            f"{fakes.KEYSTONE}/auth/tokens",
            status_code=401,
            json={"error": {"message": "no such user"}},
            headers={"Content-Type": "application/json"},
        )
        self.assertIn("no such user", self.refused().message)

    def test_versions_only_after_a_login(self) -> None:
        # keystoneauth alone would wait for itself for ever
        self.cloud.wire.get(fakes.KEYSTONE, status_code=401)
        error = self.refused()
        self.assertIn("does not list its versions", error.message)
        self.assertIn("proxy", error.hint)

    def test_no_trove_in_the_catalog(self) -> None:
        del self.cloud.services["database"]
        self.assertIn("no endpoint of Trove", self.refused().message)

    def test_no_glance_in_the_catalog(self) -> None:
        del self.cloud.services["image"]
        self.assertIn("no endpoint of Glance", self.refused().message)

    def test_nothing_in_the_region(self) -> None:
        error = self.refused(os_region_name="elsewhere")
        self.assertIn("--os-region-name", error.hint or "")

    def test_no_project(self) -> None:
        clouds = pathlib.Path(self.cloud.directory, "clouds.yaml")
        clouds.write_text(
            "clouds: {here: {auth: {auth_url: 'http://keystone.test/v3',"
            " username: me, password: x, user_domain_name: Default}}}"
        )
        error = self.assertRaises(errors.UsageError, self.connect)
        self.assertIn("--os-project-name", error.hint or "")

    def test_glance_is_silent(self) -> None:
        self.cloud.wire.get(f"{fakes.GLANCE}/", exc=requests.ConnectionError)
        error = self.refused()
        self.assertIn(f"Glance at {fakes.GLANCE}", error.message)

    def test_interface(self) -> None:
        error = self.refused(os_interface="internal")
        self.assertIn("no endpoint of Trove", error.message)
