# SPDX-License-Identifier: Apache-2.0
"""Images go to a real registry, and from there to builders."""

import contextlib
import gzip
import io
import json
import os
import pathlib
import subprocess
import tarfile
import typing

from tests.functional import faultproxy
from tests.functional import registries
from tests.unit.cloud import images
from tests.unit.plan import samples
from trove_tools import errors
from trove_tools.artifact import manifest
from trove_tools.artifact import remote_image
from trove_tools.artifact import signature
from trove_tools.build import cache as _cache
from trove_tools.build import remote_images
from trove_tools.host import digests
from trove_tools.plan import plan as _plan
from trove_tools.sources.registry import client
from trove_tools.sources.registry import oci


class ImageCase(registries.TestCase):
    """A test with an image that was built from a plan."""

    def setUp(self) -> None:
        super().setUp()
        self.plan = _plan.make(samples.a_request())
        (self.place / "built").mkdir()
        self.image = self.place / "built" / self.plan.file
        self.image.write_bytes(images.qcow2() + os.urandom(3000000))
        self.describe(self.key)

    def describe(
        self,
        key: signature.SigningKey | None,
        **changes: typing.Any,
    ) -> manifest.Manifest:
        made = images.describe(
            self.image, **{"plan_digest": self.plan.digest(), **changes}
        )
        manifest.write(made, manifest.path(self.image), key)
        more = manifest.sidecar(self.image) / "dib-manifests" / "list"
        more.parent.mkdir(exist_ok=True)
        more.write_text("a list")
        return made

    def push(self, *tags: str) -> str:
        made = manifest.read(self.image)
        assert made is not None
        return remote_image.push(
            self.image,
            made,
            client.Repository(self.reference("images")),
            tags or ("x", remote_image.plan_tag(self.plan.digest())),
            lambda number: None,
        )

    def find(self, tag: str = "x") -> remote_image.RemoteImage:
        return remote_image.find(self.reference("images"), tag)

    def fetch(
        self, *trusted: signature.SigningKey, not_before: float = 0
    ) -> pathlib.Path | None:
        shared = remote_images.SharedImages(
            self.reference("images"),
            signature.TrustedKeys(tuple(k.public for k in trusted))
            if trusted
            else None,
            self.screen,
        )
        cache = _cache.Cache(self.place / "cache", not_before)
        output = self.place / "output"
        image = shared.fetch(self.plan, output, cache)
        # nothing is left of what is not whole
        names = [] if image is None else [image.name, image.stem + ".d"]
        there = os.listdir(output) if output.exists() else []
        self.assertEqual(sorted(names), sorted(there))
        if image is not None:
            self.assertEqual(self.image.read_bytes(), image.read_bytes())
        return image


class FetchTest(ImageCase):
    def test_there_and_back(self) -> None:
        digest = self.push()
        self.assertEqual(digest, self.find().digest)
        self.assertEqual(digest, self.push())
        image = self.fetch(self.key)
        assert image is not None
        here, there = map(manifest.sidecar, (self.image, image))
        files = [
            {
                str(file.relative_to(place)): file.read_bytes()
                for file in place.rglob("*")
                if file.is_file()
            }
            for place in (here, there)
        ]
        self.assertEqual(files[0], files[1])
        self.assertIn("dib-manifests/list", files[1])
        self.assertEqual([], self.warnings())

    def test_for_other_tools(self) -> None:
        self.push()
        layout = self.place / "layout"
        subprocess.run(
            ["skopeo", "--insecure-policy", "copy", "--quiet",
             "--src-tls-verify=false",
             f"docker://127.0.0.1:{self.port}/trove/images:x",
             f"dir:{layout}"],
            check=True,
        )  # fmt: skip
        sha256 = digests.compute(self.image)["sha256"]
        self.assertEqual(
            self.image.read_bytes(), (layout / sha256).read_bytes()
        )

    def test_none(self) -> None:
        self.assertIsNone(self.fetch(self.key))
        self.push("y")
        self.assertIsNone(self.fetch(self.key))
        self.assertEqual([], self.warnings())

    def test_too_old(self) -> None:
        self.push()
        self.assertIsNone(self.fetch(self.key, not_before=2**32))
        self.assertEqual([], self.warnings())

    def test_trust(self) -> None:
        self.push()
        self.assertIsNone(self.fetch(self.other))
        self.assertIn("which is not trusted here", self.warnings()[0])
        self.describe(None)
        signature.path(manifest.path(self.image)).unlink(missing_ok=True)
        self.push()
        self.assertIsNone(self.fetch(self.key))
        self.assertIn("is not signed", self.warnings()[0])
        self.assertIsNotNone(self.fetch())

    def test_another_plan(self) -> None:
        self.describe(self.key, plan_digest="0" * 64)
        self.push()
        self.assertIsNone(self.fetch(self.key))
        self.assertIn("from another plan", self.warnings()[0])

    def test_another_image_under_a_signed_manifest(self) -> None:
        self.push()
        good = client.Repository(self.reference("images"))
        _, data = good.read_manifest("x")
        other = images.qcow2()
        digest = oci.compute_digest(other)
        good.write_blob(digest, other)
        data["layers"][0].update(digest=digest, size=len(other))
        tag = remote_image.plan_tag(self.plan.digest())
        good.write_manifest(tag, json.dumps(data).encode())
        self.assertIsNone(self.fetch(self.key))
        self.assertIn("is not the image that its", self.warnings()[0])

    def test_odd_manifests(self) -> None:
        self.push()
        repository = client.Repository(self.reference("images"))
        _, good = repository.read_manifest("x")
        image, files = good["layers"]
        for layers in (
            [], [image], [files, image], [image, files, files],
            [{**image, "size": "1"}, files],
            [{**image, "annotations": {}}, files],
            *(
                [{**image, "annotations": {oci.TITLE: name}}, files]
                for name in ("../x.qcow2", "x", "/x.qcow2", "a/b.qcow2", ".d")
            ),
            [image, {**files, "size": 2**40}],
        ):  # fmt: skip
            # the registry itself refuses a wrong size
            data = {**good, "layers": layers}
            with contextlib.suppress(client.RegistryError):
                repository.write_manifest("odd", json.dumps(data).encode())
                self.assertRaises(client.DamagedError, self.find, "odd")

    def test_hostile_archives(self) -> None:
        for name, kind in (
            ("../evil", tarfile.REGTYPE), ("/tmp/evil", tarfile.REGTYPE),
            ("a/../../evil", tarfile.REGTYPE), ("link", tarfile.SYMTYPE),
            ("link", tarfile.LNKTYPE), ("dev", tarfile.CHRTYPE),
            ("fifo", tarfile.FIFOTYPE), ("manifest.json", tarfile.REGTYPE),
            (".", tarfile.DIRTYPE), ("a\nb", tarfile.REGTYPE),
        ):  # fmt: skip
            packed = io.BytesIO()
            with tarfile.open(fileobj=packed, mode="w:gz") as archive:
                archive.addfile(tarfile.TarInfo("manifest.json"))
                member = tarfile.TarInfo(name)
                member.type, member.linkname = kind, "/etc/passwd"
                archive.addfile(member)
            self.assert_refused(packed.getvalue())
        for packed_bytes in (b"", b"x", gzip.compress(b"x" * 5000)):
            self.assert_refused(packed_bytes)

    def assert_refused(self, packed: bytes) -> None:
        self.push()
        repository = client.Repository(self.reference("images"))
        _, data = repository.read_manifest("x")
        digest = oci.compute_digest(packed)
        repository.write_blob(digest, packed)
        data["layers"][1].update(digest=digest, size=len(packed))
        repository.write_manifest("bad", json.dumps(data).encode())
        place = self.temp_dir()
        self.assertRaises(
            client.DamagedError, self.find("bad").fetch_files, place
        )
        (directory,) = place.iterdir()
        self.assertLessEqual(
            {file.name for file in directory.iterdir()}, {"manifest.json"}
        )


class FaultTest(ImageCase):
    """Every request fails in every way; what arrives is right."""

    def setUp(self) -> None:
        super().setUp()
        self.proxy = self.start_proxy()

    def test_fetch(self) -> None:
        self.push()
        requests = registries.count_requests(
            self.proxy, lambda: self.fetch(self.key)
        )
        self.assertEqual(3, len(requests), "\n".join(requests))
        for number, kind in registries.list_faults(requests):
            self.forget()
            self.proxy.plan(faultproxy.Plan(number, kind))
            image = self.fetch(self.key)
            self.assertTrue(self.proxy.seen().hurt, kind)
            absent = number == 1 and kind.startswith("404")
            self.assertEqual(
                int(image is None and not absent), len(self.warnings()),
                f"{number} {kind}",
            )

    def forget(self) -> None:
        image = self.place / "output" / self.plan.file
        image.unlink(missing_ok=True)
        subprocess.run(["rm", "-rf", manifest.sidecar(image)], check=True)

    def test_stream(self) -> None:
        """A cloud gets the image, and nothing else as the image."""
        self.push()
        content = self.image.read_bytes()

        def stream() -> bytes:
            found = self.find()
            path = found.fetch_files(self.temp_dir())
            made = manifest.read(path)
            assert made is not None
            found.require_described(made)
            file = found.inspect(path)
            self.assertEqual(len(content), file.size)
            return b"".join(file.read_blocks())

        requests = registries.count_requests(self.proxy, stream)
        self.assertGreater(len(requests), 3)
        arrived = 0
        for number, kind in registries.list_faults(requests):
            self.proxy.plan(faultproxy.Plan(number, kind))
            try:
                self.assertEqual(content, stream(), f"{number} {kind}")
                arrived += 1
            except (client.RegistryError, errors.ImageError):
                pass
            self.assertTrue(self.proxy.seen().hurt, kind)
        # what happens once, such as 429 or 500, does no harm
        self.assertGreater(arrived, len(requests))

    def test_push(self) -> None:
        requests = registries.count_requests(self.proxy, self.push)
        self.assertEqual(11, len(requests), "\n".join(requests))
        for number, kind in registries.list_faults(requests):
            self.image.write_bytes(images.qcow2() + os.urandom(9))
            self.describe(self.key)
            self.proxy.plan(faultproxy.Plan(number, kind))
            try:
                digest = self.push()
            except client.RegistryError:
                digest = ""
            self.assertTrue(self.proxy.seen().hurt, kind)
            self.proxy.plan(faultproxy.Plan())
            found = self.find()
            if digest:
                self.assertEqual(digest, found.digest)
            # the one before, or this one: it is whole
            for _ in found.read_blocks():
                pass
