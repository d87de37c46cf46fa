# SPDX-License-Identifier: Apache-2.0
"""What an image misses of today's repositories."""

import dataclasses
import json
import shutil
import time
import typing

from tests import base
from tests.standins import keys
from tests.standins import packages
from tests.standins import repository
from tests.unit.cloud import fakes
from tests.unit.cloud import images
from trove_tools.artifact import manifest
from trove_tools.artifact import sbom
from trove_tools.artifact import updates
from trove_tools.cli import builder
from trove_tools.cloud import image as _image
from trove_tools.host import debian
from trove_tools.host import process
from trove_tools.inspection import contents
from trove_tools.inspection import docker
from trove_tools.inspection import package
from trove_tools.plan import layers
from trove_tools.sources.container import skopeo

OLD, NEW = f"sha256:{'1' * 64}", f"sha256:{'2' * 64}"
_COMMIT, _NEWER = "a" * 40, "b" * 40
_SUITES = ("trixie", "trixie-updates", "trixie-security")


def _layer(
    environment: dict[str, str], *containers: dict[str, typing.Any]
) -> dict[str, typing.Any]:
    return {
        "name": "base", "digest": "d", "inputs": {}, "natives": [],
        "environment": environment, "containers": list(containers),
    }  # fmt: skip


class _Case(base.TestCase):
    """A test with the suites of a distribution on loopback, and an image."""

    def setUp(self) -> None:
        super().setUp()
        self.home = self.temp_dir()
        self.set_env(XDG_CACHE_HOME=str(self.home / "cache"), OS_CLOUD=None)
        self.www = self.temp_dir()
        self.server = repository.Server(self.www)
        self.addCleanup(self.server.close)
        self.key = keys.Key(self.temp_dir())
        self.addCleanup(self.key.close)
        keyrings = self.temp_dir()
        shutil.copy(self.key.file, keyrings / "debian-archive-keyring.gpg")
        self.patch_object(debian, "_KEYRINGS", keyrings)
        self.patch_object(debian, "takes_old_index", lambda: False)
        self.patch_object(
            updates, "_find_release", lambda requirement: ("26.0.0", "")
        )
        self.stdout, self.stderr = self.capture()
        self.image = self.home / "x.qcow2"
        self.image.write_text("x")

    def publish(
        self,
        *debs: tuple[str, str],
        suite: str = "trixie",
        key: keys.Key | None = None,
        **how: typing.Any,
    ) -> None:
        """Publish packages in a suite, in place of those before."""
        shutil.rmtree(self.www / "dists" / suite, ignore_errors=True)
        repository.publish(
            self.www,
            [packages.deb(self.home, *deb, {}) for deb in debs],
            key or self.key,
            suite=suite,
            **how,
        )

    def publish_all(self) -> None:
        self.publish(("libc6", "2.41-1"), ("bash", "5.2-1"))
        for suite in _SUITES[1:]:
            self.publish(suite=suite)

    def describe(
        self,
        *installed: tuple[str, str],
        containers: tuple[docker.Container, ...] = (),
        plan: dict[str, typing.Any] | None = None,
        **changes: typing.Any,
    ) -> manifest.Manifest:
        """Write what lies beside the image."""
        environment = {
            layers.MIRROR: self.server.url,
            layers.SECURITY_MIRROR: self.server.url,
        }
        found = contents.Contents(
            system={"id": "debian", "name": "Debian", "kernel": "6"},
            packages=tuple(package.Package(*each, "amd64")
                           for each in installed),
            python=(),
            containers=containers,
            directories={"/": 5},
            configuration={},
        )  # fmt: skip
        made = images.describe(
            self.image,
            contents={"system": found.system, "directories": {"/": 5},
                      "configuration": {}},
            plan=plan or {"layers": [_layer(environment)]},
            **changes,
        )  # fmt: skip
        sbom.write(found, made, sbom.path(self.image))
        return made

    def outdated(self, *args: str, status: int = 0) -> typing.Any:
        """Run the command, and return what it printed as JSON."""
        self.stdout.seek(0)
        self.stdout.truncate()
        words = args or (str(self.image),)
        self.assertEqual(
            status, builder.main(["outdated", *words, "-f", "json"]),
            self.said(),
        )  # fmt: skip
        self.stdout.flush()
        self.stdout.seek(0)
        text = self.stdout.read()
        return json.loads(text)[0] if text else None

    def said(self) -> str:
        self.stderr.flush()
        self.stderr.seek(0)
        text: str = self.stderr.read()
        return text

    def updates(self, row: typing.Any) -> set[tuple[typing.Any, ...]]:
        return {
            (each["where"], each["name"], each["available"],
             each["security"], each["source"])
            for each in row["updates"]
        }  # fmt: skip


class PackagesTest(_Case):
    def setUp(self) -> None:
        super().setUp()
        self.publish_all()
        self.describe(("libc6", "2.41-1"), ("bash", "5.2-1"), ("own", "1"))

    def test_current(self) -> None:
        row = self.outdated()
        self.assertEqual((False, 0, 0, 2), (
            row["outdated"], row["security"], row["other"], row["packages"]
        ))  # fmt: skip
        self.assertEqual(["system: own"], row["unknown"])
        self.assertIn("is current", self.said())

    def test_an_update(self) -> None:
        self.publish(("bash", "5.2-2"), suite="trixie-updates")
        row = self.outdated(status=1)
        self.assertEqual(
            {("system", "bash", "5.2-2", False, "trixie-updates")},
            self.updates(row),
        )
        self.assertFalse(
            self.outdated(str(self.image), "--security")["outdated"]
        )

    def test_a_security_update(self) -> None:
        self.publish(("libc6", "2.41-1+deb13u1"), suite="trixie-security")
        # the same fix, and more, came with the next point release
        self.publish(("libc6", "2.41-1+deb13u2"), ("bash", "5.2-2"))
        row = self.outdated(status=1)
        self.assertEqual((1, 1), (row["security"], row["other"]))
        self.assertEqual("libc6", row["updates"][0]["name"])
        row = self.outdated(str(self.image), "--security", status=1)
        self.assertEqual(
            {("system", "libc6", "2.41-1+deb13u2", True, "trixie-security")},
            self.updates(row),
        )

    def test_an_older_one_is_no_update(self) -> None:
        self.publish(("bash", "5.2-1~rc1"), suite="trixie-updates")
        self.assertFalse(self.outdated()["outdated"])

    def test_a_table(self) -> None:
        self.publish(("bash", "5.2-2"), suite="trixie-updates")
        self.assertEqual(1, builder.main(["outdated", str(self.image)]))
        self.stdout.flush()
        self.stdout.seek(0)
        self.assertRegex(
            self.stdout.read(), r"system +bash +5\.2-1 +5\.2-2 +no +trixie-"
        )

    def test_lists_are_kept(self) -> None:
        self.outdated()
        lists = self.home / "cache/trove-tools/lists"
        kept = sorted(lists.iterdir())
        self.assertEqual(2, len(kept))
        for index in self.www.rglob("Packages.xz"):
            index.unlink()
        self.assertFalse(self.outdated()["outdated"])
        # what is in the cache counts only with the signed digest
        kept[0].write_bytes(b"other")
        kept[1].write_bytes(b"other")
        self.assertIsNone(self.outdated(status=1))
        self.assertIn("there is no", self.said())

    def test_other_mirrors(self) -> None:
        self.describe(
            ("bash", "5.2-1"),
            plan={"layers": [
                _layer({layers.MIRROR: "http://127.0.0.1:9/gone"})
            ]},
        )  # fmt: skip
        self.outdated(status=1)
        row = self.outdated(
            str(self.image), "--mirror", self.server.url,
            "--security-mirror", self.server.url,
        )  # fmt: skip
        self.assertEqual(1, row["packages"])

    def test_a_snapshot_is_not_today(self) -> None:
        made = self.describe(
            ("bash", "5.2-1"),
            plan={"layers": [
                _layer({layers.MIRROR: "http://127.0.0.1:9/old",
                        layers.SNAPSHOT: "20260101T000000Z"})
            ]},
        )  # fmt: skip
        self.assertTrue(made.plan)
        self.patch_object(
            debian, "read_mirrors",
            lambda distribution: debian.Mirrors(self.server.url, None),
        )  # fmt: skip
        row = self.outdated()
        self.assertEqual(1, row["packages"])
        self.assertIn("no mirror of security updates", row["notes"][0])


class RefusedTest(_Case):
    def setUp(self) -> None:
        super().setUp()
        self.publish_all()
        self.describe(("bash", "5.2-1"))

    def refused(self, *words: str, status: int = 1) -> None:
        self.assertIsNone(self.outdated(status=status))
        for word in words:
            self.assertIn(word, self.said())

    def test_signed_by_another_key(self) -> None:
        other = keys.Key(self.temp_dir())
        self.addCleanup(other.close)
        self.publish(("bash", "9"), suite="trixie-security", key=other)
        self.refused("is signed by another key", "--security-mirror")

    def test_changed_after_signing(self) -> None:
        release = self.www / "dists/trixie-security/InRelease"
        release.write_text(release.read_text().replace("Label: S", "Label: T"))
        self.refused("was changed after it had been signed")

    def test_another_index(self) -> None:
        for index in self.www.rglob("trixie/**/Packages.xz"):
            index.write_bytes(b"other")
        self.refused("is not what the repository's signed Release file says")

    def test_a_replay(self) -> None:
        self.publish(suite="trixie-security", valid_until=time.time() - 60)
        self.refused("was valid until")
        self.patch_object(debian, "takes_old_index", lambda: True)
        self.assertFalse(self.outdated()["outdated"])

    def test_no_keyring(self) -> None:
        self.patch_object(debian, "_KEYRINGS", self.temp_dir())
        self.refused("debian-archive-keyring", status=3)

    def test_no_bill(self) -> None:
        sbom.path(self.image).unlink()
        self.refused("has no bill of materials")

    def test_no_image(self) -> None:
        self.assertIsNone(self.outdated("none.qcow2", status=2))
        self.assertIn("--os-cloud", self.said())

    def test_others_are_compared(self) -> None:
        self.publish(("bash", "5.2-2"))
        words = ("none.qcow2", str(self.image), "absent.qcow2")
        self.assertIsNotNone(self.outdated(*words, status=1))
        self.stdout.seek(0)
        rows = json.load(self.stdout)
        self.assertEqual(
            [("none.qcow2", None), (words[1], True), ("absent.qcow2", None)],
            [(row["image"], row["outdated"]) for row in rows],
        )
        self.assertEqual(
            [True, False, True], ["error" in row for row in rows]
        )
        self.assertIn("2 of 3 images cannot be compared", self.said())
        self.assertIn(f"{self.image} is outdated", self.said())

    def test_without_apt(self) -> None:
        self.describe(
            guest={"distribution": "rocky", "version": "9", "release": "9",
                   "arch": "amd64"},
        )  # fmt: skip
        self.refused("packages of rocky cannot be compared")


class OthersTest(_Case):
    """Containers and the guest agent."""

    def setUp(self) -> None:
        super().setUp()
        self.publish_all()

    def plan(self, **container: typing.Any) -> dict[str, typing.Any]:
        environment = {
            layers.MIRROR: self.server.url,
            layers.SECURITY_MIRROR: self.server.url,
        }
        entry = {"datastore": "mariadb", "version": "11.8",
                 "variable": "V", "names": ["mariadb:11.8"],
                 "suite": "trixie", **container}  # fmt: skip
        return {
            "agent": {"location": "https://git.test/trove", "ref": "stable"},
            "layers": [_layer(environment, entry)],
        }  # fmt: skip

    def container(self, *installed: tuple[str, str]) -> docker.Container:
        return docker.Container(
            ("mariadb:11.8",), "sha256:" + "a" * 64, 5,
            tuple(package.Package(*each, "amd64") for each in installed),
            "debian-13",
        )  # fmt: skip

    def test_packages_of_a_container(self) -> None:
        self.publish(("libc6", "2.41-2"), suite="trixie-security")
        self.describe(
            ("bash", "5.2-1"),
            containers=(self.container(("libc6", "2.41-1")),),
            plan=self.plan(source="packages"),
        )
        row = self.outdated(status=1)
        self.assertEqual(
            {("mariadb:11.8", "libc6", "2.41-2", True, "trixie-security")},
            self.updates(row),
        )

    def test_a_tag_that_moved(self) -> None:
        reference = "quay.io/x/mariadb:11.8"
        served = manifest.Container(("mariadb:11.8",), OLD, "registry")
        self.describe(
            containers=(self.container(("libc6", "0")),),
            plan=self.plan(source="registry", reference=reference,
                           digest=OLD),
            datastores=(images.datastore("mariadb", "11.8",
                                         containers=(served,)),),
        )  # fmt: skip
        for digest, status in ((OLD, 0), (NEW, 1)):
            self.patch_object(
                skopeo, "find",
                lambda wanted, arch, digest=digest: skopeo.Image(
                    wanted.digest, digest, {}
                ),
            )  # fmt: skip
            row = self.outdated(status=status)
        self.assertEqual(
            {("mariadb:11.8", reference, NEW, False, "registry")},
            self.updates(row),
        )

    def test_the_agent(self) -> None:
        pypi = {"source": "pypi", "version": "26.0.0", "commit": None}
        git = {"source": "git", "version": "26.0.0", "commit": _COMMIT}
        for agent, found, newer in (
            (pypi, "26.0.0", False),
            (pypi, "26.0.1", True),
            (pypi, "", False),
            (git, _COMMIT, False),
            (git, _NEWER, True),
            ({**pypi, "source": "checkout"}, "26.0.1", False),
        ):
            self.describe(agent=agent, plan=self.plan(source="packages"))
            for name in ("_find_release", "_find_commit"):
                self.patch_object(
                    updates, name,
                    lambda *args, found=found: (found, "" if found else "?"),
                )  # fmt: skip
            row = self.outdated(status=int(newer))
            wanted = [found] if newer else []
            self.assertEqual(
                wanted, [each["available"] for each in row["updates"]]
            )
            if not found or agent["source"] == "checkout":
                self.assertEqual(1, len(row["notes"]))

    def test_a_vendors_repository(self) -> None:
        vendor = self.temp_dir()
        server = repository.Server(vendor)
        self.addCleanup(server.close)
        key = keys.Key(self.temp_dir())
        self.addCleanup(key.close)
        repository.publish(
            vendor,
            [packages.deb(self.home, "mysql-server", "8.4.9-1", {})],
            key, suite="trixie",
        )  # fmt: skip
        # the distribution's package of this name is another one
        self.publish(("mysql-server", "9.9-1"), ("bash", "5.2-1"))
        plan = self.plan(source="packages")
        plan["layers"][0]["natives"] = [
            {"datastore": "mysql",
             "repository": {
                 "base": server.url, "paths": [""], "suite": "trixie",
                 "components": ["main"], "key": str(key.file),
                 "fingerprints": [key.fingerprint],
                 "packages": ["mysql-*"]}},
        ]  # fmt: skip
        self.describe(("mysql-server", "8.4.8-1"), plan=plan)
        row = self.outdated(status=1)
        self.assertEqual(
            {("system", "mysql-server", "8.4.9-1", False, server.url)},
            self.updates(row),
        )


class GlanceTest(_Case):
    def setUp(self) -> None:
        super().setUp()
        self.publish_all()
        self.made = self.describe(("bash", "5.2-1"))
        self.cloud = self.useFixture(fakes.Cloud(self.temp_dir()))
        self.cloud.images["i1"] = fakes.image(
            "loaded", 1, id="i1",
            **{_image.SHA256: self.made.image.sha256},
        )  # fmt: skip
        # the file is not needed any more
        self.image.unlink()

    def test_by_name_and_by_id(self) -> None:
        for word in ("loaded", "i1"):
            row = self.outdated(
                word, "--os-cloud", "here", "-o", str(self.home)
            )
            self.assertEqual((word, False), (row["image"], row["outdated"]))

    def test_built_elsewhere(self) -> None:
        there = str(self.temp_dir())
        self.outdated("loaded", "--os-cloud", "here", "-o", there, status=2)
        self.assertIn(self.made.image.sha256, self.said())

    def test_none(self) -> None:
        self.outdated("other", "--os-cloud", "here", status=2)
        self.assertIn("Glance has no image 'other'", self.said())


class CommandTest(base.TestCase):
    def test_pip_and_git_are_asked(self) -> None:
        report = {"install": [{"metadata": {"version": "26.0.3"}}]}
        self.patch_object(
            process, "run",
            lambda argv, **how: dataclasses.make_dataclass(
                "Done", ["stdout"]
            )(
                json.dumps(report)
                if "pip" in argv
                else "aaa\trefs/tags/x\nbbb\trefs/tags/x^{}\n"
            ),
        )  # fmt: skip
        self.assertEqual(("26.0.3", ""), updates._find_release("trove"))
        self.assertEqual(("bbb", ""), updates._find_commit("url", "x"))
