# SPDX-License-Identifier: Apache-2.0
"""A guest that reaches nobody pulls what is in its image, and no more.

The image is real, and so are its systemd, its Docker engine and its service;
they run in the container machine, whose network leads nowhere.
"""

import contextlib
import json
import os
import re

from tests.image import base
from trove_tools.artifact import manifest
from trove_tools.host import process
from trove_tools.verify import container
from trove_tools.verify import disks
from trove_tools.verify import machine
from trove_tools.verify import machines

_SOCKET = "trove-local-manifests.socket"
_SERVICE = "trove-local-manifests@x.service"
_MERGED = "/run/trove-docker.json"
_ADDRESS = "127.0.0.1:5999"

# systemd-analyze: from 0 (safe) to 10
_EXPOSURE = re.compile(r"Overall exposure level for \S+: ([\d.]+)")

# runs in the guest, with its own Python: $1 says what to do
_CLIENT = r"""
import collections, socket, sys, threading, time

def ask(raw=b"GET /v2/ HTTP/1.1\r\nHost: x\r\n\r\n"):
    try:
        with socket.create_connection(("127.0.0.1", 5999), 60) as link:
            link.sendall(raw)
            found = b""
            while block := link.recv(65536):
                found += block
            return found[9:12].decode()
    except ConnectionError:
        return "refused"

def slow():
    links = []
    for _ in range(40):
        links.append(socket.create_connection(("127.0.0.1", 5999), 60))
        links[-1].sendall(b"GET /v2")
    # each of them waits for a byte that does not come
    time.sleep(10)
    return ask()

def dripping():
    # one byte a second never ends by itself
    begin = time.monotonic()
    try:
        with socket.create_connection(("127.0.0.1", 5999), 60) as link:
            while time.monotonic() - begin < 60:
                link.sendall(b"G")
                time.sleep(1)
    except ConnectionError:
        pass
    return "ended" if time.monotonic() - begin < 40 else "endless"

def many():
    found = collections.Counter()
    def work():
        for _ in range(10):
            found[ask()] += 1
    threads = [threading.Thread(target=work) for _ in range(40)]
    for each in threads:
        each.start()
    for each in threads:
        each.join()
    time.sleep(2)
    found[ask()] += 1
    return " ".join(sorted(found))

print(globals()[sys.argv[1]]())
"""


class GuestCase(base.TestCase):
    """One guest, powered on, without a control plane."""

    def setUp(self) -> None:
        super().setUp()
        self.need_time("a minute for each boot")
        why = machines.find_absence(machine.CONTAINER, "amd64")
        if why:
            self.skipTest(why.message)
        image = self.container_image()
        self.known = manifest.read(image)
        volume = self.temp_dir() / "volume.raw"
        volume.touch()
        os.truncate(volume, 1 << 30)
        stack = contextlib.ExitStack()
        self.addCleanup(stack.close)
        self.guest = stack.enter_context(
            contextlib.closing(
                container.Container(
                    machine.Guest(disks.inspect_image(image), volume),
                    machine.Settings(),
                    self.temp_dir(),
                    lambda text: None,
                )
            )
        )
        self.guest.power_on()
        self.run_in("systemctl", "is-system-running", "--wait")

    def run_in(self, *argv: str, seconds: float = 60.0) -> str:
        """Run a command in the guest; return what it prints."""
        done = self.guest.run(*argv, seconds=seconds)
        self.assertEqual(
            0, done.status, f"{process.show(argv)}\n{done.output}"
        )
        return done.output

    def pull(self, name: str) -> str:
        """Return what the guest's engine says to a pull."""
        return self.guest.run("docker", "pull", name, seconds=120).output

    def names(self) -> list[str]:
        """Return the names of the image's containers, with tags."""
        assert self.known is not None
        return [
            name
            for datastore in self.known.datastores
            for each in datastore.containers
            for name in each.names
        ]


class PullTest(GuestCase):
    def test_what_is_in_the_image(self) -> None:
        short = [name for name in self.names() if "/" not in name]
        self.assertIn("mariadb:11.8", short)
        self.assertIn("db-backup-mariadb:11.8", short)
        for name in short:
            self.assertIn("Image is up to date", self.pull(name))
            asked = self.run_in(
                "python3", "-c",
                "import socket\n"
                "link = socket.socket(socket.AF_UNIX)\n"
                'link.connect("/run/docker.sock")\n'
                f'link.sendall(b"GET /distribution/{name}/json HTTP/1.0\\r\\n'
                '\\r\\n")\n'
                "while block := link.recv(65536): print(block.decode())",
            )  # fmt: skip
            # what Trove asks before a backup
            self.assertIn("200 OK", asked)
        # another registry's name, for this guest alone
        there = f"{_ADDRESS}/quay.io/openstack.trove/mariadb:11.8"
        self.assertIn(there, self.pull(there))

    def test_what_is_not(self) -> None:
        for name in ("mariadb:10.1", "nobody-has-this:1",
                     "quay.io/openstack.trove/mariadb:11.8"):  # fmt: skip
            self.assertIn("Error response from daemon", self.pull(name))

    def test_what_an_operator_sets(self) -> None:
        for text, mirrors in (
            ('{"bridge": "none", "iptables": false, "ip-forward": false}',
             [f"http://{_ADDRESS}"]),
            ('{"registry-mirrors": ["http://192.0.2.1:5000"]}',
             ["http://192.0.2.1:5000", f"http://{_ADDRESS}"]),
        ):  # fmt: skip
            self.run_in("sh", "-c", f"echo '{text}' > /etc/docker/daemon.json")
            self.run_in("systemctl", "restart", "docker.service")
            merged = json.loads(self.run_in("cat", _MERGED))
            self.assertEqual(mirrors, merged["registry-mirrors"])
            self.assertTrue(merged["live-restore"])
            self.assertIn("up to date", self.pull("mariadb:11.8"))


class ServiceTest(GuestCase):
    def test_loopback_only(self) -> None:
        found = self.run_in("ss", "--listening", "--tcp", "--numeric")
        listening = [
            word
            for line in found.splitlines()
            for word in line.split()
            if word.endswith(":5999")
        ]
        self.assertEqual([_ADDRESS], listening)

    def test_it_is_kept_in(self) -> None:
        found = self.run_in(
            "systemd-analyze", "security", "--no-pager", _SERVICE
        )
        match = _EXPOSURE.search(found)
        assert match is not None, found
        self.assertLessEqual(float(match[1]), 0.5)

    def test_clients_that_mean_ill(self) -> None:
        for what, expected in (
            ("slow", "200"),
            ("dripping", "ended"),
            # so many at once, and the service goes on
            ("many", "200 refused"),
        ):
            said = self.run_in("python3", "-c", _CLIENT, what, seconds=300)
            self.assertEqual(expected, said.strip(), what)
        state = self.run_in("systemctl", "is-active", _SOCKET)
        self.assertEqual("active", state.strip())
        failed = self.run_in(
            "systemctl", "list-units", "--failed", "--plain", "--no-legend"
        )
        self.assertNotIn("trove-local-manifests", failed)
