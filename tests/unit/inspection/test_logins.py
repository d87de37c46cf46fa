# SPDX-License-Identifier: Apache-2.0
"""What sshd, sudo and cloud-init would make of their files."""

import pathlib

import ddt

from tests.unit.inspection import root_case
from trove_tools.inspection import logins
from trove_tools.inspection import policy

SSHD = "etc/ssh/sshd_config"
DROP_IN = "etc/ssh/sshd_config.d/60-x.conf"
SUDOERS = "etc/sudoers"


class LoginsCase(root_case.RootCase):
    def setUp(self) -> None:
        super().setUp()
        self.write("usr/sbin/sshd", "")
        self.write(SSHD, f"Include /{pathlib.Path(DROP_IN).parent}/*.conf\n")
        self.write(DROP_IN, "PasswordAuthentication no\n")
        self.write("etc/passwd", "ann:x:2000:2000:Ann:/home/ann:/bin/sh\n")
        self.write(
            "etc/cloud/cloud.cfg.d/91-x.cfg",
            "system_info: {default_user: {name: ann}}\n",
        )

    def found(self) -> list[str]:
        return [each.path for each in policy.find_all(self.root)]


@ddt.ddt
class SshdTest(LoginsCase):
    def test_safe(self) -> None:
        self.assertEqual([], self.found())

    def test_the_first_value_counts(self) -> None:
        # the main file reads the other one at its beginning
        text = (self.root / SSHD).read_text()
        self.write(SSHD, f"{text}PasswordAuthentication yes\n")
        self.assertEqual([], self.found())
        self.write(SSHD, f"PasswordAuthentication yes\n{text}")
        self.assertEqual([f"/{SSHD}"], self.found())

    def test_the_default_counts(self) -> None:
        self.write(DROP_IN, "# PasswordAuthentication no\n")
        self.assertEqual([f"/{SSHD}"], self.found())
        (self.root / "usr/sbin/sshd").unlink()
        self.assertEqual([], self.found())

    @ddt.data(
        "permitrootlogin = yes",
        'PermitRootLogin "yes"',
        "PermitEmptyPasswords yes # for a while",
        "HostbasedAuthentication yes",
        "TrustedUserCAKeys /etc/ssh/ca.pub",
        "AuthorizedKeysCommand /usr/bin/ask",
        "AuthorizedKeysFile .ssh/authorized_keys /etc/ssh/keys/%u",
        "Match User bob\n  PasswordAuthentication yes",
    )
    def test_unsafe(self, text: str) -> None:
        self.write(DROP_IN, f"PasswordAuthentication no\n{text}\n")
        self.assertEqual([f"/{DROP_IN}"], self.found())

    @ddt.data(
        "PermitRootLogin no", "PermitRootLogin prohibit-password",
        "AuthorizedKeysFile %h/.ssh/authorized_keys .ssh/authorized_keys2",
        "Match User bob\n  PermitRootLogin no",
        "#PermitRootLogin yes",
    )  # fmt: skip
    def test_harmless(self, text: str) -> None:
        self.write(DROP_IN, f"PasswordAuthentication no\n{text}\n")
        self.assertEqual([], self.found())

    def test_files_that_include_each_other(self) -> None:
        self.write(DROP_IN, f"PasswordAuthentication no\nInclude /{SSHD}\n")
        self.assertEqual([], self.found())


@ddt.ddt
class SudoTest(LoginsCase):
    @ddt.data(
        "root ALL=(ALL:ALL) ALL",
        "%sudo ALL=(ALL:ALL) ALL",
        "ann ALL=(ALL) NOPASSWD:ALL",
        "trove-agent ALL = (root) NOPASSWD: /usr/bin/df, /usr/bin/mount",
        "Defaults env_keep += HOME",
        "User_Alias BOSSES = bob",
        "# bob ALL=(ALL) NOPASSWD: ALL",
    )
    def test_who_may(self, line: str) -> None:
        self.write(SUDOERS, f"{line}\n")
        self.assertEqual([], self.found())

    @ddt.data(
        "bob ALL=(ALL) NOPASSWD: ALL",
        "bob ALL=(ALL) ALL",
        "ann, bob ALL = \\\n  NOPASSWD: ALL",
        "%sudo ALL=(ALL:ALL) NOPASSWD: ALL",
        "%docker ALL=(ALL) ALL",
        "#1234 ALL=(ALL) ALL",
        "trove-agent ALL = (root) NOPASSWD: /usr/bin/df, ALL",
        "Defaults !authenticate",
    )
    def test_who_may_not(self, line: str) -> None:
        for name in (SUDOERS, "etc/sudoers.d/50-x", "opt/sudo"):
            self.write(
                SUDOERS, "@includedir /etc/sudoers.d\n#include /opt/sudo\n"
            )
            self.write(name, f"{line}\n")
            self.assertEqual({f"/{name}"}, set(self.found()))
            (self.root / name).unlink()

    def test_what_sudo_does_not_read(self) -> None:
        self.write(SUDOERS, "@includedir /etc/sudoers.d\n")
        for name in ("x.conf", "x~"):
            self.write(f"etc/sudoers.d/{name}", "bob ALL=(ALL) ALL\n")
        self.assertEqual([], self.found())


class CloudInitTest(LoginsCase):
    def test_the_last_file_counts(self) -> None:
        self.write("etc/cloud/cloud.cfg", "ssh_pwauth: true\n")
        self.assertEqual(["/etc/cloud/cloud.cfg"], self.found())
        self.write("etc/cloud/cloud.cfg.d/95-x.cfg", "ssh_pwauth: false\n")
        self.assertEqual([], self.found())

    def test_guest_user(self) -> None:
        self.assertEqual("ann", logins.guest_user(self.root))
        self.write("etc/cloud/cloud.cfg.d/95-x.cfg", "- a\n- list\n")
        self.write("etc/cloud/cloud.cfg.d/96-x.cfg", "a: [damaged\n")
        self.write("etc/cloud/cloud.cfg.d/97-x.cfg", "system_info: text\n")
        self.assertEqual("ann", logins.guest_user(self.root))
