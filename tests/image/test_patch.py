# SPDX-License-Identifier: Apache-2.0
"""An image whose agent was replaced is like one that was built anew."""

import json
import pathlib
import tarfile

from tests import commands
from tests.image import base
from tests.image import tiny
from trove_tools.artifact import manifest
from trove_tools.host import loopdevice
from trove_tools.host import mounts
from trove_tools.host import process
from trove_tools.host import requirements
from trove_tools.inspection import diff
from trove_tools.inspection import inspect

# the agent's hooks read the checkout outside the root, and install in it
_READ = """\
cp "$DIB_TROVE_AGENT_CHECKOUT/trove/guestagent/code" "$TMP_HOOKS_PATH/code"
"""
_INSTALL = """\
mkdir -p /opt/agent
rm -f /opt/agent/code
cp /tmp/in_target.d/code /opt/agent/code
"""
_OLD = "the former code of the agent"
_SIZE = 4 * 1024**2


class PatchCase(base.TestCase):
    def setUp(self) -> None:
        super().setUp()
        if not requirements.may_be_root():
            self.skipTest("building needs root, or sudo without a password")
        if not pathlib.Path("/dev/fuse").exists():
            self.skipTest("this host has no /dev/fuse")
        if process.find("qemu-storage-daemon") is None:
            self.skipTest("this host has no qemu-storage-daemon")
        self.place = self.temp_dir()

    def compare(
        self, patched: pathlib.Path, clean: pathlib.Path
    ) -> list[diff.Difference]:
        """Return the files that differ, but for those that always may."""
        return [
            each
            for each in diff.compare_files(
                inspect.read_files(patched), inspect.read_files(clean)
            )
            if not each.where
        ]


class TinyTest(PatchCase):
    def setUp(self) -> None:
        super().setUp()
        self.elements = self.place / "elements"
        tiny.write(self.elements)
        self.hooks = self.elements / "trove-guest-agent"
        tiny.hook(self.hooks, "extra-data", "60-tiny-read", _READ)
        tiny.hook(self.hooks, "install", "60-tiny-install", _INSTALL)
        self.code = self.place / "checkout/trove/guestagent/code"
        self.code.parent.mkdir(parents=True)
        (self.place / "checkout/setup.cfg").touch()
        self.code.write_text(_OLD * (_SIZE // len(_OLD)))

    def tiny(self, *words: str, output: str = "one") -> commands.Outcome:
        return commands.run(
            "trove-image-builder", "build", "mariadb", "--runtime", "native",
            "--format", "json", "--elements-path", str(self.elements),
            "--output-dir", str(self.place / output),
            "--cache-dir", str(self.place / "cache"),
            "--agent", str(self.place / "checkout"), *words,
        )  # fmt: skip

    def built(self, *words: str, output: str = "one") -> pathlib.Path:
        outcome = self.tiny(*words, output=output)
        self.assertEqual(0, outcome.status, outcome.stderr)
        self.said = outcome.stderr
        return pathlib.Path(outcome.json()["image"])

    def test_like_a_clean_build(self) -> None:
        old = manifest.read(self.built())
        assert old is not None and not old.patched
        self.code.write_text("the new code")
        image = self.built("--patch")
        made = manifest.read(image)
        assert made is not None
        self.assertTrue(made.patched)
        self.assertEqual(old.layers[:-1], made.layers[:-1])
        self.assertNotEqual(old.image.sha256, made.image.sha256)
        self.assertEqual([], mounts.list_below(self.place))
        self.assertEqual([], loopdevice.find_below(self.place))
        # of the former code, at most the ends of clusters are left
        raw = self.place / "raw"
        process.run(["qemu-img", "convert", "-O", "raw", image, raw])
        left = raw.read_bytes().count(_OLD.encode()) * len(_OLD)
        self.assertLess(left, _SIZE / 4)
        clean = self.built(output="two")
        for each in self.compare(image, clean):
            # these elements neither limit time stamps nor remove what
            # diskimage-builder records of its command line, which has paths
            if not each.name.startswith("/etc/dib-manifests/dib_"):
                self.assertTrue(str(each.old).startswith("@"), each)
        other = manifest.read(clean)
        assert other is not None
        self.assertEqual(other.plan_digest, made.plan_digest)
        self.assertEqual(other.agent, made.agent)
        self.assertEqual(other.datastores, made.datastores)

    def test_only_on_request(self) -> None:
        self.built()
        self.code.write_text("2")
        image = self.built("--patch")
        self.assertIn("is up to date", self.again("--patch"))
        self.assertNotIn("is up to date", self.again())
        found = manifest.read(image)
        assert found is not None
        self.assertFalse(found.patched)

    def again(self, *words: str) -> str:
        self.built(*words)
        return self.said

    def test_built_anew_when_more_has_changed(self) -> None:
        self.built()
        self.code.write_text("2")
        image = self.built("--patch", "--disk-size", "6")
        self.assertIn("more than the code of the agent's checkout", self.said)
        found = manifest.read(image)
        assert found is not None
        self.assertFalse(found.patched)

    def test_the_former_image_survives_a_failure(self) -> None:
        tiny.hook(
            self.hooks, "install", "70-tiny-fail",
            '[ "$(cat /opt/agent/code)" != bad ]\n',
        )  # fmt: skip
        image = self.built()
        before = image.read_bytes()
        self.code.write_text("bad")
        outcome = self.tiny("--patch")
        self.assertEqual(1, outcome.status)
        self.assertIn("in hook install.d/70-tiny-fail", outcome.stderr)
        self.assertEqual(before, image.read_bytes())
        self.assertEqual([], mounts.list_below(self.place))
        self.assertEqual([], loopdevice.find_below(self.place))

    def test_secrets_in_what_has_changed(self) -> None:
        image = self.built()
        before = image.read_bytes()
        key = self.place / "key"
        process.run(["ssh-keygen", "-q", "-N", "", "-f", key])
        self.code.write_text(key.read_text())
        outcome = self.tiny("--patch")
        self.assertEqual(1, outcome.status)
        self.assertIn("/opt/agent/code: private key", outcome.stderr)
        self.assertEqual(before, image.read_bytes())


class RealTest(PatchCase):
    def test_like_a_clean_build(self) -> None:
        self.need_time("some minutes")
        process.run(
            ["pip", "download", "--quiet", "--no-deps", "--no-binary=trove",
             "--dest", self.place, "trove"]
        )  # fmt: skip
        (archive,) = self.place.glob("trove-*.tar.gz")
        with tarfile.open(archive) as opened:
            opened.extractall(self.place, filter="data")
        checkout = self.place / archive.name.removesuffix(".tar.gz")
        words = ("redis", "--agent", checkout)
        image = self.build(*words)
        old = image.parent
        with open(checkout / "trove/guestagent/pkg.py", "a") as stream:
            stream.write("CHANGED = 1\n")
        clean = self.build(*words)
        patched = base.builder(
            "build", *words, *base._shared(), "--output-dir", old,
            "--patch", "--format", "json",
        )  # fmt: skip
        self.assertEqual(0, patched.status, patched.stderr)
        self.assertEqual([], self.compare(image, clean))
        bills = [
            json.loads((manifest.sidecar(each) / "sbom.cdx.json").read_text())
            for each in (image, clean)
        ]
        self.assertEqual(bills[0]["components"], bills[1]["components"])
