# SPDX-License-Identifier: Apache-2.0
"""How a minicloud lives and dies, and what it does not put up with."""

import contextlib
import json
import os
import pathlib
import signal
import socket
import subprocess
import time
import urllib.request

import yaml

from tests import base as tests_base
from tests import commands
from tests.functional import base
from tests.functional import test_minicloud as shared


class OwnCloudTest(tests_base.TestCase):
    """How a cloud lives and dies.  Starts cost seconds, so each is used."""

    timeout = 600

    def setUp(self) -> None:
        super().setUp()
        self.cloud = self.temp_dir() / "a cloud; it's ours"
        self.addCleanup(base.minicloud, "stop", self.cloud)

    def start(self, *args: str) -> commands.Outcome:
        outcome = base.minicloud("start", self.cloud, *args)
        self.assertEqual(0, outcome.status, outcome.stderr)
        state = {row["state"] for row in shared.rows(self.cloud).values()}
        self.assertEqual({"running"}, state)
        return outcome

    def stop(self) -> commands.Outcome:
        outcome = base.minicloud("stop", self.cloud)
        self.assertEqual(0, outcome.status, outcome.stderr)
        return outcome

    def our_processes(self) -> set[int]:
        """Return what works in the cloud's directory."""
        found = set()
        for entry in pathlib.Path("/proc").glob("[0-9]*"):
            with contextlib.suppress(OSError):
                if os.path.samefile(entry / "cwd", self.cloud / "run"):
                    found.add(int(entry.name))
        return {pid for pid in found if shared.alive(pid)}

    def works(self) -> None:
        """Ask each service through clouds.yaml and the catalog."""
        self.set_env(OS_CLIENT_CONFIG_FILE=str(self.cloud / "clouds.yaml"))
        import openstack

        with openstack.connect(cloud=base.DEMO) as connection:
            list(connection.image.images())
            reply = connection.database.get("/datastores")
            self.assertEqual(200, reply.status_code)

    def test_life(self) -> None:
        self.start()
        self.works()
        before = shared.rows(self.cloud)
        passwords = (self.cloud / "clouds.yaml").read_text()

        # a stop ends everything, and only what is ours
        bystander = subprocess.Popen(["sleep", "600"], cwd=self.cloud / "run")
        self.addCleanup(bystander.wait)
        self.addCleanup(bystander.kill)
        self.assertIn("stopped: keystone, glance, trove", self.stop().stderr)
        self.assertEqual({bystander.pid}, self.our_processes())
        for row in before.values():
            with socket.socket() as probe:
                probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                probe.bind(("127.0.0.1", shared.port_of(row)))
        status = base.minicloud("status", self.cloud)
        self.assertEqual(1, status.status)
        self.assertEqual(3, status.stdout.count("stopped"))
        self.assertIn("nothing of this runs", self.stop().stderr)

        # a new start finds all as it was, on the same ports
        self.start()
        self.works()
        after = shared.rows(self.cloud)
        for name in shared.SERVICES:
            self.assertEqual(before[name]["url"], after[name]["url"])
        self.assertEqual(passwords, (self.cloud / "clouds.yaml").read_text())

        # one service crashes, its workers live on; one hangs
        os.kill(after["glance"]["pid"], signal.SIGKILL)
        os.kill(after["trove"]["pid"], signal.SIGSTOP)
        crashed = shared.rows(self.cloud)
        self.assertEqual("stopped", crashed["glance"]["state"])
        self.assertEqual("silent", crashed["trove"]["state"])
        outcome = self.start()
        self.assertIn("starting glance, trove", outcome.stderr)
        again = shared.rows(self.cloud)
        self.assertEqual(after["keystone"], again["keystone"])
        self.works()

        # all of them crash, and a process id now is somebody else's
        for row in again.values():
            os.killpg(row["pid"], signal.SIGKILL)
        record = self.cloud / "run" / "glance.json"
        values = json.loads(record.read_text())
        record.write_text(json.dumps({**values, "pid": bystander.pid}))
        self.assertIn("nothing of this runs", self.stop().stderr)
        self.assertIsNone(bystander.poll())

        # somebody took a port in the meantime
        with socket.socket() as thief:
            thief.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            thief.bind(("127.0.0.1", shared.port_of(before["glance"])))
            thief.listen()
            self.start()
            self.works()
            moved = shared.rows(self.cloud)
            self.assertNotEqual(
                before["glance"]["url"], moved["glance"]["url"]
            )
        self.assertEqual(before["trove"]["url"], moved["trove"]["url"])

    def test_an_interrupted_start_leaves_nothing_running(self) -> None:
        child = subprocess.Popen(
            commands.command_line("minicloud", "start", self.cloud),
            env={**os.environ, "PYTHONPATH": str(tests_base.ROOT)},
            stderr=subprocess.PIPE,
            text=True,
        )
        assert child.stderr is not None
        with child.stderr:
            for line in child.stderr:
                if "starting keystone" in line:
                    break
            while not self.our_processes():
                time.sleep(0.05)
            child.send_signal(signal.SIGTERM)
            rest = child.stderr.read()
        self.assertEqual(130, child.wait(60), rest)
        self.assertEqual(set(), self.our_processes())
        self.assertFalse((self.cloud / "clouds.yaml").exists())
        env = base.minicloud("env", self.cloud)
        self.assertEqual(1, env.status)
        self.assertIn("never ready", env.stderr)

        # a kill that cannot be caught leaves what runs to the next start
        child = subprocess.Popen(
            commands.command_line("minicloud", "start", self.cloud),
            env={**os.environ, "PYTHONPATH": str(tests_base.ROOT)},
            stderr=subprocess.DEVNULL,
        )
        # the next start knows of a service by its record; what is killed
        # between the two cannot be found
        for name in ("keystone", "glance", "trove"):
            while not (self.cloud / "run" / f"{name}.json").exists():
                time.sleep(0.05)
        child.kill()
        child.wait()
        self.start()
        self.works()
        clouds = yaml.safe_load((self.cloud / "clouds.yaml").read_text())
        url = clouds["clouds"][base.ADMIN]["auth"]["auth_url"]
        with urllib.request.urlopen(url) as answer:
            self.assertEqual(200, answer.status)
        self.stop()
        self.assertEqual(set(), self.our_processes())


class BadInputTest(tests_base.TestCase):
    """One clear message, a hint, and the documented exit status."""

    def refused(self, status: int, *args: str | pathlib.Path) -> str:
        outcome = base.minicloud(*args, timeout=30)
        self.assertEqual(status, outcome.status, outcome.stderr)
        self.assertEqual("", outcome.stdout)
        self.assertNotIn("Traceback", outcome.stderr)
        self.assertTrue(outcome.stderr.startswith("error: "), outcome.stderr)
        self.assertIn("\nhint: ", outcome.stderr)
        return outcome.stderr

    def test_no_cloud_there(self) -> None:
        missing = self.temp_dir() / "missing"
        for command in ("stop", "status", "env"):
            self.assertIn("no minicloud", self.refused(2, command, missing))
        self.assertFalse(missing.exists())

    def test_directory_of_something_else(self) -> None:
        directory = self.temp_dir()
        (directory / "precious").write_text("")
        self.assertIn("not empty", self.refused(2, "start", directory))
        self.assertEqual([directory / "precious"], list(directory.iterdir()))

    def test_a_file(self) -> None:
        file = self.temp_dir() / "file"
        file.write_text("")
        self.assertIn("not a directory", self.refused(2, "start", file))

    def test_directory_that_cannot_be_made(self) -> None:
        path = pathlib.Path("/proc/nowhere/cloud")
        self.assertIn("cannot be used", self.refused(2, "start", path))

    def test_path_that_the_services_cannot_read(self) -> None:
        path = self.temp_dir() / "100%"
        self.assertIn("'%'", self.refused(2, "start", path))
        self.assertFalse(path.exists())

    def test_state_that_cannot_be_read(self) -> None:
        directory = self.temp_dir()
        (directory / "minicloud.json").write_text("{")
        for command in ("start", "status"):
            message = self.refused(2, command, directory)
            self.assertIn("cannot be read", message)
        # which is what the hint says to do
        self.assertEqual(0, base.minicloud("stop", directory).status)

    def test_services_that_are_not(self) -> None:
        path = self.temp_dir() / "cloud"
        message = self.refused(2, "start", path, "--port", "glace=80")
        self.assertIn("did you mean glance?", message)
        message = self.refused(2, "stop", path, "tove")
        self.assertIn("did you mean trove?", message)

    def test_ports_that_are_not(self) -> None:
        path = self.temp_dir() / "cloud"
        for port in ("0", "65536", "x", ""):
            message = self.refused(2, "start", path, "--port", f"trove={port}")
            self.assertIn("1 to 65535", message)

    def test_typos(self) -> None:
        path = self.temp_dir() / "cloud"
        self.assertIn(
            "did you mean --port", self.refused(2, "start", path, "--prot")
        )
        self.refused(2, "strat", path)
        self.refused(2, "start")

    def test_environment_that_is_not_ours(self) -> None:
        venv = self.temp_dir() / "venv"
        venv.mkdir()
        (venv / "precious").write_text("")
        cloud = self.temp_dir() / "cloud"
        message = self.refused(2, "start", cloud, "--venv", venv)
        self.assertIn("was not made by this tool", message)
        self.assertEqual([venv / "precious"], list(venv.iterdir()))
