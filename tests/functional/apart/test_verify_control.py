# SPDX-License-Identifier: Apache-2.0
"""The control plane of verify's level agent: all of it real but the guest.

RabbitMQ, trove-conductor, Trove's own task manager code, secure RPC; the
guest is one process: ``played_guest.py``.
"""

import json
import pathlib
import socket
import time
import typing

from tests import base
from trove_tools import errors
from trove_tools.verify import broker
from trove_tools.verify import control
from trove_tools.verify import guest_configuration
from trove_tools.verify import processes
from trove_tools.verify import venv

GUEST = pathlib.Path(__file__).with_name("played_guest.py")


class ControlTest(base.TestCase):
    timeout = 600

    def setUp(self) -> None:
        super().setUp()
        try:
            broker.require()
        except errors.MissingToolError as exc:
            self.skipTest(exc.message)
        self.venv = venv.default_path()
        venv.ensure(self.venv, lambda text: None)
        self.port = processes.find_free_port()

    def running(
        self,
        deployment: control.Deployment = control.Deployment(),  # noqa: B008
    ) -> typing.Any:
        place = control.Place("127.0.0.1", self.port, patience=5)
        return control.start_control_plane(
            self.temp_dir(), self.venv, place, {"mariadb": {}},
            deployment=deployment, port=self.port,
        )  # fmt: skip

    def create(
        self, plane: control.Control, datastore: str, version: str
    ) -> dict[str, typing.Any]:
        return plane.call(
            "create", datastore=datastore, version=version,
            manager=datastore, memory=1024, volume=2,
        )  # fmt: skip

    def guest(self, created: dict[str, typing.Any], *words: str) -> typing.Any:
        """Run a guest with the files that Trove injects."""
        place = self.temp_dir()
        for path, text in created["files"].items():
            (place / pathlib.PurePath(path).name).write_text(
                text.replace("/var/log/trove", str(place)).replace(
                    "/var/lib/trove", str(place)
                )
            )
        return processes.run_child(
            [self.venv / "bin/python", GUEST, place, *words],
            place / "guest.out",
            cwd=place,
            # as the agent's unit has it
            env={"OSLO_LOCK_PATH": str(place / "locks")},
        )

    def answers(self, plane: control.Control, patience: float) -> bool:
        deadline = time.monotonic() + patience
        while not plane.call("ping", seconds=3)["alive"]:
            if time.monotonic() > deadline:
                return False
        return True

    def test_an_instance_from_its_rows_to_healthy(self) -> None:
        with self.running() as plane:
            self.assertEqual(self.port, plane.broker.port)
            # no guest, no answer, within the time that it gets
            self.create(plane, "mariadb", "11.8")
            begin = time.monotonic()
            self.assertEqual({"alive": False}, plane.call("ping", seconds=3))
            self.assertLess(time.monotonic() - begin, 30)
            for datastore, version in (
                ("mysql", "8.4"),
                ("mariadb", "11.8"),
                ("postgresql", "17"),
            ):
                created = self.create(plane, datastore, version)
                self.assertTrue(
                    created["user_data"].startswith("#cloud-config\n")
                )
                self.assertEqual("ubuntu", created["owner"])
                info = created["files"]["/etc/trove/conf.d/guest_info.conf"]
                self.assertIn("instance_rpc_encr_key=", info)
                self.assertIn(f"datastore_version={version}", info)
                with self.guest(created):
                    self.assertTrue(self.answers(plane, 120))
                    self.climb(plane)

    def test_with_queues_as_deployments_make_them(self) -> None:
        """Both sides declare the same, else the broker refuses one."""
        for name in ("kolla-ansible", "openstack-ansible"):
            file = base.ROOT / f"tests/deployments/{name}.conf"
            deployment = control.Deployment(
                guest_configuration.read(file),
                user_data="#cloud-config\nruncmd: [theirs]\n",
            )
            with self.running(deployment) as plane:
                created = self.create(plane, "mariadb", "11.8")
                self.assertIn("theirs", created["user_data"])
                # merged with Trove's own
                self.assertIn("guest_info.conf", created["user_data"])
                with self.guest(created):
                    self.assertTrue(self.answers(plane, 120), name)
                    self.climb(plane)

    def test_a_network_of_dockers_own(self) -> None:
        deployment = control.Deployment(
            {"DEFAULT": {"docker_bridge_network_ip": "172.31.0.1/24"},
             "mariadb": {"device_path": "/dev/sdc"}}
        )  # fmt: skip
        with self.running(deployment) as plane:
            created = self.create(plane, "mariadb", "11.8")
        daemon = json.loads(created["files"]["/etc/docker/daemon.json"])
        self.assertEqual("172.31.0.1/24", daemon["bip"])
        self.assertEqual("/dev/sdc", created["device"])

    def climb(self, plane: control.Control) -> None:
        plane.call("prepare", database="verify", user="u1", password="p1")
        deadline = time.monotonic() + 120

        def between(status: str) -> None:
            self.assertLess(time.monotonic(), deadline, status)

        self.assertEqual("healthy", control.wait_healthy(plane, between))
        # an exception in the guest is one here
        error = self.assertRaises(
            control.FailedError, plane.call, "restart"
        )
        self.assertIn("nothing to restart", error.message)

    def test_another_key_and_another_plane(self) -> None:
        with self.running() as plane:
            created = self.create(plane, "mariadb", "11.8")
            with self.guest(created, "k" * 32):
                self.assertFalse(self.answers(plane, 15))
            # its port is in use
            error = self.assertRaises(errors.VerifyError, self.enter)
            self.assertIn(f"port {self.port} of", error.message)
        # and free again
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", self.port))

    def enter(self) -> None:
        with self.running():
            self.fail("it started")
