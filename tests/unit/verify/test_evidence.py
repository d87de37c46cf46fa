# SPDX-License-Identifier: Apache-2.0
"""What a guest finds out about itself."""

import json
import os

from tests import base
from trove_tools.verify import evidence
from trove_tools.verify import inside


class UnitTest(base.TestCase):
    def setUp(self) -> None:
        super().setUp()
        self.root = self.temp_dir()

    def write(self, path: str, text: str) -> None:
        file = self.root / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)

    def settings(self) -> dict[str, list[str]]:
        return evidence.unit_settings(str(self.root))

    def test_no_unit(self) -> None:
        self.assertEqual({}, self.settings())

    def test_drop_ins_add_and_forget(self) -> None:
        unit = evidence.UNIT
        self.write(
            f"usr/lib/systemd/system/{unit}",
            "[Unit]\n# After=comment\nAfter=a.service \\\n  b.service\n"
            "[Service]\nExecStart=/old\nUser=x\n",
        )
        self.write(
            f"usr/lib/systemd/system/{unit}.d/10-a.conf",
            "[Service]\nExecStart=\nExecStart=/new --flag=1\n",
        )
        self.write(f"etc/systemd/system/{unit}.d/20.conf", "After=c.service\n")
        found = self.settings()
        self.assertEqual(["/new --flag=1"], found["ExecStart"])
        self.assertEqual(
            ["a.service", "b.service", "c.service"],
            " ".join(found["After"]).split(),
        )
        self.assertEqual(["x"], found["User"])

    def test_the_administrators_unit_hides_the_packages(self) -> None:
        unit = evidence.UNIT
        self.write(f"usr/lib/systemd/system/{unit}", "User=package\n")
        self.write(f"etc/systemd/system/{unit}", "User=admin\n")
        self.assertEqual(["admin"], self.settings()["User"])


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
        self.patch_object(evidence, "name_of", lambda kind, uid: f"u{uid}")
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


class CollectTest(base.TestCase):
    def test_it_comes_in_pieces_that_fit_together(self) -> None:
        told = [json.loads(json.dumps(e)) for e in evidence.pieces("all")]
        self.assertEqual({}, told[-1])
        found = evidence.merged(told)
        self.assertEqual("1001", found["facts"]["database_uid"])
        self.assertIn("guest agent", found["logs"])
        # a guest that hangs before it has told everything
        self.assertEqual(["facts"], list(evidence.merged(told[:1])))
        self.assertEqual(
            ["facts"], list(evidence.merged(evidence.pieces("facts")))
        )

    def test_file_systems_that_the_image_has(self) -> None:
        def which(program: str, path: str) -> str | None:
            return None if program.startswith("xfs") else program

        self.patch_object(evidence.shutil, "which", which)
        self.patch_object(evidence, "try_file_system", lambda kind: "")
        found = evidence.merged(evidence.pieces("file-systems"))
        self.assertEqual({"file-systems": {"ext3": "", "ext4": ""}}, found)

    def test_frames_of_a_traceback_tell_nothing(self) -> None:
        stamp = "2026-11-23 08:09:22.363 133 ERROR oslo_messaging.rpc.server"
        for rest in (" ", "   File \"x.py\"", "     ^^^", " Traceback (m",
                     " During handling of"):  # fmt: skip
            self.assertFalse(evidence.telling(f"{stamp}{rest}"))
        for line in (
            f"{stamp} docker.errors.APIError: 500 Server Error",
            f"{stamp} [None req-1 - -] Exception during message handling",
            "no date at all",
        ):
            self.assertTrue(evidence.telling(line))

    def test_a_program_that_is_not_there(self) -> None:
        self.assertEqual([], evidence.output("/no/such/program"))


class InsideTest(base.TestCase):
    def files(self, **texts: str) -> None:
        def read(path: str) -> str:
            return texts.get(path.rpartition("/")[2], "")

        self.patch_object(evidence, "read", read)

    def test_accounts(self) -> None:
        self.files(
            passwd="root:x:0:0::/root:/bin/sh\nu:x:7:8::/h:/bin/sh\n",
            group="docker:x:90:a,u\nother:x:91:ab\n",
        )
        self.assertEqual("7", inside.account("passwd", "u")[2])
        self.assertEqual("u", inside.account("passwd", "7")[0])
        self.assertEqual([8, 90], inside.groups_of("u", 8))
        error = self.assertRaises(
            inside.BrokenError, inside.account, "passwd", "ubuntu"
        )
        self.assertIn("'ubuntu'", str(error))

    def test_capabilities_that_a_unit_leaves(self) -> None:
        for names, option in (
            (["CAP_CHOWN CAP_SYS_ADMIN"],
             ["--bounding-set=-all,+chown,+sys_admin"]),
            (["~CAP_CHOWN"], []),
            ([], []),
        ):  # fmt: skip
            unit = {"CapabilityBoundingSet": names}
            self.assertEqual(option, inside.bounds(unit))

    def test_options_of_the_engine(self) -> None:
        self.files(docker='# X\nDOCKER_OPTS="--live-restore --log-opt=a=1"\n')
        self.assertEqual(
            ["--live-restore", "--log-opt=a=1"], inside.docker_options()
        )
        self.files()
        self.assertEqual([], inside.docker_options())
