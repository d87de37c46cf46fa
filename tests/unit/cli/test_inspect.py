# SPDX-License-Identifier: Apache-2.0
"""inspect and diff, but for the looking into images itself."""

import dataclasses
import json
import pathlib

from tests import signing
from tests.unit.artifact import test_sbom
from tests.unit.cli import test_builder
from tests.unit.cloud import images
from trove_tools import errors
from trove_tools.artifact import manifest
from trove_tools.artifact import sbom
from trove_tools.artifact import signature
from trove_tools.host import digests
from trove_tools.host import requirements
from trove_tools.inspection import contents
from trove_tools.inspection import inspect
from trove_tools.inspection import policy
from trove_tools.inspection import rootfile


class DiffTest(test_builder.CommandCase):
    def setUp(self) -> None:
        super().setUp()
        self.place = self.temp_dir()
        self.old = self.image("old", "1")
        self.new = self.image("new", "2")

    def image(self, name: str, bash: str) -> pathlib.Path:
        image = self.place / f"{name}.qcow2"
        image.write_text(name)
        found = contents.from_dict(
            json.loads(
                json.dumps(test_sbom.FOUND.as_dict()).replace("5.2:1~x", bash)
            )
        )
        plain = found.as_dict()
        made = images.describe(
            image,
            contents={
                key: plain[key]
                for key in ("system", "directories", "configuration")
            },
            plan={"name": name, "elements_path": [name]},
        )
        sbom.write(found, made, sbom.path(image))
        return image

    def diff(self) -> dict[str, object]:
        status, out, err = self.call(
            "diff", str(self.old), str(self.new), "-f", "json"
        )
        self.assertEqual(0, status, err)
        found: dict[str, object] = json.loads(out)
        return found

    def test_sidecars(self) -> None:
        found = self.diff()
        self.assertEqual(("sidecars", False), (found["source"], found["same"]))
        self.assertEqual(
            [
                {"kind": "package", "where": "system", "name": "bash",
                 "change": "changed", "old": "1", "new": "2"},
                {"kind": "plan", "where": "plan", "name": "name",
                 "change": "changed", "old": "old", "new": "new"},
            ],
            found["differences"],
        )  # fmt: skip

    def test_table(self) -> None:
        status, out, err = self.call("diff", str(self.old), str(self.new))
        self.assertEqual(0, status, err)
        self.assertIn("bash", out)
        self.assertIn("compared by manifests", err)
        status, out, err = self.call("diff", str(self.old), str(self.old))
        self.assertEqual("", out)
        self.assertIn("have the same contents", err)

    def test_one_is_not_described(self) -> None:
        sbom.path(self.new).unlink()
        self.patch_object(requirements, "require_root", lambda why: None)
        self.patch_object(
            inspect, "inspect_image",
            lambda image: inspect.Inspection((), (), test_sbom.FOUND),
        )  # fmt: skip
        found = self.diff()
        self.assertEqual(("images", True), (found["source"], found["same"]))

    def test_every_file(self) -> None:
        store = "/var/lib/docker/overlay2/random"
        found = {
            self.old: {"/same": rootfile.FileState("0644 0:0 sha256:1", 1),
                       "/time": rootfile.FileState("0644 0:0 sha256:1", 1),
                       store: rootfile.FileState("0755 0:0 directory", 1)},
            self.new: {"/same": rootfile.FileState("0644 0:0 sha256:1", 1),
                       "/time": rootfile.FileState("0644 0:0 sha256:1", 2)},
        }  # fmt: skip
        self.patch_object(requirements, "require_root", lambda why: None)
        self.patch_object(inspect, "read_files", found.get)
        status, out, err = self.call(
            "diff", "--files", str(self.old), str(self.new), "-f", "json"
        )
        self.assertEqual(0, status, err)
        self.assertEqual(
            [
                ("/time", "changed", "@1", "@2", False),
                (store, "removed", "0755 0:0 directory", None, True),
            ],
            [
                (each["name"], each["change"], each["old"], each["new"],
                 each["where"].startswith("Docker gives"))
                for each in json.loads(out)["differences"]
            ],
        )  # fmt: skip

    def test_another_bill_than_the_manifest_names(self) -> None:
        bill = sbom.path(self.new)
        made = manifest.read(self.new)
        assert made is not None
        named = {"file": bill.name, **digests.compute(bill, ["sha256"])}
        manifest.write(
            dataclasses.replace(made, sbom=named), manifest.path(self.new)
        )
        self.diff()
        bill.write_text(bill.read_text().replace("bash", "dash"))
        said = self.refused(
            errors.EXIT_FAILED, "diff", str(self.old), str(self.new)
        )
        self.assertIn(f"{bill} is not the bill of materials", said)

    def test_no_image(self) -> None:
        said = self.refused(
            errors.EXIT_USAGE, "diff", str(self.old), "/nowhere.qcow2"
        )
        self.assertIn("/nowhere.qcow2 cannot be read", said)


class InspectTest(test_builder.CommandCase):
    def inspect(self, *found: policy.Finding) -> tuple[int, str, str]:
        self.patch_object(requirements, "require_root", lambda why: None)
        self.patch_object(
            inspect, "inspect_image",
            lambda image, dev, allow: inspect.Inspection(
                found, (), test_sbom.FOUND
            ),
        )  # fmt: skip
        image = self.temp_dir() / "x.qcow2"
        image.touch()
        return self.call("inspect", str(image))

    def test_safe(self) -> None:
        status, out, err = self.inspect()
        self.assertEqual(0, status, err)
        for text in ("Debian, Linux 6", "mariadb 11.8 (container)", "libc6"):
            self.assertIn(text, out)
        self.assertRegex(err, "/.*/x.qcow2 contains nothing that must not")

    def test_not_safe(self) -> None:
        finding = policy.Finding("host key", "/etc/ssh/key", "the same")
        status, out, err = self.inspect(finding)
        self.assertEqual(errors.EXIT_FAILED, status)
        self.assertIn("/etc/ssh/key", out)
        self.assertIn("contains 1 item(s) that must not be published", err)

    def test_signed(self) -> None:
        """What a manifest allows counts if a trusted key has signed it."""
        signing.need(self)
        self.patch_object(requirements, "require_root", lambda why: None)
        self.patch_object(
            inspect, "inspect_image",
            lambda image, dev, allow: inspect.Inspection(
                (), (), test_sbom.FOUND
            ),
        )  # fmt: skip
        place = self.temp_dir()
        key = signing.make_key(place / "key")
        image = place / "x.qcow2"
        image.write_text("x")
        images.describe(image)
        words = ["inspect", str(image), "--trusted-key", f"{key}.pub"]
        said = self.refused(errors.EXIT_FAILED, *words)
        self.assertIn("manifest.json is not signed", said)
        signing.sign(manifest.path(image), key, signature.MANIFEST)
        self.assertEqual(0, self.call(*words)[0])
        image.write_text("y")
        said = self.refused(errors.EXIT_FAILED, *words)
        self.assertIn("is not the image that its manifest describes", said)
