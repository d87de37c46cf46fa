# SPDX-License-Identifier: Apache-2.0
"""load-trove-image against real services."""

import collections.abc
import contextlib
import json
import os
import pathlib
import signal
import subprocess
import time
import typing

from tests import commands
from tests import signing
from tests.functional import base
from tests.functional import clouds
from tests.unit.cloud import images
from trove_tools.artifact import manifest
from trove_tools.artifact import signature
from trove_tools.artifact import verification
from trove_tools.host import digests

MIB = 1024**2

#: A load of an image of any size takes no more memory than this.
MEMORY = 150 * MIB


class LoadTest(clouds.TestCase):
    def test_load_and_load_again(self) -> None:
        path = self.image_file()
        row = self.loaded(path)
        self.assertEqual("sent", row["upload"])
        self.assertEqual("created", row["registration"])
        (image,) = self.images()
        self.assertEqual(row["image_id"], image.id)
        self.assertEqual("active", image.status)
        self.assertEqual(digests.compute(path)["sha512"], image.hash_value)
        (version,) = self.versions()
        self.assertEqual(row["version_id"], version.id)
        self.assertFalse(version.active)

        again = self.load(path)
        self.assertEqual(0, again.status)
        self.assertIn("nothing to send", again.stderr)
        self.assertNotIn("sending", again.stderr)
        self.assertEqual(image.updated_at, self.images()[0].updated_at)
        (row,) = self.load(path, "--format", "json").json()
        self.assertEqual("unchanged", row["upload"])
        self.assertEqual("unchanged", row["registration"])

    def test_what_glance_is_told(self) -> None:
        path = self.image_file()
        self.loaded(path)
        (image,) = self.images()
        self.assertEqual({"trove", self.datastore, "1.0"}, set(image.tags))
        self.assertEqual(path.stem, image.name)
        self.assertEqual("private", image.visibility)
        service = self.admin.identity.find_project("service")
        self.assertEqual(service.id, image.owner)
        self.assertEqual("qcow2", image.disk_format)
        self.assertEqual(2, image.min_disk)
        self.assertEqual(1024, image.min_ram)
        self.assertEqual("x86_64", image.architecture)
        self.assertEqual("debian", image.os_distro)
        self.assertEqual("13", image.os_version)
        self.assertEqual("virtio", image.hw_rng_model)
        ours = {
            name: value
            for name, value in image.properties.items()
            if name.startswith("trove_tools_")
        }
        self.assertEqual(
            {
                "trove_tools_agent_dirty": "false",
                "trove_tools_agent_version": "26.0.0",
                "trove_tools_build_id": "b1",
                "trove_tools_dev": "false",
                "trove_tools_kind": "guest",
                "trove_tools_series": "2026.2",
                "trove_tools_serves": f"{self.datastore}:1.0",
                "trove_tools_sha256": digests.compute(path)["sha256"],
                "trove_tools_verified": "no",
            },
            ours,
        )

    def test_what_an_operator_adds(self) -> None:
        demo = self.admin.identity.find_project("demo").id
        self.load(
            self.image_file(), "--property", "hw_disk_bus=scsi",
            "--tag", "gold", "--name", f"{self.datastore}-mine",
            "--member", "demo", "--protected", "--activate",
            TROVE_TOOLS_PROPERTY="hw_vif_model=e1000",
        )  # fmt: skip
        (first,) = self.images()
        self.addCleanup(self.unprotect, first.id)
        self.assertEqual(f"{self.datastore}-mine", first.name)
        self.assertEqual("scsi", first.hw_disk_bus)
        # a flag is stronger than a variable
        self.assertIsNone(first.hw_vif_model)
        self.assertIn("gold", first.tags)
        self.assertTrue(first.is_protected)
        self.assertEqual("shared", first.visibility)
        members = [m.member_id for m in self.admin.image.members(first.id)]
        self.assertEqual([demo], members)

        # the next one, and what of it lies in the operator's hands
        self.admin.image.update_image(first.id, hypervisor_type="qemu")
        path = self.image_file()
        outcome = self.load(
            path, "--keep", "1", "-f", "json",
            TROVE_TOOLS_PROPERTY="hw_vif_model=e1000",
        )  # fmt: skip
        self.assertEqual(0, outcome.status, outcome.stderr)
        (row,) = outcome.json()
        second = self.admin.image.get_image(row["image_id"])
        self.assertEqual("scsi", second.hw_disk_bus)
        self.assertEqual("qemu", second.hypervisor_type)
        self.assertEqual("e1000", second.hw_vif_model)
        self.assertFalse(second.is_protected)
        for words in ("--tag gold", "--protected", f"--member {demo}",
                      "it is protected", "goes live at once",
                      f"before: image {first.name} ({first.id})"):  # fmt: skip
            self.assertIn(words, outcome.stderr)
        self.assertTrue(row["live"])
        self.assertEqual(first.id, row["image_before"])
        self.assertEqual(2, len(self.images()))
        # a protected image can be returned to
        back = self.command(
            "activate-trove-image", "--rollback", f"{self.datastore}:1.0"
        )
        self.assertEqual(0, back.status, back.stderr)
        self.assertEqual(first.id, self.served())

    def unprotect(self, image_id: str) -> None:
        self.admin.image.update_image(image_id, is_protected=False)

    def test_what_is_done_can_be_undone(self) -> None:
        first = self.loaded(self.image_file(), "--activate")
        second = self.loaded(self.image_file())
        self.assertEqual(first["image_id"], second["image_before"])
        name, *args = second["undo"].split()
        self.assertEqual(0, self.command(name, *args).status)
        self.assertEqual(first["image_id"], self.served())

    def test_what_trove_is_told(self) -> None:
        self.loaded(self.image_file("8.4"))
        (version,) = self.versions()
        self.assertEqual(("8.4", "8.4"), (version.name, version.version))
        self.assertEqual("mariadb", version.datastore_manager)
        self.assertEqual(
            {"trove", self.datastore, "8.4"}, set(version.image_tags)
        )
        self.assertFalse(version.image)
        self.assertFalse(version.default)

    def test_an_ordinary_user_gets_what_is_activated(self) -> None:
        path = self.image_file()
        self.loaded(path)
        users = self.trove(base.DEMO)
        (row,) = self.load(path, "--activate", "-f", "json").json()
        self.assertEqual(("unchanged", "changed"),
                         (row["upload"], row["registration"]))  # fmt: skip
        self.assertTrue(row["active"])
        found = users.datastores.get(self.datastore)
        self.assertEqual(row["version_id"], found.default_version)
        # what is active stays so
        self.assertTrue(self.loaded(path)["default"])

    def test_a_new_build_takes_over(self) -> None:
        first, second = self.image_file(), self.image_file()
        self.loaded(first, "--activate")
        row = self.loaded(second)
        self.assertEqual(("sent", "unchanged"),
                         (row["upload"], row["registration"]))  # fmt: skip
        self.assertEqual(row["image_id"], self.served())
        # and the old one again: it is there, and nothing is sent
        row = self.loaded(first)
        self.assertEqual("changed", row["upload"])
        self.assertEqual(row["image_id"], self.served())
        self.assertEqual("unchanged", self.loaded(first)["upload"])

    def served(self) -> str:
        """Return the image that Trove takes, found as Trove finds it."""
        newest: typing.Any = next(
            self.admin.image.images(
                tag=["trove", self.datastore, "1.0"],
                status="active",
                sort="created_at:desc",
            )
        )
        found: str = newest.id
        return found

    def test_pinned_and_back(self) -> None:
        path = self.image_file()
        row = self.loaded(path, "--pin")
        self.assertTrue(row["pinned"])
        (version,) = self.versions()
        self.assertEqual(row["image_id"], version.image)
        self.assertEqual([], self.images()[0].tags)
        row = self.loaded(path)
        self.assertEqual("changed", row["registration"])
        (version,) = self.versions()
        self.assertFalse(version.image)
        self.assertEqual(
            {"trove", self.datastore, "1.0"}, set(version.image_tags)
        )
        row = self.loaded(path, "--pin")
        self.assertEqual("changed", row["registration"])
        self.assertEqual(row["image_id"], self.versions()[0].image)

    def test_without_a_manifest(self) -> None:
        path = self.image_file(manifest=False)
        row = self.loaded(
            path, "--datastore", self.datastore, "--version", "2",
            "--manager", "mariadb", "--os", "ubuntu-24.04",
            "--arch", "arm64", "--visibility", "public",
        )  # fmt: skip
        self.assertEqual("2", row["version"])
        (image,) = self.images()
        self.assertEqual("ubuntu", image.os_distro)
        self.assertEqual("24.04", image.os_version)
        self.assertEqual("aarch64", image.architecture)
        self.assertEqual("public", image.visibility)

    def test_several_images(self) -> None:
        paths = [self.image_file(version) for version in ("1.0", "2.0")]
        outcome = self.load(*paths, "-f", "json")
        self.assertEqual(0, outcome.status)
        versions = [row["version"] for row in outcome.json()]
        self.assertEqual(["1.0", "2.0"], versions)
        self.assertEqual(2, len(self.versions()))

    def test_an_image_of_two_versions(self) -> None:
        served = [
            images.datastore(self.datastore, version, manager="mariadb")
            for version in ("1.0", "1")
        ]
        path = self.image_file(datastores=tuple(served))
        outcome = self.load(path, "-f", "json")
        ids = {row["image_id"] for row in outcome.json()}
        self.assertEqual(1, len(ids))
        self.assertEqual(2, len(self.versions()))

    def test_lines_for_a_shell(self) -> None:
        outcome = self.load(self.image_file(), "--format", "shell")
        script = f"set -eu\n{outcome.stdout}\necho $LOADED_0_IMAGE_ID"
        said = subprocess.run(
            ["sh", "-c", script], capture_output=True, text=True, check=True
        )
        self.assertEqual(self.images()[0].id, said.stdout.strip())

    def test_a_table_for_people(self) -> None:
        outcome = self.load(self.image_file())
        self.assertIn(self.datastore, outcome.stdout)
        self.assertIn("100 %", outcome.stderr)

    def test_quiet(self) -> None:
        outcome = self.load(self.image_file(), "--quiet", "-f", "json")
        self.assertEqual("", outcome.stderr)

    def test_memory_does_not_grow_with_the_image(self) -> None:
        path = self.large_file(400 * MIB)
        process = self.start(path)
        assert process.stdout is not None
        with process.stdout as stdout:
            (row,) = json.load(stdout)
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
        self.assertEqual(0, process.returncode)
        self.assertEqual(400 * MIB, self.images()[0].size)
        self.assertEqual("sent", row["upload"])
        self.assertLess(usage.ru_maxrss * 1024, MEMORY)

    def start(self, path: pathlib.Path) -> "subprocess.Popen[str]":
        process = subprocess.Popen(
            commands.command_line(
                "load-trove-image", path, "--datastore", self.datastore,
                "--version", "1.0", "--manager", "mariadb", "-f", "json",
            ),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env={**os.environ, "PYTHONPATH": str(base.base.ROOT)},
        )  # fmt: skip
        self.addCleanup(process.wait)
        self.addCleanup(process.kill)
        for stream in (process.stdout, process.stderr):
            assert stream is not None
            self.addCleanup(stream.close)
        return process

    def test_interrupted(self) -> None:
        path = self.large_file(400 * MIB)
        for sign in (signal.SIGINT, signal.SIGTERM):
            process = self.start(path)
            assert process.stderr is not None
            for line in process.stderr:
                if "sending" in line:
                    break
            process.send_signal(sign)
            said = process.stderr.read()
            self.assertEqual(130, process.wait(), said)
            self.assertNotIn("Traceback", said)
            self.assertIn("interrupted", said)
            self.assertEqual([], self.images())


class RefusedTest(clouds.TestCase):
    """Each ends with one message and leaves nothing half done."""

    def unreachable(self) -> None:
        """Use a cloud to which every call fails, so that none is made."""
        self.altered_clouds(auth={"auth_url": "http://127.0.0.1:9/v3"})

    def refused(
        self,
        path: pathlib.Path,
        status: int,
        *words: str,
        args: collections.abc.Sequence[str] = (),
    ) -> None:
        self.assert_refused(self.load(path, *args), status, *words)

    def test_no_manifest(self) -> None:
        self.unreachable()
        path = self.image_file(manifest=False)
        self.refused(path, 2, "manifest.json", "--datastore NAME")

    def test_unknown_datastore(self) -> None:
        self.unreachable()
        path = self.image_file(manifest=False)
        args = ["--datastore", "maridb", "--version", "11.8"]
        self.refused(path, 2, "did you mean mariadb?", args=args)

    def test_no_file(self) -> None:
        self.unreachable()
        self.refused(self.files / "x.qcow2", 2, "no such file")

    def test_no_image(self) -> None:
        self.unreachable()
        path = self.files / "x.qcow2"
        path.write_text("this is no image")
        self.refused(path, 1, "not a disk image")

    def test_truncated(self) -> None:
        self.unreachable()
        for with_manifest in (True, False):
            path = self.image_file(manifest=with_manifest)
            os.truncate(path, path.stat().st_size // 2)
            args = ["--datastore", "mariadb", "--version", "11.8"]
            if with_manifest:
                args = []
            self.refused(path, 1, "truncated", args=args)

    def test_other_bytes_than_built(self) -> None:
        self.unreachable()
        path = self.image_file()
        with open(path, "r+b") as stream:
            stream.seek(-1, 2)
            last = stream.read()
            stream.seek(-1, 2)
            stream.write(bytes([last[0] ^ 1]))
        self.refused(path, 1, "not the image that its manifest describes")

    def test_development_image_made_public(self) -> None:
        self.unreachable()
        path = self.image_file(dev=True)
        args = ["--visibility", "public"]
        self.refused(path, 2, "never made public", args=args)

    def test_typo(self) -> None:
        args = ["--activat"]
        self.refused(
            self.image_file(), 2, "did you mean --activate?", args=args
        )

    def test_no_clouds_yaml(self) -> None:
        self.set_env(
            OS_CLIENT_CONFIG_FILE=str(self.files / "none"), OS_CLOUD=None
        )
        self.refused(self.image_file(), 2, "no cloud was", "clouds.yaml")

    def test_unknown_cloud(self) -> None:
        args = ["--os-cloud", "minicluod"]
        self.refused(self.image_file(), 2, "minicluod", base.ADMIN, args=args)

    def test_wrong_password(self) -> None:
        args = ["--os-password", "wrong"]
        self.refused(
            self.image_file(), 4, "keystone refused the login", args=args
        )

    def test_not_an_admin(self) -> None:
        args = ["--os-cloud", base.DEMO]
        self.refused(
            self.image_file(), 4, "user demo in project demo", "admin role",
            args=args,
        )  # fmt: skip
        self.assertEqual([], self.images())

    def test_no_trove_in_the_catalog(self) -> None:
        identity = self.admin.identity
        region = self.unique("region")
        identity.create_region(id=region)
        self.addCleanup(identity.delete_region, region)
        glance = identity.find_service("glance", ignore_missing=False)
        endpoint = identity.create_endpoint(
            service_id=glance.id,
            interface="public",
            region_id=region,
            url="http://127.0.0.1:9",
        )
        self.addCleanup(identity.delete_endpoint, endpoint)
        self.altered_clouds(region_name=region)
        self.refused(self.image_file(), 4, "no endpoint of Trove")

    def test_a_service_is_down(self) -> None:
        path = self.image_file()
        for name, title in (
            ("keystone", "keystone"),
            ("glance", "Glance"),
            ("trove", "Trove"),
        ):
            with self.service_down(name):
                self.refused(
                    path, 4, f"{title} at http://127.0.0.1",
                    "Connection refused", f"is {title} running",
                )  # fmt: skip
        self.assertEqual([], self.images())

    def test_larger_than_glance_allows(self) -> None:
        path = self.image_file()
        with self.glance_with("image_size_cap = 1000"):
            self.refused(path, 4, "413", "image_size_cap")
        self.assertEqual([], self.images())
        self.assertEqual([], self.versions())

    @contextlib.contextmanager
    def glance_with(self, line: str) -> collections.abc.Iterator[None]:
        """Give Glance another configuration, as long as it is needed."""
        # stopped and started here, so that all others wait meanwhile
        with self.service_down("trove"):
            self._minicloud("start", self.minicloud_dir)
            conf = self.minicloud_dir / "etc/glance-api.conf"
            text = conf.read_text()
            conf.write_text(text.replace("[DEFAULT]", f"[DEFAULT]\n{line}"))
            self.renew_glance()
            try:
                yield
            finally:
                conf.write_text(text)
                self.renew_glance()

    def renew_glance(self) -> None:
        """End Glance's worker; its master starts another at once."""
        record = self.minicloud_dir / "run/glance.json"
        master = json.loads(record.read_text())["pid"]
        children = pathlib.Path(f"/proc/{master}/task/{master}/children")
        before = children.read_text().split()
        for worker in before:
            os.kill(int(worker), signal.SIGKILL)
        deadline = time.monotonic() + 30
        while set(children.read_text().split()) & set(before):
            self.assertLess(time.monotonic(), deadline)
            time.sleep(0.1)

    def test_trove_does_not_know_the_manager(self) -> None:
        path = self.image_file()
        args = ["--manager", "nosuch"]
        self.refused(
            path, 4, f"registering {self.datastore}:1.0", "a manager nosuch",
            args=args,
        )  # fmt: skip
        self.assertEqual([], self.images())
        row = self.loaded(path)
        self.assertEqual(("sent", "created"),
                         (row["upload"], row["registration"]))  # fmt: skip


class SignedTest(clouds.TestCase):
    """With --trusted-key, nothing else than what is signed gets in."""

    def setUp(self) -> None:
        super().setUp()
        signing.need(self)
        keys = self.temp_dir()
        self.key, self.newer, self.strange = (
            signing.make_key(keys / name) for name in ("key", "newer", "other")
        )
        self.path = self.image_file()

    def sign(self, key: pathlib.Path) -> None:
        """Sign the manifest, and write a record that is signed as well."""
        file = manifest.path(self.path)
        signing.sign(file, key, signature.MANIFEST)
        images.write_record(self.path)
        signing.sign_record(self.path, key)

    def trusting(self, *keys: pathlib.Path) -> list[str]:
        return [f"--trusted-key={signing.public(key)}" for key in keys]

    def refused(
        self, *words: str, args: collections.abc.Sequence[str] = ()
    ) -> None:
        """Make sure that the image is refused before anything is sent."""
        outcome = self.load(self.path, *self.trusting(self.key), *args)
        self.assert_refused(outcome, 1, *words)
        self.assertEqual([], self.images())
        self.assertEqual([], self.versions())

    def test_signed(self) -> None:
        self.sign(self.key)
        row = self.loaded(
            self.path, "--require-verified", *self.trusting(self.key)
        )
        self.assertEqual("agent (qemu)", row["verified"])

    def test_not_signed(self) -> None:
        self.refused("manifest.json is not signed", "--sign-key")

    def test_no_manifest(self) -> None:
        manifest.path(self.path).unlink()
        self.refused(
            "is not signed: there is no", "manifest.json",
            args=["--datastore", self.datastore, "--version", "1.0"],
        )  # fmt: skip

    def test_tampered_with(self) -> None:
        self.sign(self.key)
        file = manifest.path(self.path)
        text = file.read_text()
        file.write_text(text.replace('"min_ram": 1024', '"min_ram": 1025'))
        self.refused("manifest.json is not what was signed", "SHA256:")
        file.write_text(text)
        with open(self.path, "r+b") as stream:
            stream.seek(-1, 2)
            stream.write(b"x")
        self.refused("is not the image that its manifest describes")

    def test_another_key(self) -> None:
        self.sign(self.strange)
        self.refused("signed with the key SHA256:", "not trusted here")

    def test_a_record_that_is_not_signed(self) -> None:
        self.sign(self.key)
        signature.path(verification.path(self.path)).unlink()
        self.refused("verify.json is not signed", args=["--require-verified"])
        row = self.loaded(self.path, *self.trusting(self.key))
        self.assertEqual("no", row["verified"])

    def test_the_manifest_of_another_image(self) -> None:
        self.sign(self.key)
        first, self.path = self.path, self.image_file()
        manifest.sidecar(self.path).rename(self.files / "gone")
        manifest.sidecar(first).rename(manifest.sidecar(self.path))
        self.refused(str(self.path))

    def test_another_name(self) -> None:
        self.sign(self.key)
        renamed = self.path.with_name(f"{self.datastore}-renamed.qcow2")
        manifest.sidecar(self.path).rename(manifest.sidecar(renamed))
        self.path.rename(renamed)
        self.loaded(renamed, *self.trusting(self.key))

    def test_rotated_keys(self) -> None:
        """While both are trusted, images of the old and of the new load."""
        both = self.trusting(self.key, self.newer)
        for key in (self.key, self.newer):
            self.path = self.image_file()
            self.sign(key)
            self.loaded(self.path, *both)
        self.assertEqual(2, len(self.images()))
        self.sign(self.newer)
        outcome = self.load(self.path, *self.trusting(self.key))
        self.assert_refused(outcome, 1, "not trusted here")

    def test_keys_of_the_configuration(self) -> None:
        names = ",".join(
            str(signing.public(key)) for key in (self.key, self.newer)
        )
        conf = self.files / "conf"
        conf.write_text(f"[DEFAULT]\ntrusted_key = {names}\n")
        for given in (
            {"TROVE_TOOLS_TRUSTED_KEY": names},
            {"TROVE_TOOLS_CONFIG_FILE": str(conf)},
        ):
            outcome = self.load(self.path, **given)
            self.assert_refused(outcome, 1, "manifest.json is not signed")
        self.assertEqual([], self.images())

    def test_a_key_that_others_can_write(self) -> None:
        self.sign(self.key)
        signing.public(self.key).chmod(0o666)
        outcome = self.load(self.path, *self.trusting(self.key))
        self.assert_refused(outcome, 2, "other users may write to it")
