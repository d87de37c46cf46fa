# SPDX-License-Identifier: Apache-2.0
"""Each kind of secret is planted, and found."""


import os

import ddt

from tests import base
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


UNITS = "usr/lib/systemd/system"
OURS = "etc/systemd/system"


class ListenersCase(root_case.RootCase):
    def enable(self, name: str, text: str = "[Service]\n") -> None:
        """Enable a unit as systemctl does."""
        self.write(f"{UNITS}/{name}", text)
        wants = self.root / OURS / "multi-user.target.wants"
        wants.mkdir(parents=True, exist_ok=True)
        os.symlink(f"/{UNITS}/{name}", wants / name)

    def found(self) -> list[tuple[str, str]]:
        found = policy.find_all(self.root)
        self.assertLessEqual({each.kind for each in found}, {"listener"})
        return [(each.path, each.what) for each in found]


@ddt.ddt
class SocketsTest(ListenersCase):
    @ddt.data("111", "0.0.0.0:111", "[::]:111", "192.0.2.1:111")
    def test_an_address(self, address: str) -> None:
        self.enable("rpcbind.socket", f"[Socket]\nListenDatagram={address}\n")
        self.assertEqual(
            [(f"/{OURS}/multi-user.target.wants/rpcbind.socket",
              f"rpcbind.socket listens to {address}")],
            self.found(),
        )  # fmt: skip

    @ddt.data(
        "/run/x.sock", "@x", "%t/x.sock", "vsock::22", "127.0.0.1:111",
        "[::1]:111",
    )  # fmt: skip
    def test_no_address_of_the_network(self, address: str) -> None:
        self.enable("x.socket", f"[Socket]\nListenStream={address}\n")
        self.assertEqual([], self.found())

    def test_ssh(self) -> None:
        self.enable("ssh.socket", "[Socket]\nListenStream=22\n")
        self.assertEqual([], self.found())

    def test_a_drop_in_takes_the_place(self) -> None:
        self.enable("x.socket", "[Socket]\nListenStream=/run/x\n")
        self.write(f"{OURS}/x.socket.d/a.conf", "[Socket]\nListenStream=9\n")
        self.assertEqual(1, len(self.found()))
        self.write(
            f"{OURS}/x.socket.d/a.conf",
            "[Socket]\nListenStream=\nListenStream=@x\n",
        )
        self.assertEqual([], self.found())


@ddt.ddt
class ServicesTest(ListenersCase):
    def test_one_that_nobody_asked_for(self) -> None:
        self.enable("exporter.service")
        self.assertEqual(
            [(f"/{OURS}/multi-user.target.wants/exporter.service",
              "exporter.service is started, and has the network")],
            self.found(),
        )  # fmt: skip

    def test_masked(self) -> None:
        self.enable("exporter.service")
        os.symlink("/dev/null", self.root / OURS / "exporter.service")
        self.assertEqual([], self.found())

    @ddt.data(
        "Type=oneshot", "PrivateNetwork=yes",
        "RestrictAddressFamilies=AF_UNIX AF_NETLINK",
    )  # fmt: skip
    def test_one_that_others_do_not_reach(self, setting: str) -> None:
        self.enable("x.service", f"[Service]\n{setting}\n")
        self.assertEqual([], self.found())

    @ddt.data(
        "RestrictAddressFamilies=AF_UNIX AF_INET",
        "RestrictAddressFamilies=~AF_PACKET", "Type=notify",
    )  # fmt: skip
    def test_one_that_they_may(self, setting: str) -> None:
        self.enable("x.service", f"[Service]\n{setting}\n")
        self.assertEqual(1, len(self.found()))

    @ddt.data("docker.service", "chrony.service", "trove-guestagent.service")
    def test_those_of_an_image(self, name: str) -> None:
        self.enable(name)
        self.assertEqual([], self.found())

    def test_those_of_its_datastores(self) -> None:
        self.enable("redis-server.service")
        self.assertEqual(1, len(self.found()))
        self.write(
            "usr/share/trove/datastores/redis/services", "redis-server\n"
        )
        self.assertEqual([], self.found())

    def test_a_script_of_old(self) -> None:
        self.write("etc/rc3.d/S01exim4", "#!/bin/sh\n")
        self.assertEqual(
            [("/etc/rc3.d/S01exim4",
              "exim4.service is started, and has the network")],
            self.found(),
        )  # fmt: skip
        # a unit of the same name takes its place, and is not enabled
        self.write(f"{UNITS}/exim4.service", "[Service]\n")
        self.assertEqual([], self.found())

    def test_an_instance_of_a_template(self) -> None:
        self.write(f"{UNITS}/x@.service", "[Service]\nType=oneshot\n")
        wants = self.root / OURS / "a.target.wants"
        wants.mkdir(parents=True)
        os.symlink(f"/{UNITS}/x@.service", wants / "x@1.service")
        self.assertEqual([], self.found())


class NamesTest(ListenersCase):
    """systemd-resolved, which answers others unless it is told not to."""

    def test_llmnr(self) -> None:
        self.assertEqual([], self.found())
        self.enable("systemd-resolved.service")
        ((path, what),) = self.found()
        self.assertEqual("/etc/systemd/resolved.conf", path)
        self.assertIn("LLMNR", what)
        drop = self.write(
            "etc/systemd/resolved.conf.d/x.conf", "[Resolve]\nLLMNR=no\n"
        )
        self.assertEqual([], self.found())
        # the last word counts
        self.write(
            "usr/lib/systemd/resolved.conf.d/y.conf", "[Resolve]\nLLMNR=yes\n"
        )
        self.assertEqual(1, len(self.found()))
        drop.rename(drop.with_name("z.conf"))
        self.assertEqual([], self.found())

    def test_what_images_have(self) -> None:
        element = base.ROOT / "trove_tools/elements/trove-guest/static"
        self.enable("systemd-resolved.service")
        name = "etc/systemd/resolved.conf.d/60-trove-guest.conf"
        self.write(name, (element / name).read_text())
        self.assertEqual([], list(policy.listeners(self.root)))


class WritableTest(ListenersCase):
    def test_a_file_for_everybody_to_write(self) -> None:
        self.write("etc/x", "").chmod(0o666)
        ((kind, path, what),) = policy.find_all(self.root)
        self.assertEqual(("writable file", "/etc/x"), (kind, path))
        self.assertIn("any user of the guest", what)
