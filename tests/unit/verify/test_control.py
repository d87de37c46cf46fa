# SPDX-License-Identifier: Apache-2.0
"""The control plane's files and its broker's, without starting either."""

import configparser
import json
import pathlib
import socket
import stat
import sys
import threading
import typing

from tests import base
from trove_tools import errors
from trove_tools.host import process
from trove_tools.verify import broker
from trove_tools.verify import control
from trove_tools.verify import processes

PLACE = control.Place("10.0.2.100", 5672, patience=99)


class FilesTest(base.TestCase):
    def test_what_the_guest_reads(self) -> None:
        node = broker.Broker(1234, "u", "p")
        file = self.temp_dir() / "guest.conf"
        control._write(
            file,
            control._guest(
                node.url(PLACE.address, PLACE.port),
                PLACE,
                {"mariadb": {"docker_image": "x/mariadb"}},
                control.Deployment(),
            ),
        )
        self.assertEqual(0o600, stat.S_IMODE(file.stat().st_mode))
        found = configparser.RawConfigParser(default_section="none")
        found.read(file)
        self.assertEqual(
            "rabbit://u:p@10.0.2.100:5672/", found["DEFAULT"]["transport_url"]
        )
        self.assertEqual("99", found["DEFAULT"]["state_change_wait_time"])
        self.assertEqual("x/mariadb", found["mariadb"]["docker_image"])
        # secure RPC stays as a cloud has it by default
        self.assertNotIn("enable_secure_rpc_messaging", file.read_text())

    def test_what_an_operators_guest_reads(self) -> None:
        found = control._guest(
            "rabbit://verify/",
            PLACE,
            {"mysql": {"docker_image": "mysql"}, "mariadb": {}},
            control.Deployment(
                {
                    "DEFAULT": {
                        "transport_url": "rabbit://theirs/",
                        "state_change_wait_time": "600",
                        "command_process_timeout": "30",
                    },
                    "mysql": {"docker_image": "quay.example/mysql"},
                    "x": {"several": ["1", "2"]},
                },
                device="/dev/sdb",
            ),
        )
        self.assertEqual(
            {
                "DEFAULT": {
                    "transport_url": "rabbit://verify/",
                    "state_change_wait_time": 600,
                    "command_process_timeout": 99,
                    "use_stderr": False,
                },
                # the image has to have the container by the cloud's name
                "mysql": {
                    "docker_image": "quay.example/mysql",
                    "device_path": "/dev/sdb",
                },
                "mariadb": {"device_path": "/dev/sdb"},
                "x": {"several": ["1", "2"]},
            },
            found,
        )
        file = self.temp_dir() / "guest.conf"
        control._write(file, found)
        self.assertIn("several = 1\nseveral = 2\n", file.read_text())

    def test_user_data_is_where_trove_looks_for_it(self) -> None:
        place = self.temp_dir()
        given = control.Deployment(user_data="#cloud-config\n")
        control._write_user_data(place, ["mysql"], given)
        self.assertEqual(
            "#cloud-config\n",
            (place / "cloudinit/mysql.cloudinit").read_text(),
        )
        # as the control plane's own configuration says
        self.assertEqual(
            place / "cloudinit",
            control._plane(place, PLACE)["DEFAULT"]["cloudinit_location"],
        )

    def test_keys_are_new_each_time(self) -> None:
        place = control.Place("x", 1)
        one, two = (control._plane(self.temp_dir(), place) for _ in "ab")
        self.assertNotEqual(
            one["DEFAULT"]["inst_rpc_key_encr_key"],
            two["DEFAULT"]["inst_rpc_key_encr_key"],
        )


DRIVER = """\
import json
import socket
import sys

links = [socket.socket(fileno=int(each)) for each in sys.argv[1].split(",")]
for link in links:
    link.sendall(b'{"ready": true}\\n')
for number, link in reversed(list(enumerate(links))):
    link.recv(1000)
    link.sendall(json.dumps({"link": number}).encode() + b"\\n")
"""


class DriverTest(base.TestCase):
    def test_a_request_does_not_wait_for_one_of_the_other_link(self) -> None:
        place = self.temp_dir()
        (place / "bin").mkdir()
        (place / "bin/python").symlink_to(sys.executable)
        (place / "driver.py").write_text(DRIVER)
        with control._driver(
            place, place, place / "trove.conf", broker.Broker(1, "u", "p"),
            place / "driver.py", links=2,
        ) as plane:  # fmt: skip
            assert plane.parallel is not None
            self.assertEqual({"link": 1}, plane.parallel.call("state"))
            self.assertEqual({"link": 0}, plane.call("state"))


class CallTest(base.TestCase):
    def setUp(self) -> None:
        super().setUp()
        self.place = self.temp_dir()
        ours, self.theirs = socket.socketpair()
        self.addCleanup(self.theirs.close)
        child = process.start(["true"])
        self.addCleanup(child.wait)
        node = broker.Broker(1, "u", "p")
        self.plane = control.Control(node, ours, child, self.place)
        self.addCleanup(self.plane.close)

    def answer(self, text: str) -> None:
        def serve() -> None:
            self.theirs.recv(1000)
            self.theirs.sendall(text.encode())
            self.theirs.close()

        threading.Thread(target=serve, daemon=True).start()

    def test_an_answer(self) -> None:
        self.answer(json.dumps({"alive": True}) + "\n")
        self.assertEqual({"alive": True}, self.plane.call("ping"))

    def test_what_trove_asks_the_cloud_for(self) -> None:
        """The driver asks in the middle of a request, and gets an answer."""
        heard: list[str] = []

        def serve() -> None:
            with self.theirs.makefile("rw") as link:
                link.readline()
                link.write('{"cloud": "extend", "size": 3}\n')
                link.flush()
                heard.append(link.readline())
                link.write('{"done": true}\n')
                link.flush()

        def cloud(
            name: str, arguments: dict[str, typing.Any]
        ) -> dict[str, typing.Any]:
            return {"asked": name, **arguments}

        threading.Thread(target=serve, daemon=True).start()
        answer = self.plane.call("resize_volume", None, cloud, name="any")
        self.assertEqual({"done": True}, answer)
        self.assertEqual({"asked": "extend", "size": 3}, json.loads(heard[0]))

    def test_an_exception_of_troves(self) -> None:
        self.answer('{"error": "GuestError: no"}\n')
        error = self.assertRaises(
            control.FailedError, self.plane.call, "restart"
        )
        self.assertEqual("GuestError: no", error.message)

    def test_a_driver_that_dies(self) -> None:
        (self.place / "driver.log").write_text("ImportError: trove\n")
        self.answer("")
        error = self.assertRaises(errors.VerifyError, self.plane.call, "ping")
        self.assertIn("broke at `ping`", error.message)
        self.assertIn("ImportError: trove", error.message)

    def test_a_driver_that_is_silent(self) -> None:
        self.patch_object(control, "_START", 0.1)
        self.patch_object(control, "_PAUSE", 0.1)
        error = self.assertRaises(
            errors.VerifyError, self.plane.call, "status"
        )
        self.assertIn("did not answer `status` in ", error.message)

    def test_who_waits_for_a_guest_decides_how_long(self) -> None:
        self.patch_object(control, "_START", 0.0)
        self.patch_object(control, "_PAUSE", 0.01)
        asked: list[int] = []

        def between() -> None:
            asked.append(1)
            if len(asked) > 5:
                raise KeyError("the guest is lost")

        self.assertRaises(KeyError, self.plane.call, "restart", between)


class BrokerTest(base.TestCase):
    def test_everything_of_it_is_its_own(self) -> None:
        place = self.temp_dir()
        node = broker.Broker(12345, "verify", "secret")
        found = broker._write_settings(place, node)
        text = (place / "rabbitmq.conf").read_text()
        self.assertIn("listeners.tcp.default = 127.0.0.1:12345", text)
        self.assertEqual(str(place), found["HOME"])
        cookie = (place / ".erlang.cookie").stat()
        self.assertEqual(0o400, stat.S_IMODE(cookie.st_mode))
        ports = {found["ERL_EPMD_PORT"], found["RABBITMQ_DIST_PORT"]}
        self.assertFalse(ports & {"4369", "25672", "12345"})
        for name in ("MNESIA_BASE", "LOG_BASE", "CONFIG_FILE", "PID_FILE"):
            self.assertTrue(found[f"RABBITMQ_{name}"].startswith(str(place)))

    def test_it_is_not_installed(self) -> None:
        self.set_env(PATH=str(self.temp_dir()))
        error = self.assertRaises(errors.MissingToolError, broker.require)
        self.assertIn("rabbitmq-server", error.hint)

    def test_its_script_is_not_there(self) -> None:
        for name in (broker.EPMD, processes.PARENT):
            self.fake_program(name, "")
        self.patch_object(broker, "SERVER", pathlib.Path("/nowhere"))
        error = self.assertRaises(errors.MissingToolError, broker.require)
        self.assertIn("install with:", error.hint)

    def server(self, script: str) -> None:
        file = self.fake_program("rabbit", script)
        self.patch_object(broker, "SERVER", file)
        self.fake_program(broker.EPMD, "exec sleep 60")

    def start(self, port: int | None = None) -> None:
        with broker.start_broker(self.temp_dir(), port):
            self.fail("it started")

    def test_it_dies(self) -> None:
        self.server("echo no memory; exit 3")
        error = self.assertRaises(errors.VerifyError, self.start)
        self.assertIn("ended with status 3", error.message)
        self.assertIn("no memory", error.message)

    def test_its_port_is_taken(self) -> None:
        self.server("echo '{error,eaddrinuse}'; exit 1")
        error = self.assertRaises(errors.VerifyError, self.start, 5672)
        self.assertIn("port 5672 of 127.0.0.1 is in use", error.message)
        self.assertTrue(error.hint)

    def test_it_tries_another_port_of_its_own_choice(self) -> None:
        count = self.temp_dir() / "count"
        self.server(f"echo x >>{count}; echo eaddrinuse; exit 1")
        self.assertRaises(errors.VerifyError, self.start)
        self.assertEqual(3, len(count.read_text().split()))

    def test_it_is_silent(self) -> None:
        self.patch_object(broker, "_PATIENCE", 0.1)
        self.server("exec sleep 60")
        error = self.assertRaises(errors.VerifyError, self.start)
        self.assertIn("is silent", error.message)
