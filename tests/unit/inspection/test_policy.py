# SPDX-License-Identifier: Apache-2.0
"""Each kind of secret is planted, and found."""


import ddt

from tests.unit.inspection import root_case
from trove_tools.inspection import policy

KEY = (
    "-----BEGIN OPENSSH PRIVATE KEY-----\n"
    + "b3BlbnNzaC1rZXktdjEAAAAABG5vbmUAAAAEbm9uZQAAAAAAAAABAAAA\n"
    + "-----END OPENSSH PRIVATE KEY-----\n"
)
SIGNED = "Types: deb\nURIs: http://m\nSuites: s\nSigned-By: /k.gpg\n"


@ddt.ddt
class FindingsTest(root_case.RootCase):
    def setUp(self) -> None:
        super().setUp()
        self.write("etc/shadow", "root:*:1::::::\nann:!:1::::::\n")
        self.write("etc/machine-id", "")
        self.write("etc/apt/sources.list", "# nothing here\n")
        self.write("etc/apt/sources.list.d/debian.sources", SIGNED)
        self.write("usr/lib/python3/keys.py", KEY.splitlines()[0])
        self.write("opt/v/site-packages/x/README", "OS_PASSWORD=secret\n")
        self.write("usr/share/doc/x", "see http://user:secret@example.org\n")

    def test_a_clean_image(self) -> None:
        self.assertEqual([], policy.find_all(self.root))

    @ddt.data(
        ("private key", "root/.ssh/id_rsa", KEY),
        ("private key", "opt/deep/er/x.pem", "cert\n" + KEY),
        ("private key", "usr/lib/python3/dist-packages/x/id.pem", KEY),
        ("private key", "opt/v/site-packages/x.py", KEY),
        ("private key", "usr/lib/python3/dist-packages/x.py", KEY),
        ("password", "etc/shadow", "root:$y$j9T$abc:1::::::\n"),
        ("password", "etc/shadow", "root::1::::::\n"),
        ("password", "etc/shadow-", "root:$6$abc:1::::::\n"),
        ("host key", "etc/ssh/ssh_host_ed25519_key.pub", "ssh-ed25519 A\n"),
        ("machine id", "etc/machine-id", "0123456789abcdef\n"),
        ("machine id", "var/lib/dbus/machine-id", "0123456789abcdef\n"),
        ("random seed", "var/lib/systemd/random-seed", "x"),
        ("login", "root/.ssh/authorized_keys", "ssh-ed25519 A\n"),
        ("login", "home/ann/.ssh/authorized_keys", "ssh-ed25519 A\n"),
        ("credentials", "etc/openstack/clouds.yaml", "clouds: {}\n"),
        ("credentials", "root/env", "export OS_PASSWORD=x\n"),
        ("credentials", "etc/trove/conf.d/guest_info.conf", "[DEFAULT]\n"),
        ("credentials", "etc/pip.conf", "index-url = https://u:p@m/\n"),
        ("credentials", "etc/apt/apt.conf.d/1", 'Proxy "http://u:p@m/";\n'),
        ("proxy of the build", "etc/apt/apt.conf.d/60img-build-proxy",
         'Acquire::http::Proxy "http://127.0.0.1:4711";\n'),
        ("proxy of the build", "etc/environment",
         "https_proxy=http://localhost:3128\n"),
        ("certificates of the build", "tmp/trove-build-network-x", "x"),
        ("credentials", "etc/environment", "http_proxy=http://u:secret@p\n"),
        ("unsigned packages", "etc/apt/sources.list", "deb http://m s m\n"),
        ("unsigned packages", "etc/apt/sources.list.d/x.list",
         "deb [signed-by=/k.gpg trusted=yes] http://m s m\n"),
        ("unsigned packages", "etc/apt/sources.list.d/x.sources",
         SIGNED + "\n" + SIGNED.replace("Signed-By", "#Signed-By")),
        ("unsigned packages", "etc/apt/sources.list.d/x.sources",
         SIGNED + "Trusted: yes\n"),
        ("unsigned packages", "etc/apt/apt.conf.d/99",
         'APT::Get::AllowUnauthenticated "true";\n'),
        ("unsigned packages", "etc/apt/trusted.gpg", "x"),
    )  # fmt: skip
    @ddt.unpack
    def test_planted(self, kind: str, name: str, text: str) -> None:
        self.write(name, text)
        found = policy.find_all(self.root)
        self.assertEqual(
            [(kind, f"/{name}")], [each[:2] for each in found]
        )
        self.assertNotIn("secret", str(found))
        self.assertIn(kind, policy.KINDS)

    def test_a_key_that_may_let_in(self) -> None:
        self.write("etc/passwd", "ann:x:2000:2000:Ann:/home/ann:/bin/sh\n")
        self.write(
            "etc/cloud/cloud.cfg.d/91-x.cfg",
            "system_info: {default_user: {name: ann}}\n",
        )
        self.write("home/ann/.ssh/authorized_keys", "ssh-ed25519 A\n")
        self.assertEqual([], policy.find_all(self.root, dev=True))
        self.assertEqual(1, len(policy.find_all(self.root)))
        # it lets in nobody but the guest's user
        self.write("root/.ssh/authorized_keys", "ssh-ed25519 A\n")
        self.assertEqual(1, len(policy.find_all(self.root, dev=True)))

    def test_signed_one_line_source(self) -> None:
        self.write(
            "etc/apt/sources.list", "deb [signed-by=/k.gpg] http://m s m\n"
        )
        self.assertEqual([], policy.find_all(self.root))
