# SPDX-License-Identifier: Apache-2.0
"""What a guest finds out about itself."""

import json
import os
import sys

from tests import base
from trove_tools.host import process
from trove_tools.verify import evidence


class UnitTest(base.TestCase):
    def test_properties(self) -> None:
        self.fake_program(
            "systemctl",
            f'[ "$1 $2" = "show {evidence.UNIT}" ]\n'
            "echo RestartUSec=5s\necho After=docker.service a.slice",
        )
        self.assertEqual(
            {
                "After": "docker.service a.slice",
                "StartLimitIntervalUSec": "",
                "RestartUSec": "5s",
            },
            evidence.unit_properties(),
        )

    def test_no_systemd(self) -> None:
        self.fake_program("systemctl", "exit 1")
        self.assertEqual({""}, set(evidence.unit_properties().values()))


class ListenersTest(base.TestCase):
    def test_what_the_network_reaches(self) -> None:
        # of a guest of Debian 13
        lines = """\
udp UNCONN 0 0 127.0.0.53%lo:53 0.0.0.0:* users:(("systemd-resolve",pid=5))
udp UNCONN 0 0 10.0.2.15%ens3:68 0.0.0.0:* users:(("systemd-network",pid=3))
udp UNCONN 0 0 [::1]:323 [::]:* users:(("chronyd",pid=9))
udp UNCONN 0 0 [fe80::5]%ens3:546 [::]:* users:(("systemd-network",pid=3))
tcp LISTEN 0 128 0.0.0.0:22 0.0.0.0:* users:(("sshd",pid=7))
tcp LISTEN 0 128 [::]:22 [::]:* users:(("sshd",pid=7))
tcp LISTEN 0 50 [::ffff:127.0.0.1]:7000 *:* users:(("java",pid=8))
tcp LISTEN 0 50 *:9100 *:*
p_raw UNCONN 0 0 *:ens3 * users:(("tcpdump",pid=1))

""".splitlines()
        self.assertEqual(
            ["tcp/22 sshd", "tcp/9100", "udp/546 systemd-network",
             "udp/68 systemd-network"],
            evidence.listeners(lines),
        )  # fmt: skip


class ExposedTest(base.TestCase):
    def setUp(self) -> None:
        super().setUp()
        if os.geteuid() != 0:
            self.skipTest("only root can be somebody else")
        self.place = self.temp_dir()
        for each in (self.place, *self.place.parents):
            if not each.stat().st_mode & 0o001:
                each.chmod(0o755)
        (self.place / "a").write_text("x\nurl = rabbit://u:w@h/\n")
        (self.place / "closed").mkdir(mode=0o750)
        (self.place / "closed/b").write_text("rabbit://u:w@h/")
        os.mkfifo(self.place / "fifo")
        self.patch_object(evidence, "_SECRET_PLACES", (str(self.place),))

    def test_what_anybody_reads(self) -> None:
        settings = {"DEFAULT": {"transport_url": "rabbit://u:w@h/"}, "x": {}}
        self.assertEqual([f"{self.place}/a"], evidence.exposed(settings))

    def test_without_secrets(self) -> None:
        self.assertEqual([], evidence.exposed({"DEFAULT": {}}))


class ConfigurationTest(base.TestCase):
    """What the guest knows of the configuration that was injected."""

    def settings(self, text: str) -> dict[str, dict[str, str]]:
        place = self.temp_dir() / "etc/trove/conf.d"
        place.mkdir(parents=True)
        (place / "guest_info.conf").write_text(
            "[DEFAULT]\nguest_id=1\ndatastore_manager=mysql\n"
        )
        (place / "trove-guestagent.conf").write_text(text)
        return evidence.configured(str(place.parents[2]))

    def test_the_user_that_trove_makes(self) -> None:
        self.patch_object(evidence, "user_name", lambda uid: f"u{uid}")
        for text, uid, name in (
            ("", "1001", "database"),
            ("[DEFAULT]\ndatabase_service_uid = 70\n", "70", "database"),
            ("[mysql]\n# x = 1\ndatabase_service_uid = 999\n"
             "database_service_uname = mysql\n", "999", "mysql"),
            ("[mariadb]\ndatabase_service_uid = 999\n", "1001", "database"),
        ):  # fmt: skip
            self.assertEqual(
                {
                    "database_user": name,
                    "database_uid": uid,
                    "database_uid_owner": f"u{uid}",
                },
                evidence.database_user(self.settings(text)),
            )

    def test_how_the_volume_is_formatted(self) -> None:
        self.patch_object(evidence.shutil, "which", lambda *_, **__: None)
        found = evidence.volume(
            self.settings("[DEFAULT]\nvolume_fstype = xfs\n")
        )
        self.assertEqual(
            {
                "volume_fstype": "xfs",
                "volume_programs_missing": [
                    "mkfs.xfs", "xfs_admin", "xfs_growfs", "xfs_repair",
                ],
            },
            found,
        )  # fmt: skip


class MainTest(base.TestCase):
    def test_facts(self) -> None:
        done = process.run(
            [sys.executable, evidence.__file__, "facts", "5"]
        )
        found = json.loads(done.stdout)
        self.assertEqual("1001", found["database_uid"])

    def test_a_file_system_that_the_image_leaves_out(self) -> None:
        self.patch_object(evidence.shutil, "which", lambda *_, **__: None)
        self.assertIsNone(evidence.try_file_system("xfs"))

    def test_a_program_that_is_not_there(self) -> None:
        self.assertEqual([], evidence.output("/no/such/program"))
