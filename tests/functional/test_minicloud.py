# SPDX-License-Identifier: Apache-2.0
"""The minicloud itself: what clients find in it, and how it lives."""

import contextlib
import hashlib
import json
import os
import pathlib
import signal
import socket
import stat
import subprocess
import sys
import time
import typing
import urllib.request

from openstack import exceptions
from troveclient.apiclient import exceptions as trove_exceptions
import yaml

from tests import base as tests_base
from tests import commands
from tests.functional import base

SERVICES = ("keystone", "glance", "trove")


def rows(directory: pathlib.Path) -> dict[str, dict[str, typing.Any]]:
    """Return what ``status`` says, by service."""
    outcome = base.minicloud("status", directory, "-f", "json")
    return {row["name"]: row for row in outcome.json()}


def port_of(row: dict[str, typing.Any]) -> int:
    """Return the port in a service's endpoint."""
    return int(row["url"].split(":")[2].partition("/")[0])


def alive(pid: int) -> bool:
    """Tell whether a process runs; one that nobody waited for does not."""
    try:
        text = pathlib.Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return False
    return text.rpartition(")")[2].split()[0] not in "ZX"


class SharedCloudTest(base.TestCase):
    """What a client finds."""

    def add_image(self, data: bytes, **values: typing.Any) -> typing.Any:
        images = self.connection().image
        image = images.create_image(
            self.unique("image"),
            data=data,
            disk_format="raw",
            container_format="bare",
            allow_duplicates=True,
            **values,
        )
        self.addCleanup(images.delete_image, image.id)
        return images.get_image(image.id)

    def add_version(self, datastore: str, **values: typing.Any) -> typing.Any:
        trove = self.trove()
        values = {"image": None, "active": "true", "default": "false"} | values
        trove.mgmt_ds_versions.create(
            "11.8", datastore, "mariadb", version="11.8", **values
        )
        found = [
            version
            for version in trove.mgmt_ds_versions.list()
            if version.datastore_name == datastore
        ]
        self.addCleanup(trove.datastores.delete, datastore)
        for version in found:
            self.addCleanup(trove.mgmt_ds_versions.delete, version.id)
        (version,) = found
        return version

    def test_who_is_who(self) -> None:
        for cloud, roles in (
            (base.ADMIN, {"admin"}),
            (base.DEMO, {"member"}),
        ):
            session = self.connection(cloud).session
            access = session.auth.get_access(session)
            self.assertLessEqual(roles, set(access.role_names))
            self.assertEqual(
                {"identity", "image", "database"},
                {entry["type"] for entry in access.service_catalog.catalog},
            )
        self.assertNotIn("admin", access.role_names)

    def test_an_image_has_the_checksum_of_its_data(self) -> None:
        data = os.urandom(3 << 20)
        image = self.add_image(data)
        self.assertEqual("active", image.status)
        self.assertEqual(len(data), image.size)
        self.assertEqual("sha512", image.hash_algo)
        self.assertEqual(hashlib.sha512(data).hexdigest(), image.hash_value)

    def test_an_ordinary_user_sees_public_images_only(self) -> None:
        private = self.add_image(b"private")
        public = self.add_image(b"public", visibility="public")
        seen = {
            image.id for image in self.connection(base.DEMO).image.images()
        }
        self.assertIn(public.id, seen)
        self.assertNotIn(private.id, seen)

    def test_a_version_by_tags_becomes_the_default(self) -> None:
        datastore = self.unique("datastore")
        self.add_image(b"image", tags=["trove", datastore])
        version = self.add_version(datastore, image_tags=["trove", datastore])
        self.assertEqual(["trove", datastore], version.image_tags)
        trove = self.trove()
        trove.mgmt_ds_versions.edit(version.id, default="true")
        found = trove.datastores.get(datastore)
        self.assertEqual(version.id, found.default_version)
        trove.mgmt_ds_versions.edit(version.id, default="false")

    def test_a_version_by_image_id(self) -> None:
        image = self.add_image(b"image")
        datastore = self.unique("datastore")
        version = self.add_version(datastore, image=image.id)
        self.assertEqual(image.id, version.image)

    def test_trove_asks_glance_for_the_image(self) -> None:
        self.assertRaises(
            trove_exceptions.BadRequest,
            self.add_version,
            self.unique("datastore"),
            image_tags=[self.unique("no-such-tag")],
        )

    def test_an_ordinary_user_manages_nothing(self) -> None:
        versions = self.trove(base.DEMO).mgmt_ds_versions
        self.assertRaises(trove_exceptions.Unauthorized, versions.list)

    def test_a_wrong_password_is_refused(self) -> None:
        self.altered_clouds(auth={"password": "wrong"})
        self.assertRaises(exceptions.SDKException, self.connection().authorize)

    def test_the_openstack_client(self) -> None:
        image = self.add_image(b"image")
        datastore = self.unique("datastore")
        self.add_version(datastore, image=image.id)
        openstack = pathlib.Path(sys.executable).with_name("openstack")
        done = subprocess.run(
            [openstack, "--os-cloud", base.DEMO, "datastore", "version",
             "list", datastore, "-f", "json"],
            capture_output=True, text=True,
        )  # fmt: skip
        self.assertEqual(0, done.returncode, done.stderr)
        self.assertEqual("11.8", json.loads(done.stdout)[0]["Version"])

    def test_a_service_can_be_down(self) -> None:
        before = rows(self.minicloud_dir)
        with self.service_down("glance"):
            during = rows(self.minicloud_dir)
            connection = self.connection()
            self.assertRaises(
                exceptions.SDKException, lambda: connection.image
            )
            self.trove().datastores.list()
        after = rows(self.minicloud_dir)
        self.assertEqual("stopped", during["glance"]["state"])
        self.assertEqual("running", after["glance"]["state"])
        list(self.connection().image.images())
        for name in ("keystone", "trove"):
            self.assertEqual(before[name], during[name])
            self.assertEqual(before[name], after[name])
        self.assertEqual(before["glance"]["url"], after["glance"]["url"])

    def test_a_second_start_says_so_and_is_quick(self) -> None:
        before = rows(self.minicloud_dir)
        begin = time.monotonic()
        outcome = base.minicloud("start", self.minicloud_dir)
        seconds = time.monotonic() - begin
        self.assertEqual(0, outcome.status)
        self.assertIn("already running", outcome.stderr)
        self.assertEqual("", outcome.stdout)
        self.assertEqual(before, rows(self.minicloud_dir))
        self.assertLess(seconds, 10)

    def test_other_ports_need_a_stop_first(self) -> None:
        outcome = base.minicloud(
            "start", self.minicloud_dir, "--port", "trove=1"
        )
        self.assertEqual(2, outcome.status)
        self.assertIn("is running on port", outcome.stderr)

    def test_env_is_fit_for_eval(self) -> None:
        lines = commands.run(
            "minicloud", "env", self.minicloud_dir, "--cloud", base.DEMO,
            env={"OS_USERNAME": "of another cloud"},
        )  # fmt: skip
        shown = "$OS_CLOUD $OS_CLIENT_CONFIG_FILE ${OS_USERNAME-unset}"
        done = subprocess.run(
            ["bash", "-euc", f'eval "$1"; printf %s "{shown}"', "bash",
             lines.stdout],
            capture_output=True, text=True,
        )  # fmt: skip
        clouds = self.minicloud_dir.resolve() / "clouds.yaml"
        self.assertEqual(f"{base.DEMO} {clouds} unset", done.stdout)

    def test_no_secret_can_be_read_by_others(self) -> None:
        text = (self.minicloud_dir / "minicloud.json").read_text()
        secrets = set(json.loads(text)["passwords"].values())
        for path in self.minicloud_dir.rglob("*"):
            mode = path.lstat().st_mode
            inside = path.parent != self.minicloud_dir
            if stat.S_ISREG(mode) and not inside:
                content = path.read_text()
                if any(secret in content for secret in secrets):
                    self.assertEqual(0o600, stat.S_IMODE(mode), path)
            if stat.S_ISDIR(mode) and not inside:
                self.assertEqual(0o700, stat.S_IMODE(mode), path)
        for entry in pathlib.Path("/proc").glob("[0-9]*/cmdline"):
            with contextlib.suppress(OSError):
                line = entry.read_text(errors="replace")
                self.assertFalse(any(one in line for one in secrets), line)

    def test_only_loopback_is_served(self) -> None:
        wanted = {port_of(row) for row in rows(self.minicloud_dir).values()}
        found = set()
        for table in ("tcp", "tcp6"):
            text = pathlib.Path("/proc/net", table).read_text()
            for line in text.splitlines()[1:]:
                local, _, state = line.split()[1:4]
                address, _, port = local.partition(":")
                if state == "0A" and int(port, 16) in wanted:
                    found.add(int(port, 16))
                    self.assertEqual("0100007F", address)
        self.assertEqual(wanted, found)


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
        state = {row["state"] for row in rows(self.cloud).values()}
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
        return {pid for pid in found if alive(pid)}

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
        before = rows(self.cloud)
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
                probe.bind(("127.0.0.1", port_of(row)))
        status = base.minicloud("status", self.cloud)
        self.assertEqual(1, status.status)
        self.assertEqual(3, status.stdout.count("stopped"))
        self.assertIn("nothing of this runs", self.stop().stderr)

        # a new start finds all as it was, on the same ports
        self.start()
        self.works()
        after = rows(self.cloud)
        for name in SERVICES:
            self.assertEqual(before[name]["url"], after[name]["url"])
        self.assertEqual(passwords, (self.cloud / "clouds.yaml").read_text())

        # one service crashes, its workers live on; one hangs
        os.kill(after["glance"]["pid"], signal.SIGKILL)
        os.kill(after["trove"]["pid"], signal.SIGSTOP)
        crashed = rows(self.cloud)
        self.assertEqual("stopped", crashed["glance"]["state"])
        self.assertEqual("silent", crashed["trove"]["state"])
        outcome = self.start()
        self.assertIn("starting glance, trove", outcome.stderr)
        again = rows(self.cloud)
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
            thief.bind(("127.0.0.1", port_of(before["glance"])))
            thief.listen()
            self.start()
            self.works()
            moved = rows(self.cloud)
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
                if line.startswith("starting"):
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
        while not self.our_processes():
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
        venv = self.temp_dir()
        (venv / "precious").write_text("")
        cloud = self.temp_dir() / "cloud"
        message = self.refused(2, "start", cloud, "--venv", venv)
        self.assertIn("was not made by this tool", message)
        self.assertEqual([venv / "precious"], list(venv.iterdir()))
