# SPDX-License-Identifier: Apache-2.0
"""What is in a root is read, and nothing outside of it."""

import json
import os

from tests import base
from tests.unit.inspection import samples
from trove_tools.catalog import loader
from trove_tools.inspection import contents
from trove_tools.inspection import docker
from trove_tools.inspection import package

LIBC = package.Package(
    "libc6", "2.41-1+b1", "amd64", "glibc", 102400,
    ("Expat", "GPL-2", "LGPL-2.1+"),
)  # fmt: skip
MARIADB = package.Package("mariadb-server", "1:11.8.6-0", "all")


class ContentsTest(base.TestCase):
    def setUp(self) -> None:
        super().setUp()
        self.root = self.temp_dir() / "root"
        samples.fill(self.root)

    def look(self) -> contents.Contents:
        return contents.read_contents(self.root)

    def test_system(self) -> None:
        self.assertEqual(
            {
                "id": "debian", "version": "13", "name": "Debian 13",
                "kernel": "6.12-cloud",
            },
            self.look().system,
        )  # fmt: skip

    def test_packages(self) -> None:
        self.assertEqual((LIBC, MARIADB), self.look().packages)

    def test_agent(self) -> None:
        found = self.look()
        self.assertEqual("26.0.0", found.agent)
        self.assertEqual(
            package.Package(
                "Babel", "2.17", size=1000,
                licences=("Apache Software License",),
            ),
            found.python[0],
        )  # fmt: skip

    def test_containers(self) -> None:
        identity = samples.store(
            self.root, samples.STATUS, "mariadb:11.8", "quay.io/m:11.8"
        )
        self.assertEqual(
            (
                docker.Container(
                    ("mariadb:11.8", "quay.io/m:11.8"), identity, 2000,
                    # its copyright file is in no layer
                    (package.Package("libc6", "2.41-1+b1", "amd64",
                                     "glibc", 102400), MARIADB),
                    "debian-forky",
                ),
            ),
            self.look().containers,
        )  # fmt: skip

    def test_store_that_is_broken(self) -> None:
        samples.store(self.root, "", "x:1")
        images = self.root / "var/lib/docker/image/overlay2"
        (config,) = images.glob("imagedb/content/sha256/*")
        config.write_text('{"rootfs": {"diff_ids": ["../../../etc", 5]}}')
        (found,) = self.look().containers
        self.assertEqual((0, ()), (found.size, found.packages))
        (images / "repositories.json").write_text('{"Repositories": [1]}')
        self.assertEqual((), self.look().containers)

    def test_nothing_there(self) -> None:
        found = contents.read_contents(self.temp_dir())
        self.assertEqual(((), (), ()), (
            found.packages, found.python, found.containers
        ))  # fmt: skip
        self.assertEqual({"/": 0}, found.directories)

    def test_plain_data_and_back(self) -> None:
        samples.store(self.root, samples.STATUS, "mariadb:11.8")
        found = self.look()
        plain = json.loads(json.dumps(found.as_dict()))
        self.assertEqual(found, contents.from_dict(plain))


class SizesTest(base.TestCase):
    def test_directories(self) -> None:
        root = self.temp_dir()
        large = samples.write(root, "a/b/large", "x" * 3000)
        os.link(large, root / "a/other-name")
        samples.write(root, "c/small", "x" * 10)
        samples.write(root, "var/lib/docker/random/x", "x" * 2000)
        os.symlink("/etc/passwd", root / "link")
        self.patch_object(contents, "LEAST_DIRECTORY", 1000)
        found = contents.measure_directories(root)
        self.assertEqual(
            {"/", "/a", "/a/b", "/var", "/var/lib", "/var/lib/docker"},
            set(found),
        )
        self.assertEqual((3000, 3000), (found["/a"], found["/a/b"]))
        self.assertGreaterEqual(found["/"], 3010)


class ConfigurationTest(base.TestCase):
    def test_words(self) -> None:
        root = self.temp_dir()
        file = samples.write(root, "etc/x.conf", "content")
        file.chmod(0o640)
        samples.write(root, "etc/ssl/certs/x.pem", "derived")
        os.symlink("/lib/x.service", root / "etc/x.service")
        os.symlink("ssl", root / "etc/directory")
        owner = f"{os.geteuid()}:{os.getegid()}"
        self.assertEqual(
            {
                "/etc/directory": "-> ssl",
                "/etc/x.conf": f"0640 {owner} sha256:ed7002b439e9ac84",
                "/etc/x.service": "-> /lib/x.service",
            },
            contents.read_configuration(root),
        )


class ServedTest(base.TestCase):
    def found(self, *packages: package.Package,
              containers: tuple[docker.Container, ...] = ()
              ) -> list[contents.Served]:  # fmt: skip
        return contents.find_datastores(
            contents.Contents({}, packages, containers=containers),
            loader.load(),
        )

    def test_none(self) -> None:
        self.assertEqual([], self.found(package.Package("bash", "5")))

    def test_native(self) -> None:
        server = package.Package("mariadb-server", "1:11.8.6-0+deb13u1")
        self.assertEqual(
            [("mariadb", "11.8", "native", "1:11.8.6-0+deb13u1")],
            self.found(server),
        )

    def test_of_a_version_that_the_catalog_does_not_have(self) -> None:
        (found,) = self.found(package.Package("mariadb-server", "1:5.5.1"))
        self.assertEqual(("mariadb", ""), (found.name, found.version))

    def test_container(self) -> None:
        inside = (package.Package("mariadb-server-core", "1:11.8.6"),)
        container = docker.Container(("mariadb:11.8",), "sha256:1", 1, inside)
        other = docker.Container(("busybox:1",), "sha256:2", 1)
        self.assertEqual(
            [("mariadb", "11.8", "container", "1:11.8.6")],
            self.found(containers=(container, other)),
        )
