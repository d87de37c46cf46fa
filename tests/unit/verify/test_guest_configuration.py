# SPDX-License-Identifier: Apache-2.0
"""An operator's configuration of the guests, and what becomes of it."""

import pathlib

import ddt

from tests import base
from trove_tools import errors
from trove_tools.verify import guest_configuration

DEPLOYMENTS = base.ROOT / "tests" / "deployments"


def read(name: str) -> guest_configuration.Sections:
    return guest_configuration.read(DEPLOYMENTS / name)


@ddt.ddt
class ReadTest(base.TestCase):
    def file(self, text: str) -> pathlib.Path:
        file = self.temp_dir() / "trove-guestagent.conf"
        file.write_text(text)
        return file

    def test_sections_and_values(self) -> None:
        found = guest_configuration.read(
            self.file(
                "# x\n[DEFAULT]\na = 1\nlong = 1,\n  2\nmany = 1\nmany = 2\n"
                "[mysql]\na = %(x)s # y\nempty =\n"
            )
        )
        self.assertEqual(
            {
                "DEFAULT": {"a": "1", "long": "1,\n2", "many": ["1", "2"]},
                "mysql": {"a": "%(x)s # y", "empty": ""},
            },
            found,
        )

    @ddt.data(
        ("[DEFAULT]\nx = {{ y }}\n", "a template"),
        ("[DEFAULT]\nno value\n", "not a configuration file"),
        ("x = 1\n", "not a configuration file"),
    )
    @ddt.unpack
    def test_no_such_file(self, text: str, said: str) -> None:
        error = self.assertRaises(
            errors.UsageError, guest_configuration.read, self.file(text)
        )
        self.assertIn(said, error.message)
        self.assertTrue(error.hint)

    def test_too_large(self) -> None:
        error = self.assertRaises(
            errors.UsageError,
            guest_configuration.read,
            self.file("[DEFAULT]\n" + "#" * 1024 * 1024),
        )
        self.assertIn("larger than 1048576 bytes", error.message)

    def test_a_directory(self) -> None:
        error = self.assertRaises(
            errors.UsageError, guest_configuration.read, self.temp_dir()
        )
        self.assertIn("cannot be read", error.message)


class ReplaceTest(base.TestCase):
    def test_kolla_ansible(self) -> None:
        operator = read("kolla-ansible.conf")
        made = guest_configuration.configure_guest(operator, "rabbit://here/")
        self.assertEqual("rabbit://here/", made["DEFAULT"]["transport_url"])
        self.assertEqual(
            ["[DEFAULT] transport_url"], guest_configuration.replaced(operator)
        )
        plane = guest_configuration.configure_control_plane(made)
        self.assertEqual("true", plane["oslo_messaging_rabbit"][
            "rabbit_quorum_queue"
        ])  # fmt: skip
        # only in the guest: that is what is tried
        self.assertNotIn(
            "use_queue_manager", plane["oslo_messaging_rabbit"]
        )
        self.assertNotIn("service_credentials", plane)

    def test_openstack_ansible(self) -> None:
        operator = read("openstack-ansible.conf")
        made = guest_configuration.configure_guest(operator, "rabbit://here/")
        # the broker of verify has no certificate
        self.assertNotIn("ssl", made["oslo_messaging_rabbit"])
        self.assertEqual(
            "rabbit://here/",
            made["oslo_messaging_notifications"]["transport_url"],
        )

    def test_the_production_guide(self) -> None:
        operator = read("production-guide.conf")
        made = guest_configuration.configure_guest(operator, "rabbit://here/")
        self.assertEqual({}, made["guest_agent"])
        self.assertEqual("0", made["mariadb"]["database_service_gid"])
        self.assertIn(
            "[guest_agent] container_registry",
            guest_configuration.replaced(operator),
        )

    def test_the_operators_file_stays_as_it_is(self) -> None:
        operator = read("openstack-ansible.conf")
        guest_configuration.configure_guest(operator, "rabbit://here/")
        self.assertEqual(read("openstack-ansible.conf"), operator)

    def test_what_both_sides_must_agree_about(self) -> None:
        plane = guest_configuration.configure_control_plane(
            {
                "DEFAULT": {
                    "transport_url": "rabbit://u:secret@theirs/",
                    "control_exchange": "dbaas",
                    "docker_bridge_network_ip": "172.31.0.1/16",
                },
                "mysql": {"device_path": "/dev/sdb", "docker_image": "x"},
                "oslo_messaging_rabbit": {"hostname": "x"},
            }
        )
        self.assertEqual(
            {
                "DEFAULT": {
                    "control_exchange": "dbaas",
                    "docker_bridge_network_ip": "172.31.0.1/16",
                },
                "mysql": {"device_path": "/dev/sdb"},
            },
            plane,
        )
