# SPDX-License-Identifier: Apache-2.0
import base64
import configparser
import stat

import yaml

from minicloud import conffiles
from minicloud import services
from tests.unit.tools.minicloud import layout_case


class ConfFilesTest(layout_case.LayoutCase):
    def write(self) -> dict[str, configparser.ConfigParser]:
        conffiles.write(self.layout, self.state)
        found = {}
        for service in services.ALL:
            parser = configparser.ConfigParser(interpolation=None)
            parser.read_string((self.layout.etc / service.config).read_text())
            found[service.name] = parser
        return found

    def test_each_service_has_its_own(self) -> None:
        found = self.write()
        connections = set()
        for name, parser in found.items():
            connection = parser["database"]["connection"]
            path = self.layout.database(name)
            self.assertEqual(f"sqlite:///{path}", connection)
            connections.add(connection)
        self.assertEqual(3, len(connections))

    def test_services_log_in_at_the_identity_service(self) -> None:
        found = self.write()
        for name, section in (
            ("glance", "keystone_authtoken"),
            ("trove", "keystone_authtoken"),
            ("trove", "service_credentials"),
        ):
            values = found[name][section]
            self.assertEqual("http://127.0.0.1:5000/v3", values["auth_url"])
            self.assertEqual(name, values["username"])
            self.assertEqual(self.state.passwords[name], values["password"])

    def test_trove_listens_on_loopback(self) -> None:
        values = self.write()["trove"]["DEFAULT"]
        self.assertEqual("127.0.0.1", values["bind_host"])
        self.assertEqual("8779", values["bind_port"])

    def test_secrets_are_private(self) -> None:
        self.write()
        for path in self.layout.etc.rglob("*"):
            wanted = 0o700 if path.is_dir() else 0o600
            self.assertEqual(wanted, stat.S_IMODE(path.stat().st_mode), path)

    def test_keys_are_made_once(self) -> None:
        self.write()
        keys = {
            path: path.read_bytes()
            for path in self.layout.etc.glob("*-keys/*")
        }
        self.assertEqual(4, len(set(keys.values())))
        for key in keys.values():
            self.assertEqual(32, len(base64.urlsafe_b64decode(key)))
        self.write()
        for path, key in keys.items():
            self.assertEqual(key, path.read_bytes())

    def test_clouds(self) -> None:
        clouds = yaml.safe_load(conffiles.clouds(self.state))["clouds"]
        self.assertEqual({"minicloud", "minicloud-demo"}, set(clouds))
        auth = clouds["minicloud-demo"]["auth"]
        self.assertEqual("demo", auth["username"])
        self.assertEqual("demo", auth["project_name"])
        self.assertEqual(self.state.passwords["demo"], auth["password"])
