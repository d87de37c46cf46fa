# SPDX-License-Identifier: Apache-2.0
"""Images with planted secrets are refused, by `inspect` and by a build.

The images are small real disks: a partition table and an ext4 root.
"""

import pathlib
import re
import typing

from cyclonedx import schema
from cyclonedx.validation import json as validation
import ddt

from tests import base as tests_base
from tests import commands
from tests.image import base
from tests.unit.plan import samples
from trove_tools import console
from trove_tools import errors
from trove_tools.artifact import manifest
from trove_tools.artifact import sbom
from trove_tools.build import build
from trove_tools.build import cache
from trove_tools.build import dib
from trove_tools.build import preflight
from trove_tools.host import process
from trove_tools.host import requirements
from trove_tools.inspection import contents
from trove_tools.inspection import inspect
from trove_tools.plan import layers
from trove_tools.plan import plan

KEY = (
    "-----BEGIN RSA PRIVATE KEY-----\n"
    "MIIEowIBAAKCAQEAx7yXVvk3kYzU5tHq0cVbM1nQ2dP8rJ4wL6sE9aTgFhKu\n"
    "-----END RSA PRIVATE KEY-----\n"
)
PLANTED = {
    "private key": ("root/.ssh/id_rsa", KEY),
    "password": ("etc/shadow", "root:$y$j9T$salt$hash:1::::::\n"),
    "host key": ("etc/ssh/ssh_host_ed25519_key", "x\n"),
    "machine id": ("etc/machine-id", "0123456789abcdef0123456789abcdef\n"),
    "credentials": ("etc/openstack/clouds.yaml", "clouds: {}\n"),
    "unsigned packages": (
        "etc/apt/sources.list",
        "deb http://mirror.example/debian trixie main\n",
    ),
}
_START = 1024 * 1024


def disk(place: pathlib.Path, raw: pathlib.Path, *kinds: str) -> None:
    """Make a disk whose root holds some secrets.

    :param place: an empty directory to put the root together in.
    """
    root = place / "root"
    (root / "etc").mkdir(parents=True)
    (root / "etc/shadow").write_text("root:!:1::::::\n")
    for kind in kinds:
        name, text = PLANTED[kind]
        file = root / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)
    with open(raw, "wb") as stream:
        stream.truncate(16 * _START)
    process.run(["sgdisk", "--new", "1:2048:0", raw])
    process.run(
        ["mkfs.ext4", "-q", "-F", "-d", root,
         "-E", f"offset={_START}", raw, "14M"]
    )  # fmt: skip


class InspectCase(tests_base.TestCase):
    timeout = 120

    def setUp(self) -> None:
        super().setUp()
        if not requirements.may_be_root():
            self.skipTest("reading a root needs root, or passwordless sudo")

    def qcow2(self, *kinds: str) -> pathlib.Path:
        place = self.temp_dir()
        disk(place, place / "raw", *kinds)
        image = place / "image.qcow2"
        process.run(
            ["qemu-img", "convert", "-f", "raw", "-O", "qcow2",
             place / "raw", image]
        )  # fmt: skip
        return image

    def inspect(self, image: pathlib.Path) -> commands.Outcome:
        return commands.run(
            "trove-image-builder", "inspect", image, "--format", "json"
        )


@ddt.ddt
class PlantedTest(InspectCase):
    @ddt.data(*PLANTED)
    def test_each_kind(self, kind: str) -> None:
        done = self.inspect(self.qcow2(kind))
        self.assertEqual(1, done.status, done.stderr)
        self.assertEqual(
            [(kind, f"/{PLANTED[kind][0]}")],
            [(each["kind"], each["path"]) for each in done.json()["findings"]],
        )
        self.assertIn("must not be published", done.stderr)

    def test_what_was_allowed(self) -> None:
        image = self.qcow2("private key")
        name = f"/{PLANTED['private key'][0]}"
        found = inspect.inspect_image(image, allow=(f"private key:{name}",))
        self.assertEqual((), found.findings)
        self.assertEqual([name], [each.path for each in found.allowed])
        # only this kind, and only there
        found = inspect.inspect_image(
            image, allow=("login:/root", f"login:{name}")
        )
        self.assertEqual([name], [each.path for each in found.findings])

    def test_none(self) -> None:
        done = self.inspect(self.qcow2())
        self.assertEqual(0, done.status, done.stderr)
        self.assertEqual((True, []), (done.json()["safe"],
                                      done.json()["findings"]))

    def test_no_image(self) -> None:
        file = self.temp_dir() / "x.qcow2"
        for text in ("", "no image\n" * 1000):
            file.write_text(text)
            done = self.inspect(file)
            self.assertEqual(1, done.status, done.stderr)
            self.assertIn("hint: ", done.stderr)
            self.assertNotIn("Traceback", done.stderr)
        done = self.inspect(file.with_name("nothing"))
        self.assertIn("there is no such file", done.stderr)


class BuildTest(InspectCase):
    def test_a_build_publishes_no_secret(self) -> None:
        scratch = self.temp_dir()

        def run(
            run: dib.Run, layer: layers.Layer, stem: pathlib.Path, kind: str,
            parent: pathlib.Path | None = None, **variables: str,
        ) -> None:
            file = stem.with_name(f"{stem.name}.{kind}")
            if kind == "raw":
                disk(scratch, file, "private key")
                stem.with_name(f"{stem.name}.d").mkdir()
            else:
                # who keeps the layer reads this at once
                file.write_bytes(b"packed")

        # what builds the disk is not what is tried here
        self.patch_object(dib.Run, "build", run)
        self.patch_object(requirements, "require_tools", lambda *words: None)
        self.patch_object(preflight, "check", lambda *words: None)
        output = self.temp_dir()
        error = self.assertRaises(
            errors.ImageError,
            build.build,
            plan.make(samples.a_request()),
            output=output,
            work=None,
            cache=cache.Cache(self.temp_dir()),
            force=False,
            screen=console.Console(quiet=True),
        )
        self.assertIn("/root/.ssh/id_rsa: private key", error.message)
        self.assertEqual([], list(output.glob("*.qcow2")))
        self.assertEqual([], list(output.glob(".*")))


class BuiltImageTest(base.TestCase):
    """What inspect says of an image, and what the build wrote beside it."""

    def inspect(self, image: pathlib.Path) -> dict[str, typing.Any]:
        done = base.builder("inspect", image, "--format", "json")
        self.assertEqual(0, done.status, done.stderr)
        found: dict[str, typing.Any] = done.json()
        self.assertEqual((True, []), (found["safe"], found["findings"]))
        made = manifest.read(image)
        assert made is not None
        self.assertEqual(made.agent["version"], found["agent"])
        self.assertEqual(
            {
                # no package of MySQL's stand-in has its version
                each.name: ""
                if each.containers
                and each.containers[0].source == "registry"
                else each.installed
                for each in made.datastores
            },
            {each["name"]: each["installed"] for each in found["datastores"]},
        )
        for each in found["datastores"]:
            (known,) = (e for e in made.datastores if e.name == each["name"])
            self.assertEqual(
                (known.version, known.runtime),
                (each["version"], each["runtime"]),
            )
        # what the sidecars say is what is in the image
        self.assertEqual(
            contents.from_dict(found), sbom.read_contents(image)
        )
        return found

    def test_native(self) -> None:
        found = self.inspect(self.image())
        made = manifest.read(self.image())
        assert made is not None
        # guests trust this authority, and the agent knows it
        self.assertEqual(
            ["CN = Stand-in CA"], [each["subject"] for each in made.guest_ca]
        )
        self.assertIn(
            "/etc/systemd/system/trove-guestagent.service.d/"
            "60-trove-guest-ca.conf",
            found["configuration"],
        )

    def test_containers(self) -> None:
        found = self.inspect(self.container_image())
        made = manifest.read(self.container_image())
        assert made is not None
        ids = {
            tuple(each["names"]): each["id"] for each in found["containers"]
        }
        built = [
            each
            for datastore in made.datastores
            for each in datastore.containers
        ]
        self.assertEqual({each.names for each in built}, set(ids))
        for each in built:
            # a registry's digest is that of its manifest
            if each.source == "packages":
                self.assertEqual(each.digest, ids[each.names])
        for each in found["containers"]:
            self.assertIn("libc6", [one["name"] for one in each["packages"]])

    def test_closed(self) -> None:
        for image in (self.image(), self.container_image()):
            with inspect.open_root(image) as root:
                group = int(
                    re.search(
                        r"^trove-agent:[^:]*:(\d+):",
                        (root / "etc/group").read_text(),
                        re.MULTILINE,
                    )[1]
                )
                for name in ("etc/trove", "etc/trove/conf.d"):
                    status = (root / name).stat()
                    self.assertEqual(
                        (0o750, 0, group),
                        (status.st_mode & 0o7777, status.st_uid,
                         status.st_gid),
                    )  # fmt: skip
                settings = (root / "etc/sysctl.d/60-trove-guest.conf")
                self.assertIn(
                    "\nkernel.core_pattern = |/bin/false\n",
                    settings.read_text(),
                )
                # uv's, which anybody may write to
                self.assertFalse(
                    (root / "opt/trove-guest-agent/.lock").exists()
                )

    def test_bill_of_materials_is_valid(self) -> None:
        validator = validation.JsonStrictValidator(schema.SchemaVersion.V1_6)
        text = sbom.path(self.container_image()).read_text()
        self.assertIsNone(validator.validate_str(text))
