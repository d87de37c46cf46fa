# SPDX-License-Identifier: Apache-2.0
"""The minicloud itself: what clients find in it, and how it lives."""

import contextlib
import hashlib
import json
import os
import pathlib
import stat
import subprocess
import sys
import time
import typing

from openstack import exceptions
from troveclient.apiclient import exceptions as trove_exceptions

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
        secrets = set(self.minicloud_state().passwords.values())
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
