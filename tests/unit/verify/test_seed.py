# SPDX-License-Identifier: Apache-2.0
"""The seed, and the program in it that runs commands for verify."""

import json
import pathlib
import shutil
import socket
import stat
import threading
import typing

from tests import base
from trove_tools.host import process
from trove_tools.verify import command_server
from trove_tools.verify import machine
from trove_tools.verify import seed


class SeedTest(base.TestCase):
    def write(self, **how: typing.Any) -> dict[str, typing.Any]:
        """Return what is in the files of a drive, by name."""
        self.place = self.temp_dir() / "seed"
        instance = {"id": "i1", "user_data": "#cloud-config\nx: []\n"}
        seed.write(self.place, how.pop("instance", instance), **how)
        latest = self.place / "openstack/latest"
        return {
            file.stem: json.loads(file.read_text())
            if file.suffix == ".json"
            else file.read_text()
            for file in latest.iterdir()
        }

    def test_it_is_as_nova_makes_it(self) -> None:
        found = self.write(vendor_data="#cloud-boothook\n")
        self.assertEqual(0o700, stat.S_IMODE(self.place.stat().st_mode))
        # what Trove sends, and nothing else
        self.assertEqual("#cloud-config\nx: []\n", found["user_data"])
        self.assertEqual("i1", found["meta_data"]["uuid"])
        self.assertEqual(
            {"cloud-init": "#cloud-boothook\n"}, found["vendor_data"]
        )
        network = found["network_data"]
        self.assertEqual(
            [machine.MANAGEMENT.mac, machine.TENANT.mac],
            [link["ethernet_mac_address"] for link in network["links"]],
        )
        self.assertEqual(
            {"ipv4_dhcp"}, {each["type"] for each in network["networks"]}
        )

    def test_where_nobody_gives_addresses(self) -> None:
        found = self.write(instance=None, dhcp=False)
        self.assertEqual("", found["user_data"])
        self.assertNotIn("vendor_data", found)
        network = found["network_data"]["networks"][1]
        self.assertEqual(
            ("10.0.3.15", "255.255.255.0"),
            (network["ip_address"], network["netmask"]),
        )

    def test_the_image_is_a_cd_that_cloud_init_looks_for(self) -> None:
        if shutil.which(seed.TOOL) is None:
            self.skipTest(f"{seed.TOOL} is not installed")
        self.write()
        image = self.place.with_name("seed.iso")
        seed.write_image(self.place, image)
        data = image.read_bytes()
        self.assertEqual(b"CD001", data[32769:32774])
        self.assertEqual(b"config-2", data[32808:32840].strip().lower())

    def test_the_boothook_lays_down_what_it_starts(self) -> None:
        """Run it, with a directory and a systemd-run of the test's own."""
        place = self.temp_dir()
        first, text = seed.boothook("n0").split("\n", 1)
        self.assertEqual("#cloud-boothook", first)
        script = place / "script"
        script.write_text(text.replace("/run/trove-verify", str(place / "d")))
        self.fake_program("systemd-run", f'echo "$@" >>{place}/started')
        process.run(["sh", script])
        started = (place / "started").read_text()
        self.assertIn("--no-block", started)
        self.assertIn(f"{place}/d/commands.py n0", started)
        self.assertIn("journalctl --boot --follow", started)
        laid = (place / "d" / "commands.py").read_text()
        self.assertEqual(
            pathlib.Path(command_server.__file__).read_text(), laid[:-1]
        )


class CommandServerTest(base.TestCase):
    def answer(self, *argv: str, **how: typing.Any) -> dict[str, typing.Any]:
        request = {"id": 4, "argv": argv, "input": "", "seconds": 9, **how}
        return command_server.answer(request)

    def test_commands(self) -> None:
        self.assertEqual(
            {"id": 4, "status": 0, "output": "in"},
            self.answer("cat", input="in"),
        )
        self.assertEqual(
            {"id": 4, "status": 3, "output": "a\n"},
            self.answer("sh", "-c", "echo a >&2; exit 3"),
        )
        self.assertEqual(127, self.answer("/no/such/program")["status"])
        self.assertIsNone(self.answer("sleep", "9", seconds=0.1)["status"])

    def test_over_the_port(self) -> None:
        ours, theirs = socket.socketpair()
        self.addCleanup(ours.close)
        self.patch_object(command_server, "PORT", theirs.detach())
        threading.Thread(
            target=command_server.main, args=("n0",), daemon=True
        ).start()
        stream = ours.makefile("rw")
        self.assertEqual({"nonce": "n0"}, json.loads(stream.readline()))
        for number in (1, 2):
            request = {
                "id": number, "argv": ["echo", "x"], "input": "",
                "seconds": 5,
            }  # fmt: skip
            stream.write(json.dumps(request) + "\n")
        stream.flush()
        for number in (1, 2):
            self.assertEqual(
                {"id": number, "status": 0, "output": "x\n"},
                json.loads(stream.readline()),
            )
